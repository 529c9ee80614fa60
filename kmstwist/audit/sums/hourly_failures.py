"""The table `hourly_failures`: who was not granted an activation in each hour, and with what status."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import bindparam
from sqlalchemy.sql.elements import ColumnElement

from kmstwist.audit import schema
from kmstwist.audit.records import Record
from kmstwist.audit.sums.grouping import IN_THE_HOUR, named, the_hour_of
from kmstwist.audit.sums.table import SummaryTable

_OF_THE_CLIENT = (schema.records.c.client == bindparam("its_client")) & IN_THE_HOUR


def _standing(record: Record) -> tuple[ColumnElement[bool], dict[str, object]]:
    return _OF_THE_CLIENT, {"its_client": record.client} | the_hour_of(record)


def about(names: Collection[str]) -> ColumnElement[bool]:
    """The failures of machines with these names, and those from these addresses that name no machine."""
    table = schema.hourly_failures
    return named(table, names) | (table.c.client.in_(names) & (table.c.machine == ""))


HOURLY_FAILURES = SummaryTable(
    schema.hourly_failures,
    {
        "hour": "hour",
        "client": "client",
        # The text, as enum documents it: `value` is a property, which calls a function.
        "reason": "reason._value_",
        "kind": "kind",
        "status": "status",
        "machine": "machine_said",
        "network": "network",
        "upstream": "upstream_asked",
        "first_at": "at",
        "last_at": "at",
        "calls": "calls",
    },
    standing=_standing,
    about=about,
    unless="granted",
    first="first_at",
    last="last_at",
    counted=("records that failed", "failures"),
)
