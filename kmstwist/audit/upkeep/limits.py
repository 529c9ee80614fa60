"""How much of the audit is kept: what retention goes by, apart from it: a configuration needs no SQL."""

from __future__ import annotations

from dataclasses import dataclass

#: Records, and imported events, that no size takes away.
FLOOR = 1000
DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Limits:
    """How long (days) and how much (bytes of database) is kept; None for no limit.

    `floor` is how many records, and how many imported events, the size leaves in any case, the newest ones.
    """

    days: float | None = None
    size: int | None = None
    floor: int = 0
