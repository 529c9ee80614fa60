"""How long to wait before trying again: twice as long each time, up to a longest wait."""

from __future__ import annotations

from collections.abc import Callable


def doubled(first: float, longest: float, failures: int) -> float:
    """Seconds to wait after this many failures in a row: `first` after one, doubled with each further one."""
    # The exponent is bounded because a float's is; long before, the wait is the longest.
    return min(longest, first * 2.0 ** min(max(failures, 1) - 1, 64))


def spread(seconds: float, random: Callable[[], float]) -> float:
    """A wait from the upper half of this one, so that those who wait for the same do not all come at once.

    `random` gives numbers from 0 to below 1.
    """
    return seconds * (0.5 + random() / 2)
