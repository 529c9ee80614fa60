"""A fleet on the wire: the same machines against real server processes, with days compressed into seconds.

Machines, sites, DNS and the record are those of the simulation; only the requests and the time are real: the scenario's
time is the reactor's clock, stretched. Clients use the scenario's time for their licences and put the real time into
their requests, since the hosts are real and accept 4 hours of difference; a wrong clock of a machine or a host is wrong
by as much as the scenario says. An attempt counts for the moment at which it was due, however long it waited and its
answer took, so compressing the time loses no retry. The round trips of a slow link take their real time, too, so that
connections stay open as long as those of distant clients.

Real hosts cannot forget clients within a minute: their count covers 30 days of their own time. So a run here tests load
and endurance, with outages, and does not replace the run in virtual time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path

from twisted.internet.defer import Deferred, DeferredList, DeferredSemaphore
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from kmstwist.addresses import HostPort
from kmstwist.clock import now
from kmstwist.kms.status import Status
from kmstwist.lab.cipher import LabCipher
from kmstwist.lab.fleet.member import Member, clock_error_at
from kmstwist.lab.fleet.processes import ProcessFailed, ServerProcess, processes_of
from kmstwist.lab.fleet.record import FleetResult
from kmstwist.lab.fleet.scenario import Gateway, Host, Outage, Scenario, Site
from kmstwist.lab.fleet.simulation import Fleet
from kmstwist.lab.fleet.slowlink import SlowLink
from kmstwist.lab.fleet.world import DAY, SimulatedServer
from kmstwist.lab.keys import LabKey
from kmstwist.lab.machines.activation import Contact, contact_over_tcp
from kmstwist.reactor import Reactor
from kmstwist.transport.errors import UpstreamError

MAX_MACHINES = 5000
AT_ONCE = 64
"""The most conversations that a site has open at the same time."""
TIMEOUT = 10.0
"""The most seconds for a connection, and then for a call."""

_LOOK_AGAIN = 0.05
_NO_HOST = int(Status.SL_E_VL_BINDING_SERVICE_UNAVAILABLE)
_NO_NAME = int(Status.E_DNS_NAME_ERROR)
_log = Logger(namespace="kmstwist.lab.fleet")


@dataclass(slots=True)
class WireFigures:
    """The figures that only a run on the wire has. Times are seconds; `answers` has one for each answered request.

    `errors` is how often connections and calls failed, by the transport's reason code; `latest` is the longest that an
    attempt waited for its turn; `troubles` has a sentence for each server that did not come back after an outage.
    """

    seconds: float
    answers: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    troubles: list[str] = field(default_factory=list)
    latest: float = 0.0

    def quantile(self, share: float) -> float:
        """The time within which this share of all answers came."""
        ordered = sorted(self.answers)
        return ordered[min(len(ordered) - 1, ceil(share * len(ordered)) - 1)] if ordered else 0.0


@dataclass(frozen=True, slots=True)
class WireResult:
    """A run on the wire: the fleet's result, as in virtual time, and the wire's own figures."""

    result: FleetResult
    wire: WireFigures


class WireFleet:
    """A scenario to be run on the wire in `seconds`. `random` returns random bytes, for the key and the IVs."""

    def __init__(
        self,
        scenario: Scenario,
        reactor: Reactor,
        seconds: float,
        folder: Path,
        random: Callable[[int], bytes],
        *,
        now: Callable[[], float] = now,
    ) -> None:
        """`now` is the wall clock, which is the servers' too."""
        self._wall = now
        self._fleet = Fleet(scenario)
        self._scenario = scenario
        self._reactor = reactor
        self._seconds = seconds
        self._pace = scenario.days * DAY / seconds
        secret = random(32)
        self._cipher = LabCipher(LabKey(secret), random)
        self._processes = processes_of(scenario, reactor, folder, secret)
        self._contacts = {site.name: _contact_from(site, reactor) for site in scenario.sites}
        # One for each site, so that a site behind a slow link does not delay the others.
        self._turns = {site.name: DeferredSemaphore(AT_ONCE) for site in scenario.sites}
        self._figures = WireFigures(seconds)
        self._started = 0.0
        self._over = False
        self._calls: set[IDelayedCall] = set()
        self._under_way = 0
        self._next: dict[Member, IDelayedCall | None] = {}

    def run(self, progress: Callable[[float], None]) -> Deferred[WireResult]:
        """Start the servers, let the time pass, stop the servers. Fails with `ProcessFailed` if one does not start."""
        return Deferred.fromCoroutine(self._run(progress))

    async def _run(self, progress: Callable[[float], None]) -> WireResult:
        try:
            for process in self._processes.values():
                await process.start()
            self._started = self._reactor.seconds()
            self._enter()
            for step in range(1, 101):
                await self._pause(self._started + self._seconds * step / 100 - self._reactor.seconds())
                progress(step / 100)
            await self._finish()
            self._over = True
            for call in list(self._calls):
                if call.active():
                    call.cancel()
        finally:
            self._over = True
            await DeferredList([process.stop() for process in self._processes.values()])
        fleet = self._fleet
        for member in fleet.members:
            if member.counted is not None:
                fleet.record.settle(member, min(fleet.ends, member.leaves))
        return WireResult(fleet.record.result(self._scenario, fleet.members), self._figures)

    async def _finish(self) -> None:
        """Wait for attempts that were due before the end but had no turn yet, at most as long as the run took."""
        patience = self._started + 2 * self._seconds + TIMEOUT
        while (self._under_way or self._calls) and self._reactor.seconds() < patience:
            await self._pause(_LOOK_AGAIN)

    def _pause(self, seconds: float) -> Deferred[None]:
        passed: Deferred[None] = Deferred()
        self._reactor.callLater(max(0.0, seconds), passed.callback, None)
        return passed

    @property
    def _now(self) -> float:
        """The scenario's time."""
        passed: float = (self._reactor.seconds() - self._started) * self._pace
        return min(self._fleet.ends, self._fleet.begins + passed)

    def _at(self, moment: float, function: Callable[..., object], *args: object) -> IDelayedCall | None:
        """Schedule a function at a moment of the scenario. Returns the reactor's call; None for one after the end."""
        if moment >= self._fleet.ends or self._over:
            return None
        delay = max(0.0, (moment - self._now) / self._pace)

        def due() -> None:
            self._calls.discard(call)
            function(*args)

        call = self._reactor.callLater(delay, due)
        self._calls.add(call)
        return call

    def _enter(self) -> None:
        for member in self._fleet.members:
            if member.joins < min(self._fleet.ends, member.leaves):
                self._at(member.joins, self._join, member)
                self._at(member.leaves, self._leave, member)
        for group in self._scenario.groups:
            if group.generalise_on_day is not None:
                self._at(self._fleet.begins + group.generalise_on_day * DAY, self._generalise, group.name)
        servers: list[Host | Gateway] = [*self._scenario.hosts, *self._scenario.gateways]
        for server in servers:
            for outage in server.outages:
                self._plan_outage(self._processes[server.name], outage)

    def _plan_outage(self, process: ServerProcess, outage: Outage) -> None:
        begins = self._fleet.begins + outage.from_day * DAY
        self._at(begins, self._send, process.stop)
        self._at(begins + outage.days * DAY, self._send, process.start)

    def _send(self, order: Callable[[], Deferred[None]]) -> None:
        def failed(failure: Failure) -> None:
            failure.trap(ProcessFailed)
            self._figures.troubles.append(failure.getErrorMessage())

        order().addErrback(failed).addErrback(lambda failure: _log.failure("a server process failed", failure))

    def _generalise(self, group_name: str) -> None:
        for member in self._fleet.generalise(group_name, self._now):
            call = self._next.get(member)
            # A member that asks at this moment goes on by itself when its answer has come.
            if call is not None and call.active():
                call.cancel()
                self._calls.discard(call)
                self._plan(member)

    def _plan(self, member: Member) -> None:
        moment = member.on_from(member.lab.next_attempt)
        self._next[member] = self._at(moment, self._attempt, member, moment)

    def _join(self, member: Member) -> None:
        self._fleet.record.joined(member, member.joins)
        self._attempt(member, member.joins)

    def _leave(self, member: Member) -> None:
        if member.counted is not None:
            self._fleet.record.left(member, member.leaves)

    def _attempt(self, member: Member, moment: float) -> None:
        due = self._reactor.seconds()
        turns = self._turns[member.site.name]
        self._under_way += 1
        asking: Deferred[None] = turns.run(lambda: Deferred.fromCoroutine(self._ask(member, due, moment)))
        asking.addErrback(lambda failure: _log.failure("an attempt failed", failure)).addBoth(self._ended)

    def _ended(self, _: object) -> None:
        self._under_way -= 1

    def _is_out(self, member: Member) -> bool:
        """Whether a member is finished: it has left, or the time is over."""
        return self._over or member.counted is None

    async def _ask(self, member: Member, due: float, moment: float) -> None:
        """Make the attempt that is due at a `moment` of the scenario, which is `due` on the real clock."""
        if self._is_out(member):
            return
        self._figures.latest = max(self._figures.latest, self._reactor.seconds() - due)
        self._fleet.record.settle(member, moment)
        site, choice, asking = member.site, member.choice, member.lab
        answered = False
        if not site.link_down.holds(moment) and not site.is_lost():
            known = choice.known
            if known is not None:
                answered = await self._try(member, known, moment)
                if not answered:
                    choice.unreachable(known)
            if not answered and choice.discovers:
                for server in site.discover(moment):
                    if answered := await self._try(member, server, moment):
                        break
        if self._is_out(member):
            return
        if not answered and member.lab is asking:
            code = _NO_HOST if choice.known is not None or site.is_served(moment) else _NO_NAME
            member.lab.process(code, None, moment)
            self._fleet.record.unanswered(code, moment)
        self._plan(member)

    async def _try(self, member: Member, server: SimulatedServer, moment: float) -> bool:
        """Ask one server over the wire. Returns whether it answered."""
        real = self._reactor.seconds()
        error = clock_error_at(member.clock_error, self._fleet.begins, moment) if member.clock_error else 0.0
        asking = member.lab
        # Requests carry the real time, which is the servers', too.
        message = self._cipher.seal_request(asking.request(moment, self._wall() - moment + error))
        try:
            contact = self._contacts[member.site.name]
            answer = await contact(HostPort("127.0.0.1", self._processes[server.name].port), message)
        except UpstreamError as failed:
            self._figures.errors[failed.reason] += 1
            return False
        self._figures.answers.append(self._reactor.seconds() - real)
        record = self._fleet.record
        server.requests[record.hour_of(moment)] += 1
        # The machine was generalised meanwhile: the answer belongs to its earlier identity.
        if not self._is_out(member) and member.lab is asking:
            outcome = asking.process_message(self._cipher, answer.hresult, answer.message, moment)
            if outcome.activated:
                member.choice.worked(server)
            record.answered(member, server, outcome, moment, self._counted_at(server))
        return True

    def _counted_at(self, server: SimulatedServer) -> str:
        """The name of the host that counted a request: all of a run's hosts have one key, and so one host id.

        Behind a gateway with several hosts it is not known which one answered: the count is recorded for the gateway.
        """
        gateway = next((one for one in self._scenario.gateways if one.name == server.name), None)
        return gateway.upstreams[0] if gateway is not None and len(gateway.upstreams) == 1 else server.name


def _contact_from(site: Site, reactor: Reactor) -> Contact:
    """How the machines of a site reach a host: over its link, with time enough for that."""
    round_trip = site.round_trip_seconds
    if not round_trip:
        return contact_over_tcp(reactor, TIMEOUT)
    # A call takes one round trip, and so does the bind after the connection.
    return contact_over_tcp(reactor, TIMEOUT + 2 * round_trip, lambda endpoint: SlowLink(endpoint, reactor, round_trip))
