"""Code that slmgr's and ospp's command lines share: the form of an option, and suggestions for a misspelt one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def is_option(word: str) -> bool:
    """Whether a word has the form of an option; slmgr accepts a hyphen in place of the slash."""
    return word[:1] in ("/", "-")


def meant(word: str, names: Iterable[str]) -> list[str]:
    """A note with the option that was probably meant; empty if none is similar."""
    close = difflib.get_close_matches(word.lstrip("/-").partition(":")[0].lower(), list(names), n=1)
    return [f"Did you mean /{close[0]}?"] if close else []
