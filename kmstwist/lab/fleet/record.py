"""The record of a fleet while it runs, and the result made from it.

States are kept as the changes in each hour and added up at the end: recording costs nothing while nothing changes, and
a change is recorded at its own moment even if its machine is looked at only later.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import accumulate
from operator import add

from kmstwist.kms.catalogue import APPLICATION_NAMES, FAMILIES
from kmstwist.kms.messages import LicenseStatus
from kmstwist.lab.client import Outcome
from kmstwist.lab.fleet.member import Member
from kmstwist.lab.fleet.scenario import Outage, Scenario
from kmstwist.lab.fleet.world import DAY, SimulatedServer, World

HOUR = 3600

STATES = (LicenseStatus.LICENSED, LicenseStatus.OOB_GRACE, LicenseStatus.OOT_GRACE, LicenseStatus.NOTIFICATION)
"""The states a fleet's licences can be in, the best first."""


@dataclass(frozen=True, slots=True)
class Loss:
    """A licence that ran out (`lost_at`) or entered notification mode (`notified_at`); Unix seconds, None for never.

    `restored_at` is when it was licensed again for good, `state` its state at the end.
    """

    machine: str
    product: str
    group: str
    site: str
    lost_at: float | None
    notified_at: float | None
    restored_at: float | None
    state: LicenseStatus


@dataclass(frozen=True, slots=True)
class Threshold:
    """When a host's count for an application first reached the `required` number."""

    host: str
    application: str
    required: int
    reached_at: float


@dataclass(frozen=True, slots=True)
class Span:
    """Something that was away for a time: `what` it is, from when to when (Unix seconds)."""

    what: str
    begins: float
    ends: float


@dataclass(frozen=True, slots=True)
class FleetResult:
    """The result of a run. All lists have one entry for each of `hours` hours since `begins` (Unix seconds).

    `states` is, by product family and state, how many licences are in it at the end of each hour; `requests` how many
    requests each host and gateway got; `unanswered` how many attempts got no answer; `counts` each host's client
    count, by application, at the end of the hour. `outcomes` is how often each HRESULT came about. `never_on` is how
    many licences are on machines that were not switched on even once.
    """

    scenario: Scenario
    begins: float
    hours: int
    machines: int
    licences: int
    attempts: int
    states: dict[str, dict[LicenseStatus, list[int]]]
    requests: dict[str, list[int]]
    unanswered: list[int]
    counts: dict[str, dict[str, list[int]]]
    thresholds: tuple[Threshold, ...]
    outcomes: dict[int, int]
    losses: tuple[Loss, ...]
    never_on: int
    never_licensed: int
    all_licensed_at: float | None
    away: tuple[Span, ...]

    def total(self, state: LicenseStatus) -> list[int]:
        """How many licences of all families are in a state at the end of each hour."""
        return summed([by_state[state] for by_state in self.states.values()], self.hours)


