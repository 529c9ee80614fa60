"""Checks that clients ask for over the wire: whether a call would find a host that answers now.

The work is bounded, whoever asks and however often: each worker makes one check at a time, and gives its result to
everybody who asks during the check and for `SHARED_FOR` seconds after it. A check probes each host that is not drained.
It shares its probes with the health check: it waits for a probe that is under way, and its results move the circuit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from kmstwist.gateway.upstream import Upstream
from kmstwist.kms.reach import PATIENCE, SHARED_FOR, Reach, Role

#: How many clients may wait for one check. Further ones get the last result, or are told that there is none.
_WAITING: Final = 1000


class HostCheck:
    """Finds out how many of the hosts answer."""

    def __init__(self, hosts: Callable[[], Sequence[Upstream]], clock: IReactorTime) -> None:
        """`hosts` returns those that a call may be sent to at present."""
        self._hosts = hosts
        self._clock = clock
        self._waiting: list[Deferred[Reach]] = []
        self._last: tuple[float, Reach] | None = None
        self._began: float | None = None
        self._asked = 0
        self._heard = 0
        self._answered = 0
        self._end: IDelayedCall | None = None

    def ask(self) -> Deferred[Reach]:
        """The result of a check that is at most `SHARED_FOR` seconds old; never fails."""
        now = self._clock.seconds()
        if self._last is not None and (now - self._last[0] < SHARED_FOR or len(self._waiting) >= _WAITING):
            return succeed(replace(self._last[1], age=round((now - self._last[0]) * 1000)))
        told: Deferred[Reach] = Deferred()
        self._waiting.append(told)
        if self._began is None:
            self._begin(now)
        return told

    def stop(self) -> None:
        """Give everybody who waits what is known by now."""
        if self._began is not None:
            self._conclude()

    def _begin(self, now: float) -> None:
        hosts = self._hosts()
        self._began = now
        self._asked, self._heard, self._answered = len(hosts), 0, 0
        self._end = self._clock.callLater(PATIENCE, self._conclude)
        for host in hosts:
            host.check().addCallback(self._host_answered, now)
        if not hosts:
            self._conclude()

    def _host_answered(self, well: bool, began: float) -> None:
        if self._began != began:
            # The answer came too late for its check.
            return
        self._heard += 1
        self._answered += well
        if self._heard == self._asked:
            self._conclude()

    def _conclude(self) -> None:
        began, now = self._began, self._clock.seconds()
        if began is None:
            return
        self._began = None
        if self._end is not None and self._end.active():
            self._end.cancel()
        reach = Reach(Role.GATEWAY, self._asked, self._answered, round((now - began) * 1000))
        self._last = now, reach
        waiting, self._waiting = self._waiting, []
        for told in waiting:
            told.callback(reach)
