"""What is wrong with a configuration, apart from what finds it: who only tells it need not load the model."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path

from kmstwist.problem import Problem
from kmstwist.shown import visible

#: Mistakes that are told. A file of another kind, or a list that a program made, may have any number.
MOST = 50


class ConfigError(Exception):
    """The configuration cannot be used; `mistakes` are what is wrong with it, the first `MOST`, and how many more there
    are. Its text has a line for each, whatever a value holds that is quoted there."""

    def __init__(self, mistakes: Sequence[Problem]) -> None:
        more = len(mistakes) - MOST
        mistakes = [Problem(visible(each.what), visible(each.cure), visible(each.where)) for each in mistakes[:MOST]]
        if more > 0:
            mistakes.append(Problem(f"there are {more} more mistakes"))
        super().__init__("\n".join(map(str, mistakes)))
        self.mistakes = tuple(mistakes)


def not_toml(file: Path, error: tomllib.TOMLDecodeError) -> Problem:
    """What the parser says, at its line; of what stands twice, in plain words.

    Before Python 3.14, which has `msg` and `lineno`, the text is all that the parser gives.
    """
    text, at, position = str(error).rpartition(" (at ")
    if not at:
        return Problem(f"not TOML: {error}", where=str(file))
    cure = ""
    line = re.match(r"line (\d+), column \d+\)", position)
    twice = re.match(r"Cannot declare \((.*)\) twice", text)
    if twice:
        section = ".".join(re.findall(r"'([^']*)'", twice.group(1)))
        text, cure = f"[{section}] appears twice", "merge the two"
    elif text == "Cannot overwrite a value":
        text, cure = "what is set here is already set", "keep one"
    if line is None:
        return Problem(f"not TOML: {text} (at {position}", cure, str(file))
    return Problem(f"not TOML: {text}", cure, f"{file}:{line.group(1)}")
