"""A fleet in virtual time: machines are `LabClient`s and hosts are `LabHost`s; this module brings them together.

Each member has one call pending on the virtual clock, its next attempt. An attempt finds a host (by hand, remembered,
DNS), lets the host decide, lets the client process the answer, and asks the client when it wants to try again.

While a machine cannot reach any host, its attempts fail until the world changes; they are made one after the other
without going through the clock. The client's own code still decides each of them; only the waiting is skipped. Without
this, 100,000 machines and a host that is away for half a year would be 250 million events.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from datetime import UTC, datetime
from math import ceil
from uuid import UUID

from kmstwist.kms.messages import Request, Response
from kmstwist.kms.status import Status
from kmstwist.lab.client import Outcome
from kmstwist.lab.fleet.clock import VirtualClock
from kmstwist.lab.fleet.member import Member, clock_error_at, members_of, new_cmid
from kmstwist.lab.fleet.record import FleetResult, Record
from kmstwist.lab.fleet.scenario import Scenario
from kmstwist.lab.fleet.world import DAY, SimulatedServer, World, repeatable

HOUR = 3600

_NO_HOST = int(Status.SL_E_VL_BINDING_SERVICE_UNAVAILABLE)
_NO_NAME = int(Status.E_DNS_NAME_ERROR)
_NO_DNS = int(Status.E_DNS_SERVER_FAILURE)

Watcher = Callable[[Member, float, Outcome], None]
"""Called for each attempt, with the member, the time and the outcome."""


class Fleet:
    """A scenario, ready to run. `watch` is called for every attempt (for tests, and to follow single machines)."""

    def __init__(self, scenario: Scenario, watch: Watcher | None = None) -> None:
        self.scenario = scenario
        self.begins = scenario.begins
        self.ends = self.begins + scenario.days * DAY
        hours = ceil(scenario.days * 24)
        random = repeatable(scenario.seed)
        self.clock = VirtualClock(self.begins)
        self.world = World(scenario, self.clock.seconds, random, hours)
        weekday = datetime.fromtimestamp(self.begins, UTC).weekday()
        self.members: list[Member] = []
        for group in scenario.groups:
            # Each group has its own source of random numbers, so that adding a group does not change the others.
            group_random = repeatable(f"{scenario.seed} {group.name}")
            site = self.world.sites[group.site]
            self.members += members_of(group, site, self.world.servers, self.begins, weekday, group_random)
        self._random = random
        self.record = Record(self.begins, self.ends, hours, self.world)
        self._watch = watch

    def run(self, progress: Callable[[float], None] | None = None) -> FleetResult:
        """Run to the end; `progress` is called each virtual hour with the part that has passed, from 0 to 1."""
        self._enter()
        # The millions of objects made here are never part of a cycle; searching for cycles takes a tenth of the time.
        collecting = gc.isenabled()
        gc.disable()
        try:
            for hour in range(self.record.hours):
                self.clock.run_until(min(self.ends, self.begins + (hour + 1) * HOUR))
                self.record.end_hour(hour)
                if progress is not None:
                    progress((hour + 1) / self.record.hours)
        finally:
            if collecting:
                gc.enable()
        for member in self.members:
            if member.counted is not None:
                self.record.settle(member, min(self.ends, member.leaves))
        return self.record.result(self.scenario, self.members)

    def _enter(self) -> None:
        for member in self.members:
            if member.joins >= min(self.ends, member.leaves):
                continue
            self.clock.call_at(member.joins, self._join, member)
            if member.leaves < self.ends:
                self.clock.call_at(member.leaves, self._leave, member)
        for group in self.scenario.groups:
            if group.generalise_on_day is not None:
                self.clock.call_at(self.begins + group.generalise_on_day * DAY, self._generalise, group.name)

    def _join(self, member: Member) -> None:
        self.record.joined(member, self.clock.seconds())
        self._attempt(member)

    def _leave(self, member: Member) -> None:
        self.record.left(member, self.clock.seconds())

    def _generalise(self, group_name: str) -> None:
        for member in self.generalise(group_name, self.clock.seconds()):
            if member.pending is not None and member.pending.active():
                member.pending.cancel()
            self._plan(member)

    def generalise(self, group_name: str, now: float) -> list[Member]:
        """Run sysprep /generalize on a group's machines. Returns its members, which have to ask again."""
        fresh: dict[str, UUID] = {}
        generalised: list[Member] = []
        for member in self.members:
            if member.group.name == group_name and member.counted is not None:
                cmid = fresh.setdefault(member.lab.machine_name, new_cmid(self._random))
                self.record.settle(member, now)
                member.generalise(cmid, now)
                self.record.settle(member, now)
                generalised.append(member)
        return generalised

    def _attempt(self, member: Member) -> None:
        now = self.clock.seconds()
        if now >= member.leaves:
            return
        self.record.settle(member, now)
        site = member.site
        server = None if site.link_down.holds(now) or site.is_lost() else self._find(member, now)
        if server is None:
            self._fail(member, now)
            return
        request = member.lab.request(
            now, clock_error_at(member.clock_error, self.begins, now) if member.clock_error else 0.0
        )
        if site.round_trip:
            member.pending = self.clock.call_at(now + site.round_trip / 2, self._arrive, member, server, request)
            return
        hresult, response = server.ask(request, now, int((now - self.begins) // HOUR))
        self._process(member, server, hresult, response, now)

    def _arrive(self, member: Member, server: SimulatedServer, request: Request) -> None:
        now = self.clock.seconds()
        answer: tuple[int, Response | None] = (_NO_HOST, None)
        if server.reachable(now) and now < self.ends:
            answer = server.ask(request, now, self.record.hour_of(now))
        member.pending = self.clock.call_at(now + member.site.round_trip / 2, self._answered, member, server, *answer)

    def _answered(self, member: Member, server: SimulatedServer, hresult: int, response: Response | None) -> None:
        now = self.clock.seconds()
        if now < member.leaves:
            self.record.settle(member, now)
            self._process(member, server, hresult, response, now)

    def _process(
        self, member: Member, server: SimulatedServer, hresult: int, response: Response | None, now: float
    ) -> None:
        outcome = member.lab.process(hresult, response, now)
        if outcome.hresult == 0:
            member.choice.worked(server)
        self.record.answered(member, server, outcome, now)
        if self._watch is not None:
            self._watch(member, now, outcome)
        self._plan(member)

    def _find(self, member: Member, now: float) -> SimulatedServer | None:
        """The host this member asks now, or None if it reaches none."""
        choice = member.choice
        known = choice.known
        if known is not None:
            if known.reachable(now):
                return known
            choice.unreachable(known)
        if not choice.discovers or not member.site.may_reach_any(now):
            return None
        return next(server for server in member.site.discover(now) if server.reachable(now))

    def _fail(self, member: Member, now: float) -> None:
        """Record an attempt without an answer, and all later ones that are certain to fail as well."""
        lab, site = member.lab, member.site
        code = _NO_HOST
        if site.link_down.holds(now) and member.choice.known is None:
            code = _NO_DNS
        elif member.choice.known is None and not site.is_served(now):
            code = _NO_NAME
        until = self.world.next_change(now)
        if site.loss and self._could_reach(member, now):
            until = now
        until = min(until, member.leaves, self.ends)
        while True:
            outcome = lab.process(code, None, now)
            self.record.unanswered(code, now)
            if self._watch is not None:
                self._watch(member, now, outcome)
            now = member.on_from(outcome.next_attempt)
            if now >= until:
                break
            self.record.settle(member, now)
        if now < self.ends:
            member.pending = self.clock.call_at(now, self._attempt, member)

    def _could_reach(self, member: Member, now: float) -> bool:
        """Whether a host would have answered if the link had not lost the attempt."""
        if member.site.link_down.holds(now):
            return False
        known = member.choice.known
        if known is not None and known.reachable(now):
            return True
        return member.choice.discovers and member.site.may_reach_any(now)

    def _plan(self, member: Member) -> None:
        due = member.on_from(member.lab.next_attempt)
        if due < self.ends:
            member.pending = self.clock.call_at(due, self._attempt, member)
