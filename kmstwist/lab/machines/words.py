"""What slmgr's and ospp's command lines have in common: an option's name, and another computer that is meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from kmstwist.lab.machines.errors import Refused


def is_option(word: str) -> bool:
    """Whether a word is written as an option is; Windows' scripts take a hyphen for the slash."""
    return word[:1] in ("/", "-")


def unrecognized(word: str, names: Iterable[str], usage: str) -> Refused:
    """The refusal of a word that is no option, with the option it may have been meant for, else with all of them."""
    close = difflib.get_close_matches(word.lstrip("/-").partition(":")[0].lower(), list(names), n=1)
    hint = f" Did you mean /{close[0]}?" if close else f"\n{usage}"
    return Refused(f"Unrecognized option: {word}.{hint}")


def computer_in(words: Sequence[str], how: str) -> str | None:
    """The computer in `[COMPUTER [USER PASSWORD]]`; `how` is the whole line, for the refusal of anything else.

    The lab asks nobody for a password: whatever is given lets one in.
    """
    if len(words) not in (0, 1, 3):
        what = "a user needs a password" if len(words) == 2 else f"{words[3]!r} is too much"
        raise Refused(f"{what}: {how}")
    return words[0] if words else None
