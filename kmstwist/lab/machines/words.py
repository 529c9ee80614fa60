"""What slmgr's and ospp's command lines have in common: how an option is written, and which one may have been meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def is_option(word: str) -> bool:
    """Whether a word is written as an option is; slmgr takes a hyphen for the slash."""
    return word[:1] in ("/", "-")


def meant(word: str, names: Iterable[str]) -> list[str]:
    """A note on which option a word may have been meant for; none where nothing is like it."""
    close = difflib.get_close_matches(word.lstrip("/-").partition(":")[0].lower(), list(names), n=1)
    return [f"Did you mean /{close[0]}?"] if close else []
