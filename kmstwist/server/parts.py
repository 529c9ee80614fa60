"""The parts of a server, and how it stops: its services one by one, and before them, as a lame duck, it still answers.

A lame duck is a server that still answers its clients, and says at its health check that it is about to go. A load
balancer looks every few seconds. A gateway that refuses from the moment it is paused or stopped refuses the clients
that come before the balancer has looked; one that says so first, and refuses later, refuses none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from kmstwist.configuration.model import Config
from kmstwist.logevents import LEAVING
from kmstwist.process.control import Command

#: What is loaded where the configuration asks for it, so that a server is soon there that has no use for it.
LOADED_LATER = (
    "kmstwist.audit.migrate",
    "kmstwist.audit.upkeep.served",
    "kmstwist.discovery.lookup.resolver",
    "kmstwist.discovery.publishing.publisher",
    "kmstwist.discovery.publishing.tsig",
    "kmstwist.discovery.publishing.updater",
    "kmstwist.discovery.strangers",
    "kmstwist.gateway.hosts_in_dns",
    "kmstwist.gateway.service",
    "kmstwist.lab.cipher",
    "kmstwist.lab.service",
    "kmstwist.notify.service",
    "kmstwist.notify.targets",
    "kmstwist.process.workers.supervisor",
    "kmstwist.server.auditing",
    "kmstwist.server.collecting",
    "kmstwist.system.portholder",
    "kmstwist.transport.lookups",
    "kmstwist.web.passwords",
    "kmstwist.web.service",
    "kmstwist.web.site",
)


def _takes_nothing(config: Config) -> None:
    """A part that nothing of a changed configuration concerns, or only after a restart."""


@dataclass(frozen=True, slots=True)
class Part:
    """What a part of a server brings: services that live as long as the server, and commands of the control socket.

    `apply` takes a changed configuration, as far as that needs no restart.
    """

    services: Sequence[Service] = ()
    commands: Mapping[str, Command] = field(default_factory=dict)
    apply: Callable[[Config], object] = _takes_nothing


class Parts:
    """The parts of one server, in the order in which they start."""

    def __init__(self) -> None:
        self._parts: list[Part] = []
        #: The commands of all parts, those added later included.
        self.commands: dict[str, Command] = {}

    def add(self, *parts: Part) -> None:
        """Add parts behind those there are."""
        for part in parts:
            self._parts.append(part)
            self.commands.update(part.commands)

    def apply(self, config: Config) -> None:
        """Have every part take a changed configuration."""
        for part in self._parts:
            part.apply(config)

    def root(self) -> StoppingInOrder:
        """The service of which all others are children."""
        root = StoppingInOrder()
        for part in self._parts:
            for service in part.services:
                service.setServiceParent(root)
        return root


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
