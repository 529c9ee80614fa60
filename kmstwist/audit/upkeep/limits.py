"""How much of the audit is kept: retention's limits, in their own module, since a configuration needs no SQL."""

from __future__ import annotations

from dataclasses import dataclass

#: How many records, and how many imported events, are kept whatever the size limit.
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
