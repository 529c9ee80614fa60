"""Codes that carry what they mean and what to do about them."""

from __future__ import annotations

from enum import IntEnum
from typing import Self


class ExplainedCode(IntEnum):
    """A table of codes; a member is written as its number, its `text` and its `cure`."""

    text: str
    cure: str

    def __new__(cls, code: int, text: str = "", cure: str = "") -> Self:
        """A member of the table."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.text = text
        member.cure = cure
        return member
