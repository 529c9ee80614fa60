"""The table `hourly_failures`: who was not granted an activation in each hour, and with what status."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import bindparam
from sqlalchemy.sql.elements import ColumnElement

from kmstwist.audit import schema
from kmstwist.audit.records import Record
from kmstwist.audit.sums.grouping import IN_THE_HOUR, named, network_of, outcome, the_hour_of
from kmstwist.audit.sums.table import Row, SummaryTable


def of(record: Record) -> Row:
    """The failure that a record stands for."""
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


_OF_THE_CLIENT = (schema.records.c.client == bindparam("its_client")) & IN_THE_HOUR


def _standing(record: Record) -> tuple[ColumnElement[bool], dict[str, object]]:
    return _OF_THE_CLIENT, {"its_client": record.client} | the_hour_of(record)


def about(names: Collection[str]) -> ColumnElement[bool]:
    """The failures of machines with these names, and those from these addresses that name no machine."""
    table = schema.hourly_failures
    return named(table, names) | (table.c.client.in_(names) & (table.c.machine == ""))


HOURLY_FAILURES = SummaryTable(
    schema.hourly_failures,
    of,
    standing=_standing,
    about=about,
    unless="granted",
    first="first_at",
    last="last_at",
    counted=("records that failed", "failures"),
)
