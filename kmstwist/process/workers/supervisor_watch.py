"""A worker ends in order when its supervisor has gone, however that ended: an orphan must not keep the port."""

from __future__ import annotations

import os
from collections.abc import Callable

from twisted.application.service import Service
from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from kmstwist.reactor import Reactor

#: A worker's standard input is a pipe that its supervisor holds open and never writes to.
_PIPE = 0


@implementer(IReadDescriptor)
class SupervisorWatch(Service):
    """Calls `gone` when the pipe from the supervisor ends."""

    def __init__(self, reactor: Reactor, gone: Callable[[], None]) -> None:
        self._reactor = reactor
        self._gone = gone

    def startService(self) -> None:
        """Begin to watch."""
        super().startService()
        self._reactor.addReader(self)

    def stopService(self) -> None:
        """End it."""
        super().stopService()
        self._reactor.removeReader(self)

    def fileno(self) -> int:
        """The pipe."""
        return _PIPE

    def doRead(self) -> None:
        """The pipe has ended."""
        if not os.read(_PIPE, 4096):
            self._reactor.removeReader(self)
            self._gone()

    def connectionLost(self, reason: Failure) -> None:
        """The reactor found the pipe broken."""
        self._gone()

    def logPrefix(self) -> str:
        """The name that the reactor uses in messages."""
        return "supervisor"
