"""The mistakes in a configuration, apart from the code that finds them: showing them does not load the model."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path

from kmstwist.problem import Problem
from kmstwist.shown import visible

#: How many mistakes are shown. A file of another kind, or a list made by a program, may have any number.
MOST = 50


class ConfigError(Exception):
    """The configuration cannot be used. `mistakes` are the first `MOST` and, as the last, the number of the others.

    Its text has one line for each, whatever the values quoted there contain.
    """

    def __init__(self, mistakes: Sequence[Problem]) -> None:
        more = len(mistakes) - MOST
        mistakes = [Problem(visible(each.what), visible(each.cure), visible(each.where)) for each in mistakes[:MOST]]
        if more > 0:
            mistakes.append(Problem(f"there are {more} more mistakes" if more > 1 else "there is one more mistake"))
        super().__init__("\n".join(map(str, mistakes)))
        self.mistakes = tuple(mistakes)


def not_toml(file: Path, error: tomllib.TOMLDecodeError) -> Problem:
    """The parser's message with its line; in plain words if a name appears twice.

    Before Python 3.14, which adds `msg` and `lineno`, the parser gives only a text.
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
