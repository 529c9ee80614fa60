"""How long a client may take: one deadline for each phase of its connection, set when the phase begins.

`opening` until the first byte, `asking` until the request is whole, `calling` while it is answered (the activator has
its own deadline), `idle` until the next byte; and over all of them the connection's total. A deadline is not moved by
anything the client sends within the phase, so bytes fed one by one buy no time.

One timer serves all: it is moved only to fire earlier, and when it fires too early it is set anew, for most
conversations are over before any deadline and should pay for none.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from kmstwist.conversation.settings import TimeoutSettings


class Phase(Enum):
    """Where a connection is."""

    OPENING = "opening"
    ASKING = "asking"
    CALLING = "calling"
    IDLE = "idle"
    ENDED = "ended"


class PhaseTimer:
    """Calls `expired(phase, seconds)` when a phase, or with `None` for it the whole connection, took too long."""

    __slots__ = ("_clock", "_due", "_ends", "_expired", "_fires", "_timeouts", "_timer", "phase")

    def __init__(
        self, clock: IReactorTime, timeouts: TimeoutSettings, expired: Callable[[Phase | None, float], None]
    ) -> None:
        now = clock.seconds()
        self._clock = clock
        self._timeouts = timeouts
        self._expired = expired
        self.phase = Phase.OPENING
        self._ends = now + timeouts.total
        self._due: float | None = min(now + timeouts.first_byte, self._ends)
        self._fires = self._due
        self._timer: IDelayedCall | None = clock.callLater(self._due - now, self._fire)

    def received(self) -> None:
        """Bytes came."""
        if self.phase is Phase.OPENING or self.phase is Phase.IDLE:
            self._begin(Phase.ASKING, self._timeouts.request)

    def altered(self) -> None:
        """The client has been told of further contexts, and may ask in them: as long from now as after its bind."""
        if self.phase is Phase.ASKING or self.phase is Phase.IDLE:
            self._begin(Phase.ASKING, self._timeouts.request)

    def calling(self) -> None:
        """The request is whole and is being answered."""
        self.phase = Phase.CALLING
        self._due = None

    def answered(self) -> None:
        """The answer has been sent."""
        if self.phase is not Phase.ENDED:
            self._begin(Phase.IDLE, self._timeouts.idle)

    def stop(self) -> None:
        """Expire no more."""
        self.phase = Phase.ENDED
        self._due = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _begin(self, phase: Phase, seconds: float) -> None:
        self.phase = phase
        now = self._clock.seconds()
        self._due = max(now, min(now + seconds, self._ends))
        if self._timer is None:
            self._set(self._due, now)
        elif self._due < self._fires:
            self._timer.reset(self._due - now)
            self._fires = self._due

    def _set(self, due: float, now: float) -> None:
        self._fires = due
        self._timer = self._clock.callLater(due - now, self._fire)

    def _fire(self) -> None:
        self._timer = None
        if self._due is None:
            return
        now = self._clock.seconds()
        if now < self._due:
            self._set(self._due, now)
        elif self._due >= self._ends:
            self._expired(None, self._timeouts.total)
        else:
            self._expired(self.phase, self._seconds())

    def _seconds(self) -> float:
        timeouts = self._timeouts
        return {Phase.OPENING: timeouts.first_byte, Phase.ASKING: timeouts.request}.get(self.phase, timeouts.idle)
