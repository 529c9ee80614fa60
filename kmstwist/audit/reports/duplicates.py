"""CMIDs that several machines share (an image that was not generalised), and machines that changed theirs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, NamedTuple

from kmstwist.audit.asking.limits import like
from kmstwist.audit.asking.questions import ask, column
from kmstwist.audit.products.names import Names
from kmstwist.audit.reports.filters import MACHINE_CMIDS, application_name, seen_in
from kmstwist.audit.reports.model import Heading, Kind, Query, Report, ReportRow, Urgency, moment

if TYPE_CHECKING:
    from kmstwist.audit.asking.questions import Reader


class _Stored(NamedTuple):
    """A row of the answers."""

    machine: str
    app: str
    cmid: str
    last_seen: int


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


def duplicates(reader: Reader, query: Query) -> Report[DuplicateRow]:
    """Shared CMIDs first, those of most machines first; then machines that changed their CMID."""
    rows = sorted(_shared(reader, query) + _changed(reader, query), key=_order)
    return Report("duplicates", "CMIDs shared by machines, and machines that changed CMID", DuplicateRow, rows)


def _order(row: DuplicateRow) -> tuple[bool, int, str]:
    return (row.finding != SHARED, -row.number, row.subject)


def _concerns(rows: list[_Stored], query: Query, wanted: set[str] | None) -> bool:
    return wanted is None or any(row.machine in wanted for row in rows)


def _wanted(reader: Reader, query: Query) -> set[str] | None:
    """The machines the query's pattern names; a finding is shown whole if it concerns one of them."""
    if query.machine is None:
        return None
    named = like(MACHINE_CMIDS, "machine", query.machine)
    return set(column(reader, "machines with CMIDs", [named]))


def _shared(reader: Reader, query: Query) -> list[DuplicateRow]:
    found = map(_Stored._make, ask(reader, "shared CMIDs", seen_in(MACHINE_CMIDS, query)))
    wanted, names = _wanted(reader, query), Names.stored(reader)
    rows = []
    for cmid, group in groupby(found, key=lambda row: row.cmid):
        members = list(group)
        if _concerns(members, query, wanted):
            rows.append(_row(SHARED, cmid, members, [row.machine for row in members], names))
    return rows


def _changed(reader: Reader, query: Query) -> list[DuplicateRow]:
    found = map(_Stored._make, ask(reader, "changed CMIDs", seen_in(MACHINE_CMIDS, query)))
    wanted, names = _wanted(reader, query), Names.stored(reader)
    rows = []
    for (machine, _), group in groupby(found, key=lambda row: (row.machine, row.app)):
        members = list(group)
        if _concerns(members, query, wanted):
            rows.append(_row(CHANGED, machine, members, [row.cmid for row in members], names))
    return rows


def _row(finding: str, subject: str, members: list[_Stored], others: list[str], names: Names) -> DuplicateRow:
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
