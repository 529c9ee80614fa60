"""Thousands of deadlines of one length, with one timer for all of them.

Most deadlines of a server are set and lifted again long before they are due: a client is done in milliseconds and could
have taken thirty seconds. A reactor's timer for each would cost more than the rest of such a wait. Deadlines of one
length come due in the order in which they were set, so they are in one queue, and the reactor has one timer, for the
first of them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar

from twisted.internet.interfaces import IDelayedCall, IReactorTime

ItemT = TypeVar("ItemT", bound=Hashable)


class Deadlines(dict[ItemT, float]):
    """A queue of items that each have `seconds`; `expired` is called with each whose deadline was not lifted in time.

    It is the dictionary of when each is due, in the order of insertion, which is the order in which they come due. A
    deadline is lifted by `pop(item, None)`, which calls no Python function: each call of a client sets and lifts
    six of them. For an item that has none, `set` is no more than `deadlines[item] = now + deadlines.seconds`, and a
    `start` if there is no `timer`.
    """

    __slots__ = ("_clock", "_expired", "seconds", "timer")

    def __init__(self, clock: IReactorTime, seconds: float, expired: Callable[[ItemT], None]) -> None:
        super().__init__()
        self._clock = clock
        self.seconds = seconds
        self._expired = expired
        #: The reactor's timer; it runs at least as long as there are deadlines.
        self.timer: IDelayedCall | None = None

    def set(self, item: ItemT) -> None:
        """Start a deadline for the item; an earlier one for it is lifted."""
        self.pop(item, None)
        self[item] = self._clock.seconds() + self.seconds
        if self.timer is None:
            self.start()

    def start(self) -> None:
        """Start the timer: the first deadline was set."""
        self.timer = self._clock.callLater(self.seconds, self._look)

    def stop(self) -> None:
        """Forget all deadlines."""
        self.clear()
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def _look(self) -> None:
        """Call `expired` for the deadlines that are due, and set the timer for the next one."""
        self.timer = None
        now = self._clock.seconds()
        late = []
        # One pass from the front: a dictionary passes over what was deleted there each time it is asked for its first.
        for item, due in self.items():
            if due > now:
                self.timer = self._clock.callLater(due - now, self._look)
                break
            late.append(item)
        for item in late:
            # An earlier call may have lifted the deadline of another item.
            if self.get(item, now + 1) <= now:
                del self[item]
                self._expired(item)
