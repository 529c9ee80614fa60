"""One licence of a fleet: a machine's product with its `LabClient`, its working hours and its recorded state."""

from __future__ import annotations

from random import Random
from uuid import UUID

from kmstwist.kms.catalogue import Product
from kmstwist.kms.messages import LicenseStatus
from kmstwist.kms.version import Version
from kmstwist.lab.client import LabClient
from kmstwist.lab.fleet.clock import VirtualCall
from kmstwist.lab.fleet.scenario import WEEKDAYS, ClockError, Group, OfficeHours
from kmstwist.lab.fleet.world import DAY, FOREVER, SimulatedServer, SimulatedSite
from kmstwist.lab.host_choice import HostChoice


class WorkingHours:
    """When one machine is on: a group's office hours, shifted by the machine's own lateness (seconds)."""

    __slots__ = ("_closes", "_day_offsets", "_midnight", "_opens")

    def __init__(self, hours: OfficeHours, midnight: float, weekday: int, lateness: float) -> None:
        self._midnight = midnight
        self._opens = hours.opens.hour * 3600 + hours.opens.minute * 60 + hours.opens.second + lateness
        self._closes = hours.closes.hour * 3600 + hours.closes.minute * 60 + hours.closes.second + lateness
        working = [name in hours.days for name in WEEKDAYS]
        # For each weekday, counted from the scenario's first day: the days until the next working day, 0 if it is one.
        self._day_offsets = [
            next(offset for offset in range(7) if working[(weekday + day + offset) % 7]) for day in range(7)
        ]

    def on_from(self, moment: float) -> float:
        """The moment itself if the machine is on then, else when it is switched on next."""
        day, second = divmod(moment - self._midnight, DAY)
        at = int(day)
        wait = self._day_offsets[at % 7]
        if wait == 0:
            if second < self._opens:
                return self._midnight + at * DAY + self._opens
            if second < self._closes:
                return moment
            at += 1
            wait = self._day_offsets[at % 7]
        return self._midnight + (at + wait) * DAY + self._opens


class Member:
    """A machine's licence for one product. Times are Unix seconds; infinity means never.

    `pending` is its next call on the virtual clock. `counted` is the state under which the record counts it at present
    (None before it joins and after it leaves). `lost_at` is when a licence first ran out, `notified_at` when it first
    entered notification mode, `restored_at` when it was licensed again after the last of these.
    """

    __slots__ = (
        "choice",
        "clock_error",
        "counted",
        "group",
        "hours",
        "joins",
        "lab",
        "leaves",
        "lost_at",
        "notified_at",
        "pending",
        "restored_at",
        "site",
    )

    def __init__(
        self,
        lab: LabClient,
        group: Group,
        site: SimulatedSite,
        hours: WorkingHours | None,
        choice: HostChoice[SimulatedServer],
        joins: float,
        leaves: float,
    ) -> None:
        self.lab = lab
        self.group = group
        self.site = site
        self.hours = hours
        self.choice = choice
        self.joins = joins
        self.leaves = leaves
        self.clock_error = group.clock_error
        self.pending: VirtualCall | None = None
        self.counted: LicenseStatus | None = None
        self.lost_at: float | None = None
        self.notified_at: float | None = None
        self.restored_at: float | None = None

    def on_from(self, moment: float) -> float:
        """The moment itself if the machine is on then, else when it is switched on next."""
        return moment if self.hours is None else self.hours.on_from(moment)

    def generalise(self, cmid: UUID, now: float) -> None:
        """The effect of sysprep /generalize: a new client machine id, and a new grace period."""
        old = self.lab
        self.lab = LabClient(
            old.machine_name,
            cmid,
            old.product,
            installed=now,
            version=old.version,
            virtual_machine=old.virtual_machine,
            previous_cmid=old.cmid,
        )


def clock_error_at(error: ClockError, begins: float, now: float) -> float:
    """How many seconds a machine's clock is ahead at a moment."""
    since = now - begins - error.from_day * DAY
    return error.minutes * 60 if 0 <= since < error.days * DAY else 0.0


def members_of(
    group: Group, site: SimulatedSite, servers: dict[str, SimulatedServer], begins: float, weekday: int, random: Random
) -> list[Member]:
    """The members of a group, one for each product of each machine, in the machines' order."""
    midnight = begins - begins % DAY
    version = Version(group.kms_version, 0)
    image = new_cmid(random)
    joins, leaves = group.joins, group.leaves
    leaving = 0 if leaves is None else round(group.count * leaves.share)
    goers = set(random.sample(range(group.count), leaving))
    gone = 0
    members: list[Member] = []
    for number in range(group.count):
        join = begins + (joins.from_day + joins.over_days * number / group.count) * DAY
        leave = FOREVER
        if leaves is not None and number in goers:
            leave = begins + (leaves.from_day + leaves.over_days * gone / leaving) * DAY
            gone += 1
        hours = None
        if group.office_hours is not None:
            lateness = random.uniform(0, group.office_hours.spread_minutes * 60)
            hours = WorkingHours(group.office_hours, midnight, weekday, lateness)
            join = hours.on_from(join)
        cmid = image if group.cloned else new_cmid(random)
        by_hand = servers[group.host] if group.host is not None else None
        members += (
            Member(
                _client(group, number, cmid, product, join, version),
                group,
                site,
                hours,
                HostChoice(by_hand, caching=group.caching),
                join,
                leave,
            )
            for product in group.catalogue
        )
    return members


def _client(group: Group, number: int, cmid: UUID, product: Product, join: float, version: Version) -> LabClient:
    name = f"{group.name}-{number + 1:0{max(2, len(str(group.count)))}d}"
    return LabClient(name, cmid, product, installed=join, version=version, virtual_machine=group.virtual)


def new_cmid(random: Random) -> UUID:
    """A client machine id, drawn."""
    return UUID(bytes=random.randbytes(16), version=4)
