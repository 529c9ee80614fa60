"""A DNS and a network made of dictionaries."""

from __future__ import annotations

from typing import Any

from twisted.logger import LogEvent

from kmstwist.addresses import HostPort
from kmstwist.discovery.lookup.answers import HostAnswer, LookupFailed, LookupProblem, SrvAnswer
from kmstwist.discovery.lookup.resolver import Lookup
from kmstwist.discovery.lookup.srv import SrvRecord
from kmstwist.discovery.probing import Probed
from kmstwist.telemetry.lines import format_text, read_event
from tests.logs import logger
from tests.reactors import in_place_of_one

SERVER = HostPort("192.0.2.53", 53)


def failed(problem: LookupProblem, name: str = "name.test") -> LookupFailed:
    return LookupFailed(problem, name, "SRV", SERVER, 5.0)


class FakeLookup(Lookup):
    """`services` maps a domain to its records or a failure, `hosts` a name to its addresses."""

    def __init__(
        self,
        services: dict[str, list[SrvRecord] | LookupFailed],
        hosts: dict[str, list[str] | LookupFailed] | None = None,
    ) -> None:
        super().__init__(in_place_of_one(None), [SERVER])
        self.services = services
        self.hosts = hosts or {}
        self.asked: list[str] = []

    async def service(self, domain: str) -> SrvAnswer:
        self.asked.append(f"SRV {domain}")
        found = self.services.get(domain, failed(LookupProblem.NO_SUCH_NAME, domain))
        if isinstance(found, LookupFailed):
            raise found
        return SrvAnswer(f"_vlmcs._tcp.{domain}", f"_vlmcs._tcp.{domain}", tuple(found), SERVER)

    async def host(self, name: str) -> HostAnswer:
        self.asked.append(f"host {name}")
        found = self.hosts.get(name, failed(LookupProblem.NO_SUCH_NAME, name))
        if isinstance(found, LookupFailed):
            raise found
        ipv6 = tuple(address for address in found if ":" in address)
        return HostAnswer(name, (), ipv6, tuple(address for address in found if ":" not in address), 60)


class FakeNetwork:
    """A prober: the given addresses answer, all others refuse; `probed` is what was contacted, in order."""

    def __init__(self, *answering: str) -> None:
        self.answering = answering
        self.probed: list[str] = []

    async def __call__(self, address: str, port: int) -> Probed:
        place = str(HostPort(address, port))
        self.probed.append(place)
        if address in self.answering:
            return Probed(True, "a KMS host answers and listens (NDR64)", (("connect", 1.0), ("bind", 2.0)))
        return Probed(False, "the connection was refused")


def record(target: str, priority: int = 0, weight: int = 0, port: int = 1688) -> SrvRecord:
    return SrvRecord(priority, weight, port, target, 600)


def result(deferred: Any) -> Any:
    """The result of a coroutine that waits for nothing real."""
    from twisted.internet.defer import Deferred

    outcome: list[Any] = []
    Deferred.fromCoroutine(deferred).addBoth(outcome.append)
    (only,) = outcome
    return only


class Log:
    """Collects events, and shows them as the server's log does, without time and level."""

    def __init__(self) -> None:
        self.events: list[LogEvent] = []
        self.logger = logger(self.events.append)

    @property
    def lines(self) -> list[str]:
        return [format_text("", "", *read_event(event)).strip() for event in self.events]

    def words(self) -> list[str]:
        return [line.split()[0] for line in self.lines]
