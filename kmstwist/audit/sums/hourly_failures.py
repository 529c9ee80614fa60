"""The table `hourly_failures`: who was not granted an activation in each hour, and with what status."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import and_
from sqlalchemy.sql.elements import ColumnElement

from kmstwist.audit import schema
from kmstwist.audit.records import Record
from kmstwist.audit.sums.keys import named, network_of, outcome
from kmstwist.audit.sums.table import Row, SummaryTable


def of(record: Record) -> Row | None:
    """The failure that a record is; nothing for a call that was granted."""
    if record.granted:
        return None
    kind, status = outcome(record)
    return {
        "hour": record.at // schema.HOUR_MS,
        "client": record.client,
        "reason": str(record.reason),
        "kind": kind,
        "status": status,
        "machine": record.machine or "",
        "network": network_of(record.client),
        "upstream": record.upstream or "",
        "first_at": record.at,
        "last_at": record.at,
        "calls": 1,
    }


def _standing(record: Record) -> ColumnElement[bool]:
    table, hour = schema.records, record.at // schema.HOUR_MS
    return and_(
        table.c.client == record.client,
        table.c.at.between(hour * schema.HOUR_MS, (hour + 1) * schema.HOUR_MS - 1),
    )


def about(names: Collection[str]) -> ColumnElement[bool]:
    """The failures of machines of these names, and those of these addresses that name no machine."""
    table = schema.hourly_failures
    return named(table, names) | (table.c.client.in_(names) & (table.c.machine == ""))


HOURLY_FAILURES = SummaryTable(
    schema.hourly_failures,
    of,
    standing=_standing,
    about=about,
    first="first_at",
    last="last_at",
    counted=("records that failed", "failures"),
)
