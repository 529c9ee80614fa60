"""Refused and failed calls: each kind once with its meaning and its cure, and the machines it affected."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from sqlalchemy import ColumnElement, Connection, String, case, cast, func, select

from kmstwist.audit import schema
from kmstwist.audit.asking.expressions import plain_order
from kmstwist.audit.records import COUNT_INSUFFICIENT, KINDS
from kmstwist.audit.reports.model import Heading, Kind, ReportRow, Urgency, moment, to_ms
from kmstwist.audit.schema import HOUR_MS
from kmstwist.audit.views.calls import code_text, status_of
from kmstwist.kms.status import explain
from kmstwist.reasons import EXPLANATIONS, REFUSING, Reason
from kmstwist.shown import as_sentence


@dataclass(frozen=True, slots=True)
class Meaning:
    """A code's meaning and what to do about it; "" if that is not known."""

    meaning: str
    cure: str


@dataclass(frozen=True, slots=True)
class RefusalRow(ReportRow):
    """All calls that ended with one code."""

    code: Annotated[str, Heading("Code", Kind.NAME)]
    meaning: Annotated[str, Heading("What it means")]
    cure: Annotated[str, Heading("What to do")]
    calls: Annotated[int, Heading("Calls", Kind.NUMBER)]
    clients: Annotated[int, Heading("Addresses", Kind.NUMBER)]
    networks: Annotated[int, Heading("Networks", Kind.NUMBER)]
    first: Annotated[datetime, Heading("First", Kind.TIME)]
    last: Annotated[datetime, Heading("Last", Kind.TIME)]

    @property
    def urgency(self) -> Urgency:
        """Each needs attention soon."""
        return Urgency.SOON


@dataclass(frozen=True, slots=True)
class MetRow(ReportRow):
    """A machine (or an address without a name) that got a code."""

    machine: Annotated[str, Heading("Machine", Kind.NAME)]
    address: Annotated[str, Heading("Address", Kind.NAME)]
    network: Annotated[str, Heading("Network", Kind.NAME)]
    calls: Annotated[int, Heading("Calls", Kind.NUMBER)]
    first: Annotated[datetime, Heading("First", Kind.TIME)]
    last: Annotated[datetime, Heading("Last", Kind.TIME)]


def meaning_of(code: str) -> Meaning:
    """The meaning of a status (0x…) or of a reason code."""
    status = status_of(code)
    if status is not None:
        published = explain(status)
        return Meaning("", "") if published is None else Meaning(published.text, as_sentence(published.cure))
    try:
        explanation = EXPLANATIONS[Reason(code)]
    except ValueError:
        # Stored by a later version.
        return Meaning("", "")
    return Meaning(as_sentence(explanation.meaning), as_sentence(explanation.cure))


def refusals(connection: Connection, since: datetime | None, until: datetime | None) -> list[RefusalRow]:
    """Every code, the most frequent first; whole hours."""
    table = schema.hourly_failures
    code = _code()
    statement = (
        select(
            code.label("code"),
            func.sum(table.c.calls).label("calls"),
            # A call that only the host's event reports has neither an address nor a network.
            func.count(func.nullif(table.c.client, "").distinct()).label("clients"),
            func.count(case((table.c.client != "", table.c.network)).distinct()).label("networks"),
            func.min(table.c.first_at).label("first_at"),
            func.max(table.c.last_at).label("last_at"),
        )
        .where(*_times(since, until))
        .group_by(code)
        .order_by(func.sum(table.c.calls).desc(), plain_order(code))
    )
    rows = []
    for row in connection.execute(statement):
        name = _name(row.code)
        means = meaning_of(name)
        rows.append(
            RefusalRow(
                name,
                means.meaning,
                means.cure,
                int(row.calls),
                row.clients,
                row.networks,
                moment(row.first_at),
                moment(row.last_at),
            )
        )
    return rows


def met(
    connection: Connection, code: str, since: datetime | None, until: datetime | None, limit: int, offset: int = 0
) -> tuple[int, list[MetRow]]:
    """How many machines got a code, and a page of them, the latest first."""
    table = schema.hourly_failures
    key = (table.c.client, table.c.machine, table.c.network)
    last = func.max(table.c.last_at)
    grouped = (
        select(
            *key,
            func.sum(table.c.calls).label("calls"),
            func.min(table.c.first_at).label("first_at"),
            last.label("last_at"),
            # The number of groups in the same query: counting them separately would take as long again.
            func.count().over().label("number"),
        )
        .where(_code() == _stored(code), *_where_it_is(code), *_times(since, until))
        .group_by(*key)
    )
    page = grouped.order_by(last.desc(), *map(plain_order, key)).limit(limit).offset(offset)
    rows = connection.execute(page).all()
    number = rows[0].number if rows else 0
    if not rows and offset:
        number = connection.scalar(select(func.count()).select_from(grouped.subquery()))
    found = [
        MetRow(
            machine=row.machine.lower() or row.client,
            address=row.client,
            network=row.network,
            calls=int(row.calls),
            first=moment(row.first_at),
            last=moment(row.last_at),
        )
        for row in rows
    ]
    return int(number or 0), found


def _code() -> ColumnElement[Any]:
    """What tells the kinds apart: the reason where we refused ourselves or there is no status, else the status."""
    table = schema.hourly_failures
    ours = [table.c.reason.startswith(word, autoescape=True) for word in REFUSING]
    # A fault that the gateway made itself says less than its reason.
    told = (table.c.kind == "none") | ((table.c.kind == "fault") & (table.c.reason != Reason.OK))
    for each in ours:
        told = told | each
    # What the client concluded by itself has a status whatever the reason.
    status = case((table.c.kind == "client", COUNT_INSUFFICIENT), else_=table.c.status)
    return case((told & (table.c.kind != "client"), table.c.reason), else_=cast(status, String))


def _where_it_is(code: str) -> list[ColumnElement[bool]]:
    """Conditions that find the rows of a code by the index, which `_code` alone cannot use."""
    table, status = schema.hourly_failures, status_of(code)
    return [table.c.reason == code] if status is None else [table.c.kind.in_(KINDS), table.c.status == status]


def _name(stored: str) -> str:
    return code_text(int(stored)) if str(stored).isdecimal() else str(stored)


def _stored(code: str) -> str:
    status = status_of(code)
    return code if status is None else str(status)


def _times(since: datetime | None, until: datetime | None) -> list[ColumnElement[bool]]:
    table = schema.hourly_failures
    found: list[ColumnElement[bool]] = []
    if since is not None:
        found.append(table.c.hour >= to_ms(since) // HOUR_MS)
    if until is not None:
        found.append(table.c.hour <= (to_ms(until) - 1) // HOUR_MS)
    return found
