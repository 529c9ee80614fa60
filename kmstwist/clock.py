"""Two kinds of time, kept apart.

How long something takes, and when something is due, is asked of the reactor (`IReactorTime`): of a clock that only goes
forward, evenly. What time it is, as records, log lines and certificates have it, is the wall clock's to say: `now`. An
administrator or NTP may set that one back or forward, and nothing but those may notice.

Twisted's reactor takes the wall clock for both. With it, a clock that is set back by two minutes lets no timeout,
probe or retry happen for two minutes; set forward, it ends every call under way.
"""

from __future__ import annotations

import time
from typing import Any

from kmstwist.reactor import Reactor

#: The wall clock, in seconds since 1970.
now = time.time


def run_on_monotonic_time(reactor: Reactor) -> None:
    """Have a reactor measure by the monotonic clock from now on; what it was asked to call later is kept.

    `IReactorTime.seconds` is Twisted's own place for the clock: the reactor asks it when a call is due, and gives it to
    each call that is delayed.
    """
    if reactor.seconds is time.monotonic:
        return
    # The attribute of what Twisted gives out, which its interface does not name.
    waiting: list[tuple[Any, float]] = [
        (call, max(0.0, call.getTime() - reactor.seconds())) for call in reactor.getDelayedCalls()
    ]
    reactor.seconds = time.monotonic  # type: ignore[method-assign]
    for call, seconds in waiting:
        call.seconds = time.monotonic
        call.reset(seconds)
