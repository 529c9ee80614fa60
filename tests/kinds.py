"""Tells the type checker what type things have, and checks it in the test."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

KindT = TypeVar("KindT")


def of_kind(kind: type[KindT], things: Iterable[object]) -> list[KindT]:
    """These things; fails unless all have exactly this type."""
    found: list[KindT] = []
    for thing in things:
        assert type(thing) is kind
        found.append(thing)
    return found
