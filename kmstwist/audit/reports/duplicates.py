"""CMIDs that several machines share (an image that was not generalised), and machines that changed theirs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Annotated, Any

from sqlalchemy import Connection, Row, func, or_, select, tuple_

from kmstwist.audit import schema
from kmstwist.audit.products.names import Names
from kmstwist.audit.reports.filters import application_name, pattern, plain_order
from kmstwist.audit.reports.model import Heading, Kind, Query, Report, ReportRow, Urgency, moment, to_ms

SHARED = "shared CMID"
CHANGED = "changed CMID"


@dataclass(frozen=True, slots=True)
class DuplicateRow(ReportRow):
    """A CMID with its machines, or a machine with its CMIDs; `others` lists them, the latest seen first.

    `names` are the same as data, for a page that makes links of them.
    """

    finding: Annotated[str, Heading("Finding")]
    subject: Annotated[str, Heading("Subject", Kind.NAME)]
    application: Annotated[str, Heading("App", Kind.NAME)]
    number: Annotated[int, Heading("Number", Kind.NUMBER)]
    others: Annotated[str, Heading("Machines or CMIDs")]
    last_seen: Annotated[datetime, Heading("Last seen", Kind.DATE)]
    names: tuple[str, ...]

    @property
    def urgency(self) -> Urgency:
        """Clones sharing a CMID count as one at the KMS host; a changed CMID may just be a reinstalled machine."""
        return Urgency.URGENT if self.finding == SHARED else Urgency.SOON


def duplicates(connection: Connection, query: Query) -> Report[DuplicateRow]:
    """Shared CMIDs first, those of most machines first; then machines that changed their CMID."""
    rows = sorted(_shared(connection, query) + _changed(connection, query), key=_order)
    return Report("duplicates", "CMIDs shared by machines, and machines that changed CMID", DuplicateRow, rows)


def _order(row: DuplicateRow) -> tuple[bool, int, str]:
    return (row.finding != SHARED, -row.number, row.subject)


def _conditions(query: Query) -> list[Any]:
    table = schema.machine_cmids
    found: list[Any] = []
    if query.since is not None:
        found.append(table.c.last_seen >= to_ms(query.since))
    if query.until is not None:
        found.append(table.c.last_seen < to_ms(query.until))
    return found


def _concerns(rows: list[Row[Any]], query: Query, wanted: set[str] | None) -> bool:
    return wanted is None or any(row.machine in wanted for row in rows)


def _wanted(connection: Connection, query: Query) -> set[str] | None:
    """The machines the query's pattern names; a finding is shown whole if it concerns one of them."""
    if query.machine is None:
        return None
    table = schema.machine_cmids
    named = or_(pattern(table.c.machine, query.machine), pattern(table.c.address, query.machine))
    return set(connection.scalars(select(table.c.machine).where(named)))


def _shared(connection: Connection, query: Query) -> list[DuplicateRow]:
    table = schema.machine_cmids
    several = (
        select(table.c.cmid)
        .where(*_conditions(query))
        .group_by(table.c.cmid)
        .having(func.count(table.c.machine.distinct()) > 1)
    )
    found = connection.execute(
        select(table)
        .where(table.c.cmid.in_(several), *_conditions(query))
        .order_by(plain_order(table.c.cmid), table.c.last_seen.desc(), plain_order(table.c.machine), table.c.app)
    )
    wanted, names = _wanted(connection, query), Names.stored(connection)
    rows = []
    for cmid, group in groupby(found, key=lambda row: str(row.cmid)):
        members = list(group)
        if _concerns(members, query, wanted):
            rows.append(_row(SHARED, cmid, members, [row.machine for row in members], names))
    return rows


def _changed(connection: Connection, query: Query) -> list[DuplicateRow]:
    table = schema.machine_cmids
    key = tuple_(table.c.machine, table.c.app)
    several = (
        select(table.c.machine, table.c.app)
        .where(*_conditions(query))
        .group_by(table.c.machine, table.c.app)
        .having(func.count() > 1)
    )
    found = connection.execute(
        select(table)
        .where(key.in_(several), *_conditions(query))
        .order_by(
            plain_order(table.c.machine), plain_order(table.c.app), table.c.last_seen.desc(), plain_order(table.c.cmid)
        )
    )
    wanted, names = _wanted(connection, query), Names.stored(connection)
    rows = []
    for (machine, _), group in groupby(found, key=lambda row: (str(row.machine), str(row.app))):
        members = list(group)
        if _concerns(members, query, wanted):
            rows.append(_row(CHANGED, machine, members, [row.cmid for row in members], names))
    return rows


def _row(finding: str, subject: str, members: list[Row[Any]], others: list[str], names: Names) -> DuplicateRow:
    distinct = list(dict.fromkeys(others))
    return DuplicateRow(
        finding=finding,
        subject=subject,
        application=", ".join(sorted({application_name(row.app, names) for row in members})),
        number=len(distinct),
        others=", ".join(distinct),
        last_seen=moment(members[0].last_seen),
        names=tuple(distinct),
    )
