"""The surroundings of a fleet's machines: hosts, gateways, DNS, links, and when each of them is away.

Hosts are `LabHost`s and decide as they do on the wire. Everything here follows the virtual clock and changes only at
moments known beforehand (`World.next_change`), so that a fleet can skip a time in which nothing can be reached.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable
from random import Random

from kmstwist.addresses import DEFAULT_PORT
from kmstwist.discovery.lookup.srv import SrvRecord, try_order
from kmstwist.kms.catalogue import products
from kmstwist.kms.messages import Request, Response
from kmstwist.kms.status import Status
from kmstwist.lab.fleet.scenario import Gateway, Host, Outage, Scenario, Site, Srv
from kmstwist.lab.host import LabHost
from kmstwist.lab.keys import SECRET_SIZE, LabKey

DAY = 86_400
FOREVER = float("inf")

_NOT_COVERED = int(Status.SL_E_VL_KEY_MANAGEMENT_SERVICE_ID_MISMATCH)


class Times:
    """Spans of time in which something holds, as sorted moments at which it begins and ends in turn."""

    def __init__(self, outages: Iterable[Outage], begins: float) -> None:
        self.moments: list[float] = []
        for outage in outages:
            start = begins + outage.from_day * DAY
            if self.moments and self.moments[-1] == start:
                self.moments.pop()
            else:
                self.moments.append(start)
            self.moments.append(start + outage.days * DAY)

    def holds(self, now: float) -> bool:
        """Whether a moment is in one of the spans; a span's first moment belongs to it, its last does not."""
        return bool(self.moments) and bisect_right(self.moments, now) % 2 == 1


class SimulatedHost:
    """A host of the scenario: a `LabHost`, and when it is away. `requests` counts its requests in each hour."""

    def __init__(self, spec: Host, key: LabKey, seconds: Callable[[], float], begins: float, hours: int) -> None:
        self.name = spec.name
        self.away = Times(spec.outages, begins)
        self.requests = [0] * hours
        error = spec.clock_error_minutes * 60
        self.lab = LabHost(
            key,
            now=seconds if not error else lambda: seconds() + error,
            random=_no_random_needed,
            covered=[product for product in products() if product.family in spec.covers],
            activation_interval=spec.activation_interval,
            renewal_interval=spec.renewal_interval,
        )

    def reachable(self, now: float) -> bool:
        """Whether it answers at all."""
        return not self.away.holds(now)

    def ask(self, request: Request, now: float, hour: int) -> tuple[int, Response | None]:
        """Its answer; call this only while it is reachable."""
        self.requests[hour] += 1
        return self.lab.decide(request)


class SimulatedGateway:
    """A gateway of the scenario: it asks its hosts in order; those that are away or lack the product are skipped."""

    def __init__(self, spec: Gateway, hosts: dict[str, SimulatedHost], begins: float, hours: int) -> None:
        self.name = spec.name
        self.away = Times(spec.outages, begins)
        self.requests = [0] * hours
        self._upstreams = [hosts[name] for name in spec.upstreams]

    def reachable(self, now: float) -> bool:
        """Whether it and a host behind it are up; without a host it sends only a fault, which is not an answer."""
        return not self.away.holds(now) and any(host.reachable(now) for host in self._upstreams)

    def ask(self, request: Request, now: float, hour: int) -> tuple[int, Response | None]:
        """The answer of the first host that is up and covers the product; call this only while it is reachable."""
        self.requests[hour] += 1
        answer: tuple[int, Response | None] = (_NOT_COVERED, None)
        for host in self._upstreams:
            if host.reachable(now):
                answer = host.ask(request, now, hour)
                if answer[0] != _NOT_COVERED:
                    break
        return answer


SimulatedServer = SimulatedHost | SimulatedGateway


class SimulatedSite:
    """A site of the scenario: its DNS as it changes, its link, and how slow and lossy that is."""

    def __init__(self, spec: Site, servers: dict[str, SimulatedServer], begins: float, random: Random) -> None:
        self.name = spec.name
        self.link_down = Times(spec.outages, begins)
        self.round_trip = spec.round_trip_seconds
        self.loss = spec.loss
        self.changes = [begins + change.day * DAY for change in spec.dns_changes]
        self._records = [_records(spec.srv), *(_records(change.srv) for change in spec.dns_changes)]
        self._servers = servers
        self._random = random

    def discover(self, now: float) -> list[SimulatedServer]:
        """The present SRV targets, in an order drawn by RFC 2782; empty if the name does not exist."""
        records = self._records[bisect_right(self.changes, now)]
        if len(records) == 1:
            return [self._servers[records[0].target]]
        return [self._servers[record.target] for record in try_order(records, self._random)]

    def is_served(self, now: float) -> bool:
        """Whether DNS names any host now."""
        return bool(self._records[bisect_right(self.changes, now)])

    def may_reach_any(self, now: float) -> bool:
        """Whether a machine here that asks DNS could reach a host at all."""
        records = self._records[bisect_right(self.changes, now)]
        return not self.link_down.holds(now) and any(self._servers[record.target].reachable(now) for record in records)

    def is_lost(self) -> bool:
        """Whether the link loses the attempt that is being made."""
        return self.loss > 0 and self._random.random() < self.loss


class World:
    """Everything of a scenario that is not a machine. `seconds` is the virtual clock."""

    def __init__(self, scenario: Scenario, seconds: Callable[[], float], random: Random, hours: int) -> None:
        begins = scenario.begins
        self.hosts = {
            spec.name: SimulatedHost(spec, LabKey(random.randbytes(SECRET_SIZE)), seconds, begins, hours)
            for spec in scenario.hosts
        }
        self.gateways = {spec.name: SimulatedGateway(spec, self.hosts, begins, hours) for spec in scenario.gateways}
        self.servers: dict[str, SimulatedServer] = {**self.hosts, **self.gateways}
        self.sites = {
            spec.name: SimulatedSite(spec, self.servers, begins, repeatable(random.randbytes(16)))
            for spec in scenario.sites
        }
        moments: set[float] = set()
        for server in self.servers.values():
            moments.update(server.away.moments)
        for site in self.sites.values():
            moments.update(site.link_down.moments, site.changes)
        for group in scenario.groups:
            if group.generalise_on_day is not None:
                moments.add(begins + group.generalise_on_day * DAY)
        self._moments = sorted(moments)

    def next_change(self, now: float) -> float:
        """The next moment at which anything changes, including a group's CMIDs; infinity if nothing will."""
        at = bisect_right(self._moments, now)
        return self._moments[at] if at < len(self._moments) else FOREVER


def repeatable(seed: int | str | bytes) -> Random:
    """A source of random numbers that gives the same ones for the same seed."""
    return Random(seed)  # noqa: S311 - a simulation has to be repeatable, and keeps no secret


def _records(srv: Iterable[Srv]) -> tuple[SrvRecord, ...]:
    return tuple(SrvRecord(record.priority, record.weight, DEFAULT_PORT, record.host) for record in srv)


def _no_random_needed(size: int) -> bytes:
    raise AssertionError("a host in virtual time seals no message")
