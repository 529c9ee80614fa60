"""The lane for connections that send much and ask nothing: few of them are read from at a time.

A flood of cancels, of one-byte fragments or of calls to operations that do not exist could take all of the server's
time, over any number of connections. So a connection that sends many small PDUs and no calls is read from only when its
turn comes here, and the turns of all such connections together take only part of the time. All other connections are
read from whenever there is something to read.
"""

from __future__ import annotations

from collections import deque
from typing import Final, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

#: How many connections are read from at each turn, and the seconds between two turns.
_AT_A_TIME: Final = 2
_EVERY: Final = 0.002


class Slowed(Protocol):
    """A connection that is not read from until its turn."""

    def your_turn(self) -> None:
        """Read again, once."""


class SlowLane:
    """The connections that wait for their turn, in order."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._waiting: deque[Slowed] = deque()
        self._next: IDelayedCall | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def enter(self, one: Slowed) -> None:
        """Wait for a turn."""
        self._waiting.append(one)
        if self._next is None:
            self._next = self._clock.callLater(_EVERY, self._turn)

    def _turn(self) -> None:
        self._next = None
        for _ in range(min(_AT_A_TIME, len(self._waiting))):
            self._waiting.popleft().your_turn()
        if self._waiting:
            self._next = self._clock.callLater(_EVERY, self._turn)