class Record:
    """The record of one run of a fleet."""

    def __init__(self, begins: float, ends: float, hours: int, world: World) -> None:
        self.begins = begins
        self.ends = ends
        self.hours = hours
        self._world = world
        self._changes = {family: {state: [0] * hours for state in STATES} for family in FAMILIES}
        self._unanswered = [0] * hours
        self._outcomes: Counter[int] = Counter()
        self._thresholds: dict[tuple[str, str, int], float] = {}
        self._names = {host.lab.host_id: name for name, host in world.hosts.items()}
        self._counts: dict[str, dict[str, list[int]]] = {
            name: {application: [0] * hours for application in APPLICATION_NAMES.values()} for name in world.hosts
        }
        self._in_all = 0
        self._ever_on = 0
        self._licensed = 0
        self._all_licensed_at: float | None = None

    def hour_of(self, moment: float) -> int:
        """The hour that a moment is in; the end itself belongs to the last."""
        return min(self.hours - 1, int((moment - self.begins) // HOUR))

    def joined(self, member: Member, now: float) -> None:
        """Start counting a member."""
        member.counted = member.lab.status
        self._changes[member.lab.product.family][member.counted][self.hour_of(now)] += 1
        self._in_all += 1
        self._ever_on += 1
        self._all_licensed_at = None

    def left(self, member: Member, now: float) -> None:
        """Stop counting a member."""
        self.settle(member, now)
        assert member.counted is not None
        self._changes[member.lab.product.family][member.counted][self.hour_of(now)] -= 1
        self._in_all -= 1
        self._licensed -= member.counted is LicenseStatus.LICENSED
        member.counted = None

    def settle(self, member: Member, now: float) -> None:
        """Advance a member's licence to `now`, and record each change of its state at its own moment."""
        lab = member.lab
        while (expires := lab.expires) is not None and expires <= now:
            lab.advance(expires)
            self._move(member, expires)
        if lab.status is not member.counted:
            self._move(member, now)

    def answered(
        self, member: Member, server: SimulatedServer, outcome: Outcome, now: float, counted_at: str | None = None
    ) -> None:
        """Record an answer; `counted_at` names the host that counted it, if its host id does not."""
        self._outcomes[outcome.hresult] += 1
        lab = member.lab
        if outcome.status is not member.counted:
            self._move(member, now)
        if outcome.count is not None and outcome.count >= lab.required_count and lab.host_id is not None:
            key = (counted_at or lab.host_id, APPLICATION_NAMES[lab.product.app_id], lab.required_count)
            self._thresholds.setdefault(key, now)

    def unanswered(self, code: int, now: float) -> None:
        """Record an attempt without an answer."""
        self._outcomes[code] += 1
        self._unanswered[self.hour_of(now)] += 1

    def end_hour(self, hour: int) -> None:
        """Record the hosts' counts at the end of an hour."""
        for name, host in self._world.hosts.items():
            series = self._counts[name]
            for app_id, application in APPLICATION_NAMES.items():
                series[application][hour] = host.lab.count(app_id)

    def result(self, scenario: Scenario, members: list[Member]) -> FleetResult:
        """The result, once every member is settled."""
        states = {
            family: {state: list(accumulate(changes)) for state, changes in by_state.items()}
            for family, by_state in self._changes.items()
            if any(any(changes) for changes in by_state.values())
        }
        counts = {
            name: {application: series for application, series in by_application.items() if any(series)}
            for name, by_application in self._counts.items()
        }
        return FleetResult(
            scenario=scenario,
            begins=self.begins,
            hours=self.hours,
            machines=scenario.machine_count,
            licences=len(members),
            attempts=sum(self._outcomes.values()),
            states=states,
            requests={name: server.requests for name, server in self._world.servers.items()},
            unanswered=self._unanswered,
            counts=counts,
            thresholds=tuple(
                sorted(
                    (
                        Threshold(self._names.get(host_id, host_id), application, required, at)
                        for (host_id, application, required), at in self._thresholds.items()
                    ),
                    key=lambda threshold: (threshold.reached_at, threshold.host),
                )
            ),
            outcomes=dict(sorted(self._outcomes.items())),
            losses=tuple(_loss(member) for member in members if _lost(member)),
            never_on=len(members) - self._ever_on,
            never_licensed=sum(member.lab.last_success is None and member.counted is not None for member in members),
            all_licensed_at=self._all_licensed_at,
            away=tuple(_away(scenario)),
        )

    def _move(self, member: Member, at: float) -> None:
        old, new = member.counted, member.lab.status
        if old is None or old is new:
            return
        hour = self.hour_of(at)
        by_state = self._changes[member.lab.product.family]
        by_state[old][hour] -= 1
        by_state[new][hour] += 1
        member.counted = new
        if new is LicenseStatus.LICENSED:
            self._licensed += 1
            if self._licensed == self._in_all and self._all_licensed_at is None:
                self._all_licensed_at = at
            if member.lost_at is not None or member.notified_at is not None:
                member.restored_at = at
            return
        if old is LicenseStatus.LICENSED:
            self._licensed -= 1
            member.restored_at = None
        if new is LicenseStatus.OOT_GRACE and member.lost_at is None:
            member.lost_at = at
        if new is LicenseStatus.NOTIFICATION and member.notified_at is None:
            member.notified_at = at


def summed(series: list[list[int]], hours: int) -> list[int]:
    """Several hourly series as one."""
    total = [0] * hours
    for values in series:
        total = list(map(add, total, values))
    return total


def _lost(member: Member) -> bool:
    return member.lost_at is not None or member.notified_at is not None


def _loss(member: Member) -> Loss:
    return Loss(
        machine=member.lab.machine_name,
        product=member.lab.product.name,
        group=member.group.name,
        site=member.site.name,
        lost_at=member.lost_at,
        notified_at=member.notified_at,
        restored_at=member.restored_at,
        state=member.lab.status,
    )


def _away(scenario: Scenario) -> list[Span]:
    begins, ends = scenario.begins, scenario.begins + scenario.days * DAY

    def span(what: str, outage: Outage) -> Span:
        starts = begins + outage.from_day * DAY
        return Span(what, starts, min(ends, starts + outage.days * DAY))

    return [
        *(span(f"host {host.name}", outage) for host in scenario.hosts for outage in host.outages),
        *(span(f"gateway {gateway.name}", outage) for gateway in scenario.gateways for outage in gateway.outages),
        *(span(f"link of {site.name}", outage) for site in scenario.sites for outage in site.outages),
    ]
