"""File descriptors: how many there are, what each part may use, and what happens when they run out.

Each client uses one, and so does each connection to a KMS host, to the site and to the control socket, and each file of
the store. The kernel's limit (RLIMIT_NOFILE) is divided beforehand, so that no kind takes what another needs: clients
get what the others leave. If descriptors run out all the same, no client is accepted until some are free again: new
clients wait in the kernel's queue, and the event loop does not spin.
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

#: For the store's files, the log, DNS, the control socket, the listening ports, the threads' pipes and the central
#: store. The second number is enough if there are few descriptors in all.
RESERVE: Final = 64
_LEAST_RESERVE: Final = 32
#: The most connections to the site, and the most as a part of the limit.
WEB: Final = 500
_WEB_PART: Final = 8
#: The most connections over which KMS hosts send their events, and the most as a part of the limit.
EVENTS: Final = 100
_EVENTS_PART: Final = 16
#: How many hosts DNS is assumed to name if the configuration names none.
_DISCOVERED: Final = 4
#: With fewer free descriptors than the first number no client is accepted; from the second on, clients are again.
_FEW: Final = 16
_ENOUGH: Final = 32
#: Seconds between two looks.
_EVERY: Final = 0.5
_NONE_LEFT: Final = frozenset({errno.EMFILE, errno.ENFILE})
#: More than are accepted between two looks: while this many are free, the reactor's messages need not be watched.
_PLENTY: Final = 8192


@dataclass(frozen=True)
class Budget:
    """How many of `limit` descriptors each kind may use."""

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
    # If there are few, connections to hosts leave half to the clients: more calls than that wait in a queue.
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
    """The lowest free descriptor, which is about the number of open ones; None if none is free."""
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
    """Checks twice a second how many descriptors are left, and at once when the reactor could not accept a client."""

    def __init__(
        self,
        limit: int,
        accepting: Iterable[Accepting],
        clock: IReactorTime,
        *,
        look: Callable[[], int | None] = lowest_free,
        log: Logger | None = None,
    ) -> None:
        """`limit` is how many descriptors the process may have."""
        self._limit = limit
        self._accepting = tuple(accepting)
        self._clock = clock
        self._look = look
        self._log = log or Logger(namespace="kmstwist.server")
        self._looking = LoopingCall(self.look)
        self._looking.clock = clock
        self._since = 0.0
        self._listens = False
        #: Whether so few are left that no client is accepted.
        self.out = False
        #: How often that has happened.
        self.times = 0

    def startService(self) -> None:
        """Begin to look."""
        super().startService()
        self._looking.start(_EVERY)

    def stopService(self) -> None:
        """Stop checking; from now on others decide about the listening sockets."""
        super().stopService()
        self._listen(False)
        self._looking.stop()

    def __call__(self, event: LogEvent) -> None:
        """Notice the reactor's message that it could not accept a client: it would try again at once, without end."""
        if event.get("log_namespace") == "twisted.internet.tcp" and _cannot_accept(event.get("log_format") or ""):
            self.stop_accepting()

    def look(self) -> None:
        """Stop accepting if few are left, and begin again when there are enough."""
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
        """Watch all log events of the process, or none: watching costs something for each line."""
        if wanted is not self._listens:
            self._listens = wanted
            (globalLogPublisher.addObserver if wanted else globalLogPublisher.removeObserver)(self)

    def stop_accepting(self) -> None:
        """Accept no client until enough descriptors are free again."""
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
