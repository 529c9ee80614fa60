"""A mapping that forgets: beyond a size, the entries that were used longest ago, and all entries that are too old.

Data kept for each client address must not grow with the number of addresses: there are more of them than memory.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")


class BoundedMap(Generic[KeyT, ValueT]):
    """At most `size` entries, each for at most `ttl` seconds after it was set."""

    def __init__(self, size: int, ttl: float, seconds: Callable[[], float]) -> None:
        self._size = size
        self._ttl = ttl
        self._seconds = seconds
        self._entries: OrderedDict[KeyT, tuple[float, ValueT]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: KeyT) -> ValueT | None:
        """The entry, which becomes the latest used; None if there is none, or if it is too old."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if self._seconds() - entry[0] > self._ttl:
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return entry[1]

    def set(self, key: KeyT, value: ValueT) -> None:
        """Keep the entry as the latest, and drop the one used longest ago if there are too many."""
        self._entries[key] = (self._seconds(), value)
        self._entries.move_to_end(key)
        self._shrink()

    def discard(self, key: KeyT) -> None:
        """Forget the entry, if there is one."""
        self._entries.pop(key, None)

    def resize(self, size: int, ttl: float) -> None:
        """Change the limits; entries beyond them are dropped."""
        self._size = size
        self._ttl = ttl
        self._shrink()

    def _shrink(self) -> None:
        while len(self._entries) > self._size:
            self._entries.popitem(last=False)
