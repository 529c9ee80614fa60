"""Who waits for a record to be stored, and how they are told: by plain calls, of which each record takes one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from kmstwist.audit.records import Record, Told

#: Those of a batch, in its order; None for a call that has gone on without.
Waiters = list[Told | None]
#: Told once that a batch is stored, or what went wrong.
Done = Callable[[Exception | None], object]


class Commit(Protocol):
    """Stores a batch for the first time, without blocking."""

    def __call__(self, batch: Sequence[Record], done: Done, /) -> None:
        """Begin. Calls `done` at the end."""


class Insert(Protocol):
    """Stores a batch and blocks, as `store.insert_batch` on an engine does, with the same `again`."""

    def __call__(self, batch: Sequence[Record], *, again: bool = False) -> int:
        """Store the batch, all of it or nothing; how many records were new."""
