"""The count a KMS host would have: distinct clients of the last 30 days, and what becomes of it.

A host forgets a client 30 days after its last call. The forecast assumes no new clients: those that called within two
renewal intervals go on renewing, those that did not will leave on the day the host forgets them.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from sqlalchemy import Connection, func, select

from kmstwist.audit import schema
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
from kmstwist.audit.reports.unnamed import counted_twice, unnamed_calls


@dataclass(frozen=True, slots=True)
class CountRow(ReportRow):
    """The clients of one threshold class: those that need a count of `needed`; None for those that did not say.

    `reached` and `falls_below` are about the class's own number: whether it is at least what is needed, and when, by
    the forecast, it no longer is.
    """

    needed: Annotated[int | None, Heading("Needed", Kind.NUMBER)]
    clients: Annotated[int, Heading("Clients", Kind.NUMBER)]
    reached: Annotated[bool | None, Heading("Reached", Kind.FLAG)]
    quiet: Annotated[int, Heading("Not renewing", Kind.NUMBER)]
    in_7_days: Annotated[int, Heading("In 7 days", Kind.NUMBER)]
    in_14_days: Annotated[int, Heading("In 14 days", Kind.NUMBER)]
    in_30_days: Annotated[int, Heading("In 30 days", Kind.NUMBER)]
    falls_below: Annotated[datetime | None, Heading("Falls below on", Kind.DATE)]

    @property
    def urgency(self) -> Urgency:
        """Below the threshold, about to be, or well."""
        if self.reached is None:
            return Urgency.NONE
        if not self.reached:
            return Urgency.LOST
        return Urgency.URGENT if self.falls_below is not None else Urgency.GOOD


def count(connection: Connection, query: Query) -> Report[CountRow]:
    """Distinct clients (CMIDs, or addresses where none could be read) by threshold class, with a forecast."""
    last_calls: dict[int | None, list[datetime]] = defaultdict(list)
    horizon = to_ms(query.now - HOST_REMEMBERS)
    cmids, machines = schema.machine_cmids, schema.machines
    read = (
        select(cmids.c.cmid, cmids.c.required_count, func.max(cmids.c.last_seen).label("last_seen"))
        .where(cmids.c.last_seen > horizon, cmids.c.last_seen <= to_ms(query.now))
        .group_by(cmids.c.cmid, cmids.c.required_count)
    )
    opaque = select(machines.c.machine, machines.c.last_seen).where(
        machines.c.cmid.is_(None), machines.c.last_seen > horizon, machines.c.last_seen <= to_ms(query.now)
    )
    for row in connection.execute(read):
        last_calls[row.required_count].append(moment(row.last_seen))
    unnamed = unnamed_calls(connection)
    twice = 0
    for machine, seen in connection.execute(opaque):
        last_calls[None].append(moment(seen))
        twice += machine in unnamed.machine_at
    order = sorted(last_calls, key=lambda needed: (needed is None, -(needed or 0)))
    rows = [_row(needed, sorted(last_calls[needed]), query.now) for needed in order]
    return Report("count", "Distinct clients in 30 days, with a forecast", CountRow, rows, counted_twice(twice))


def _row(needed: int | None, last_calls: list[datetime], now: datetime) -> CountRow:
    quiet = [seen for seen in last_calls if seen < now - 2 * RENEWAL_EVERY]

    def remaining(days: int) -> int:
        then = now + timedelta(days=days)
        return len(last_calls) - sum(seen + HOST_REMEMBERS <= then for seen in quiet)

    falls_below = None
    if needed is not None and len(last_calls) >= needed:
        # The host has `needed` clients left until this many of the quiet ones, the first to call last, have gone.
        leaving = len(last_calls) - needed
        if leaving < len(quiet):
            falls_below = quiet[leaving] + HOST_REMEMBERS
    return CountRow(
        needed=needed,
        clients=len(last_calls),
        reached=None if needed is None else len(last_calls) >= needed,
        quiet=len(quiet),
        in_7_days=remaining(7),
        in_14_days=remaining(14),
        in_30_days=remaining(30),
        falls_below=falls_below,
    )
