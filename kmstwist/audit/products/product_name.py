"""A product's name, apart from the store that has it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProductName:
    """A product's name, and its family: one of `FAMILIES`, or "" if it is not known."""

    act_id: str
    name: str
    family: str = ""
