"""What went wrong: `failures` by status and network, `refused` by client."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from sqlalchemy import Connection, func, or_, select
from sqlalchemy.sql.elements import ColumnElement

from kmstwist.audit import schema
from kmstwist.audit.records import REFUSING
from kmstwist.audit.reports.filters import on_hours, pattern, plain_order, within
from kmstwist.audit.reports.model import Heading, Kind, Query, Report, ReportRow, Urgency, moment
from kmstwist.kms.status import explain
from kmstwist.reasons import EXPLANATIONS, Reason


@dataclass(frozen=True, slots=True)
class FailureRow(ReportRow):
    """All failures of one kind in one network.

    `status` is None if the call ended without one. `reason` is "" if the call itself succeeded and the host's answer is
    the failure.
    """

    status: Annotated[int | None, Heading("Status", Kind.CODE)]
    reason: Annotated[str, Heading("Reason")]
    network: Annotated[str, Heading("Network", Kind.NAME)]
    calls: Annotated[int, Heading("Calls", Kind.NUMBER)]
    clients: Annotated[int, Heading("Clients", Kind.NUMBER)]
    first: Annotated[datetime, Heading("First", Kind.DATE, spare=True)]
    last: Annotated[datetime, Heading("Last", Kind.DATE)]
    meaning: Annotated[str, Heading("Meaning", spare=True)]
    cure: Annotated[str, Heading("Cure")]

    @property
    def urgency(self) -> Urgency:
        """Each needs attention soon."""
        return Urgency.SOON


@dataclass(frozen=True, slots=True)
class RefusedRow(ReportRow):
    """A client refused by kmstwist itself, for one reason. `machine` is its name, "" if it gave none.

    Machines that share an address have a row each.
    """

    client: Annotated[str, Heading("Client", Kind.NAME)]
    machine: Annotated[str, Heading("Machine", Kind.NAME)]
    network: Annotated[str, Heading("Network", Kind.NAME)]
    reason: Annotated[str, Heading("Reason")]
    calls: Annotated[int, Heading("Times", Kind.NUMBER)]
    first: Annotated[datetime, Heading("First", Kind.DATE, spare=True)]
    last: Annotated[datetime, Heading("Last", Kind.DATE)]
    meaning: Annotated[str, Heading("Why", spare=True)]
    cure: Annotated[str, Heading("Cure")]


def failures(connection: Connection, query: Query) -> Report[FailureRow]:
    """Every way calls failed, by status and network, the most frequent first."""
    table = schema.hourly_failures
    key = (table.c.kind, table.c.status, table.c.reason, table.c.network)
    calls = func.sum(table.c.calls)
    statement = (
        select(
            *key,
            calls.label("calls"),
            # A call that only the host's event reports has a name and no address.
            func.count(func.coalesce(func.nullif(table.c.client, ""), table.c.machine).distinct()).label("clients"),
            func.min(table.c.first_at).label("first_at"),
            func.max(table.c.last_at).label("last_at"),
        )
        .where(*_conditions(connection, query))
        .group_by(*key)
        .order_by(calls.desc(), *(each if each is table.c.status else plain_order(each) for each in key))
    )
    rows = []
    for row in connection.execute(statement):
        status = None if row.kind == "none" else row.status
        meaning, cure = _explained(status, row.reason)
        rows.append(
            FailureRow(
                status=status,
                reason="" if row.reason == Reason.OK else row.reason,
                network=row.network,
                calls=int(row.calls),
                clients=row.clients,
                first=moment(row.first_at),
                last=moment(row.last_at),
                meaning=meaning,
                cure=cure,
            )
        )
    return Report("failures", "Failures by status and network", FailureRow, rows)


def refused(connection: Connection, query: Query) -> Report[RefusedRow]:
    """Who was refused here, and why; the last one refused first."""
    table = schema.hourly_failures
    last = func.max(table.c.last_at)
    statement = (
        select(
            table.c.client,
            table.c.network,
            table.c.reason,
            table.c.machine,
            func.sum(table.c.calls).label("calls"),
            func.min(table.c.first_at).label("first_at"),
            last.label("last_at"),
        )
        .where(
            or_(*(table.c.reason.startswith(word, autoescape=True) for word in REFUSING)),
            *_conditions(connection, query),
        )
        .group_by(table.c.client, table.c.network, table.c.reason, table.c.machine)
        .order_by(last.desc(), *map(plain_order, (table.c.client, table.c.reason, table.c.machine)))
    )
    rows = []
    for row in connection.execute(statement):
        meaning, cure = _reason_explained(row.reason)
        rows.append(
            RefusedRow(
                client=row.client,
                machine=row.machine,
                network=row.network,
                reason=row.reason,
                calls=int(row.calls),
                first=moment(row.first_at),
                last=moment(row.last_at),
                meaning=meaning,
                cure=cure,
            )
        )
    return Report("refused", "Who was refused, and why", RefusedRow, rows)


def _conditions(connection: Connection, query: Query) -> list[ColumnElement[bool]]:
    table = schema.hourly_failures
    found: list[Any] = on_hours(table, query)
    if query.machine is not None:
        found.append(or_(pattern(table.c.machine, query.machine), pattern(table.c.client, query.machine)))
    if query.upstream is not None:
        found.append(pattern(table.c.upstream, query.upstream))
    if query.network is not None:
        found.append(within(connection, table, query.network))
    return found


def _explained(status: int | None, reason: str) -> tuple[str, str]:
    """The published meaning of the status; if kmstwist itself gave it, or there is none, the meaning of the reason."""
    published = None if status is None else explain(status)
    if published is None or reason.startswith(REFUSING):
        return _reason_explained(reason)
    return published.text, published.cure


def _reason_explained(reason: str) -> tuple[str, str]:
    try:
        explanation = EXPLANATIONS[Reason(reason)]
    except ValueError:
        # Stored by a later version.
        return "", ""
    return explanation.meaning, explanation.cure
