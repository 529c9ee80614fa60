"""Telling the type checker, and checking in the test, what type things have."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

KindT = TypeVar("KindT")


def of_kind(kind: type[KindT], things: Iterable[object]) -> list[KindT]:
    """These things, which are all of this very kind."""
    found: list[KindT] = []
    for thing in things:
        assert type(thing) is kind
        found.append(thing)
    return found
