"""The count that a KMS host would have: distinct clients of the last 30 days, with a forecast.

A host keeps one count for each application: Windows clients and servers are counted together, Office separately
(Microsoft's planning guide, "Activation thresholds"). A client activates at the count that it needs: 25 for Windows
clients, 5 for servers and for Office. A host forgets a client 30 days after its last call, and does not know clients
whose calls were refused here or reached no host.

An imported event has what a client needs and its product, but not its application: one that needs 25 is a Windows
client; one that needs 5 is a server or Office, which its product's name shows. Without a name it is in a class without
an application.

The forecast assumes no new clients: those that called within two renewal intervals go on renewing, those that did not
will leave on the day the host forgets them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

from kmstwist.audit.asking.questions import ask
from kmstwist.audit.products.names import Names
from kmstwist.audit.reports.filters import application_name
from kmstwist.audit.reports.model import (
    HOST_REMEMBERS,
    RENEWAL_EVERY,
    Heading,
    Kind,
    Query,
    Report,
    ReportRow,
    Urgency,
    moment,
    to_ms,
)
from kmstwist.audit.reports.same_machine import counted_twice, likely_same

if TYPE_CHECKING:
    from kmstwist.audit.asking.questions import Reader

# Only a Windows client needs that many.
WINDOWS_CLIENTS_NEED = 25


@dataclass(frozen=True, slots=True)
class CountRow(ReportRow):
    """The clients of one application that need a count of `needed`; None for clients whose need is not known.

    `clients` counts those of this class, of which `quiet` no longer renew; `count` and the forecasts are for the whole
    application, with all its classes. `reached` says whether the count is high enough, None if clients of unknown
    applications may make the difference; `falls_below` is when, by the forecast, it will be too low.
    """

    application: Annotated[str, Heading("App", Kind.NAME)]
    needed: Annotated[int | None, Heading("Needed", Kind.NUMBER)]
    clients: Annotated[int, Heading("Clients", Kind.NUMBER)]
    quiet: Annotated[int, Heading("Not renewing", Kind.NUMBER)]
    count: Annotated[int, Heading("Count", Kind.NUMBER)]
    reached: Annotated[bool | None, Heading("Reached", Kind.FLAG)]
    in_7_days: Annotated[int, Heading("In 7 days", Kind.NUMBER)]
    in_14_days: Annotated[int, Heading("In 14 days", Kind.NUMBER, spare=True)]
    in_30_days: Annotated[int, Heading("In 30 days", Kind.NUMBER)]
    falls_below: Annotated[datetime | None, Heading("Falls below on", Kind.DATE)]

    @property
    def urgency(self) -> Urgency:
        """How urgent it is: below the threshold, about to be, or fine."""
        if self.reached is None:
            return Urgency.NONE
        if not self.reached:
            return Urgency.LOST
        return Urgency.URGENT if self.falls_below is not None else Urgency.GOOD


# When a KMS host saw each client last, by its CMID.
LastCalls = dict[str, datetime]


def count(reader: Reader, query: Query) -> Report[CountRow]:
    """Distinct clients (CMIDs, or addresses where none could be read) by application and need, with a forecast."""
    after, to = to_ms(query.now - HOST_REMEMBERS), to_ms(query.now)
    classes: dict[tuple[str, int | None], LastCalls] = defaultdict(dict)
    names = Names.stored(reader)
    for app, cmid, needed, seen in ask(reader, "read clients", after=after, to=to):
        _called(classes[_application(app, needed, names), needed], cmid, moment(seen))
    same = likely_same(reader)
    addresses: LastCalls = {}
    for machine, seen in ask(reader, "opaque clients", after=after, to=to):
        # Where CMIDs are not stored, a machine has a row for each of its products here.
        _called(addresses, machine, moment(seen))
    twice = sum(machine in same.machine_at for machine in addresses)
    rows = _rows(classes, len(addresses) - twice, query.now)
    if addresses:
        rows.append(_row("", None, addresses, addresses, 0, query.now))
    return Report("count", "Distinct clients in 30 days, with a forecast", CountRow, rows, counted_twice(twice))


def _application(app: str, needed: int | None, names: Names) -> str:
    return application_name(app, names) or ("Windows" if needed == WINDOWS_CLIENTS_NEED else "")


def _called(calls: LastCalls, cmid: str, when: datetime) -> None:
    calls[cmid] = max(when, calls.get(cmid, when))


def _rows(classes: Mapping[tuple[str, int | None], LastCalls], unread: int, now: datetime) -> list[CountRow]:
    """A row for each class; `unread` clients called whose requests could not be read, of whatever application."""
    counted: dict[str, LastCalls] = defaultdict(dict)
    for (application, _), calls in classes.items():
        for cmid, when in calls.items():
            _called(counted[application], cmid, when)
    rows = []
    for application, needed in sorted(classes, key=lambda each: (each[1] is None, -(each[1] or 0), not each[0], each)):
        # Clients whose application is not known may be of this one.
        more = counted[""].keys() - counted[application].keys() if application else ()
        calls = classes[application, needed]
        rows.append(_row(application, needed, calls, counted[application], len(more) + unread, now))
    return rows


def _row(
    application: str, needed: int | None, calls: LastCalls, counted: LastCalls, perhaps: int, now: datetime
) -> CountRow:
    renewing_since = now - 2 * RENEWAL_EVERY
    leaving = sorted(seen for seen in counted.values() if seen < renewing_since)

    def remaining(days: int) -> int:
        then = now + timedelta(days=days)
        return len(counted) - sum(seen + HOST_REMEMBERS <= then for seen in leaving)

    reached, falls_below = None, None
    if needed is not None and len(counted) >= needed:
        reached = True
        # The host has `needed` clients left until this many of the quiet ones, the first to call last, have gone.
        spare = len(counted) - needed
        if spare < len(leaving):
            falls_below = leaving[spare] + HOST_REMEMBERS
    elif needed is not None and len(counted) + perhaps < needed:
        reached = False
    return CountRow(
        application=application,
        needed=needed,
        clients=len(calls),
        quiet=sum(seen < renewing_since for seen in calls.values()),
        count=len(counted),
        reached=reached,
        in_7_days=remaining(7),
        in_14_days=remaining(14),
        in_30_days=remaining(30),
        falls_below=falls_below,
    )
