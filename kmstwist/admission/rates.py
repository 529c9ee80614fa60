"""Token buckets, one for each address or network that asks, in bounded memory.

A bucket holds at most `burst` calls and is filled at `per_minute`; a call takes one. A bucket that was dropped for lack
of room starts full again, so that a client is not punished for a crowd.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from kmstwist.pacing.tokens import TokenBucket


class TokenBuckets:
    """Buckets by key. `per_minute` of 0 means no limit."""

    def __init__(self, per_minute: float, burst: int, size: int, seconds: Callable[[], float]) -> None:
        self._rate = per_minute / 60
        self._burst = float(burst)
        self._size = size
        self._seconds = seconds
        #: The one that was used longest ago comes first; it is dropped first, and is probably full by then.
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: str, number: float = 1.0) -> bool:
        """Take tokens. Returns whether there were enough."""
        if not self._rate:
            return True
        now = self._seconds()
        buckets = self._buckets
        bucket = buckets.get(key)
        if bucket is None:
            bucket = buckets[key] = TokenBucket(self._burst, now)
            if len(buckets) > self._size:
                buckets.popitem(last=False)
        else:
            buckets.move_to_end(key)
        return bucket.take(now, self._rate, self._burst, number)

    def give_back(self, key: str) -> None:
        """Put a token back: the call it was taken for was refused for another reason."""
        bucket = self._buckets.get(key)
        if bucket is not None:
            bucket.tokens = min(self._burst, bucket.tokens + 1.0)
