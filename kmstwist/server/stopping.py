"""How a server stops: its services one by one, and before them, as a lame duck, it still answers for a while.

A lame duck is a server that still answers its clients, and says at its health check that it is about to go. A load
balancer looks every few seconds. A gateway that refuses from the moment it is paused or stopped refuses the clients
that come before the balancer has looked; one that says so first, and refuses later, refuses none of them.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from kmstwist.logevents import LEAVING


class LameDuck(Service):
    """Holds the stop of a server up for `seconds`, while `/readyz` says that it goes. It is the first to be stopped.

    `seconds` is 0 where nobody is to be waited for, as when a successor has the listening sockets already.
    """

    name = "lame-duck"

    def __init__(
        self, seconds: float, leave: Callable[[], object], clock: IReactorTime, log: Logger | None = None
    ) -> None:
        """`leave` has the health check say so."""
        self.seconds = seconds
        self._leave = leave
        self._clock = clock
        self._log = log or Logger(namespace="kmstwist.server")

    def stopService(self) -> Deferred[None] | None:
        """Say that it goes, and fire when the balancers have had their time."""
        super().stopService()
        if not self.seconds:
            return None
        LEAVING.emit(self._log, seconds=self.seconds, then="stop")
        self._leave()
        return deferLater(self._clock, self.seconds, lambda: None)


class StoppingInOrder(MultiService):
    """Services that are started in order and stopped one by one in reverse.

    The listening service is stopped, and its calls are finished, while the activator still answers them.
    """

    def stopService(self) -> Deferred[None]:
        """Stop the last service first, and each when the one after it has stopped."""
        Service.stopService(self)
        return Deferred.fromCoroutine(self._stop_in_order())

    async def _stop_in_order(self) -> None:
        for service in reversed(self.services):
            stopped = service.stopService()
            if stopped is not None:
                await stopped
