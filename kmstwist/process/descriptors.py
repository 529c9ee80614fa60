"""File descriptors: how many there are, who may have them, and what happens when they run out.

Every client is one, and so are the connections to KMS hosts, the site's, the store's files and the control socket's.
The kernel's limit (RLIMIT_NOFILE) is shared out beforehand, so that no kind of them takes what another needs to live:
clients get what is left after the rest. Should they run out all the same, nobody is accepted until some are free again:
new clients wait in the kernel's queue, and the event loop does not spin.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import ILogObserver, LogEvent, Logger, globalLogPublisher
from zope.interface import implementer

from kmstwist.logevents import DESCRIPTORS_FREE, DESCRIPTORS_OUT

#: For the store's files, log, DNS, control socket, the listening ports, threads' pipes, the central store; where there
#: are few in all, so many are enough.
RESERVE: Final = 64
_LEAST_RESERVE: Final = 32
#: The site's connections at most, and the part of the limit that they may be.
WEB: Final = 500
_WEB_PART: Final = 8
#: The connections at most over which KMS hosts send their events, and the part of the limit that they may be.
EVENTS: Final = 100
_EVENTS_PART: Final = 16
#: Hosts that DNS may name where the configuration does not say how many there are.
_DISCOVERED: Final = 4
#: Below so many free ones nobody is accepted, and from so many on somebody is again.
_FEW: Final = 16
_ENOUGH: Final = 32
#: Seconds between two looks.
_EVERY: Final = 0.5
_NONE_LEFT: Final = frozenset({errno.EMFILE, errno.ENFILE})
#: More than are accepted between two looks: as long as so many are free, nothing is to be heard from the reactor.
_PLENTY: Final = 8192


@dataclass(frozen=True)
class Budget:
    """Who may have how many of `limit` descriptors."""

    limit: int
    clients: int
    web: int
    hosts: int
    events: int


def share_out(limit: int, *, wanted: int, hosts: int, ceiling: int, web: bool, events: bool = False) -> Budget:
    """The budget of a process that may have `limit` open files, for at most `wanted` clients.

    `hosts` is how many KMS hosts are configured (0: DNS names them), and `ceiling` how many connections each may have.
    `web` and `events` say whether the site, and KMS hosts' events, are listened for.
    """
    for_web = min(WEB, max(1, limit // _WEB_PART)) if web else 0
    for_events = min(EVENTS, max(1, limit // _EVENTS_PART)) if events else 0
    # Where there are few, the hosts' connections do not take the clients' half: more calls than that wait in a queue.
    for_hosts = min((hosts or _DISCOVERED) * ceiling, limit // 4) if ceiling else 0
    reserve = min(RESERVE, max(_LEAST_RESERVE, limit // 4))
    left = limit - reserve - for_web - for_hosts - for_events
    return Budget(limit, max(1, min(wanted, left)), for_web, for_hosts, for_events)


class Accepting(Protocol):
    """Listening sockets that can be told to accept nothing for a while."""

    def pause(self) -> None:
        """Accept nothing; new clients wait in the kernel's queue."""

    def resume(self) -> None:
        """Accept again."""


def lowest_free() -> int | None:
    """The lowest descriptor that is free, which is as many as are open or a few less; None where none can be had."""
    try:
        descriptor = os.dup(0)
    except OSError as error:
        if error.errno in _NONE_LEFT:
            return None
        # Standard input may be closed.
        return 0
    os.close(descriptor)
    return descriptor


@implementer(ILogObserver)
class DescriptorWatch(Service):
    """Looks twice a second how many are left, and at once when the reactor could not accept a connection."""

    def __init__(
        self,
        limit: int,
        accepting: Iterable[Accepting],
        clock: IReactorTime,
        *,
        look: Callable[[], int | None] = lowest_free,
        log: Logger | None = None,
    ) -> None:
        """`limit` is how many the process may have."""
        self._limit = limit
        self._accepting = tuple(accepting)
        self._clock = clock
        self._look = look
        self._log = log or Logger(namespace="kmstwist.server")
        self._looking = LoopingCall(self.look)
        self._looking.clock = clock
        self._since = 0.0
        self._listens = False
        #: Whether so few are left that nobody is accepted.
        self.out = False
        #: How often that has happened.
        self.times = 0

    def startService(self) -> None:
        """Begin to look."""
        super().startService()
        self._looking.start(_EVERY)

    def stopService(self) -> None:
        """Look no more; what happens to the listening sockets is not for this to say any longer."""
        super().stopService()
        self._listen(False)
        self._looking.stop()

    def __call__(self, event: LogEvent) -> None:
        """Hear the reactor say that a connection could not be accepted: it would try again at once, without end."""
        if event.get("log_namespace") == "twisted.internet.tcp" and _cannot_accept(event.get("log_format") or ""):
            self.stop_accepting()

    def look(self) -> None:
        """Stop accepting where few are left, and begin again where there are enough."""
        lowest = self._look()
        free = -1 if lowest is None else self._limit - lowest
        self._listen(free < _PLENTY)
        if free < _FEW:
            self.stop_accepting()
        elif self.out and free >= min(_ENOUGH, self._limit // 4):
            self.out = False
            DESCRIPTORS_FREE.emit(self._log, seconds=self._clock.seconds() - self._since)
            for each in self._accepting:
                each.resume()

    def _listen(self, wanted: bool) -> None:
        """Hear every event of the process, or none: each line would be one more to look at."""
        if wanted is not self._listens:
            self._listens = wanted
            (globalLogPublisher.addObserver if wanted else globalLogPublisher.removeObserver)(self)

    def stop_accepting(self) -> None:
        """Accept nobody until enough are free again."""
        if self.out:
            return
        self.out = True
        self.times += 1
        self._since = self._clock.seconds()
        DESCRIPTORS_OUT.emit(
            self._log,
            limit=self._limit,
            cure="raise the limit (LimitNOFILE= of the unit, ulimit -n), or lower server.limits.connections",
        )
        for each in self._accepting:
            each.pause()


def _cannot_accept(text: str) -> bool:
    return text.startswith(("EMFILE encountered", "Could not accept new connection"))
