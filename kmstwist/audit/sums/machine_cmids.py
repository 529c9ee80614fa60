"""The table `machine_cmids`: which client machine ids each machine has called with, for each application."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy.sql.elements import ColumnElement

from kmstwist.audit import schema
from kmstwist.audit.records import Record
from kmstwist.audit.sums.grouping import same_machine
from kmstwist.audit.sums.machines import machine_key
from kmstwist.audit.sums.table import Row, SummaryTable


def of(record: Record) -> Row:
    """What a record says about its CMID."""
    return {
        "machine": machine_key(record.machine, record.client),
        "app": record.app_id or record.act_id or "",
        "cmid": record.cmid,
        "address": record.client,
        "required_count": record.required_count,
        "first_seen": record.at,
        "last_seen": record.at,
        "last_answered": record.at if record.seen_by_host else None,
        "calls": 1,
    }


def about(names: Collection[str]) -> ColumnElement[bool]:
    """The CMIDs of machines with these names or addresses."""
    return schema.machine_cmids.c.machine.in_(names)


MACHINE_CMIDS = SummaryTable(
    schema.machine_cmids,
    of,
    standing=same_machine,
    about=about,
    given=("version", "cmid"),
    first="first_seen",
    last="last_seen",
    times=("last_answered",),
)
