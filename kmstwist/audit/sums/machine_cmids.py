"""The table `machine_cmids`: which client machine ids each machine has called with, for each application."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy.sql.elements import ColumnElement

from kmstwist.audit import schema
from kmstwist.audit.sums.grouping import same_machine
from kmstwist.audit.sums.table import SummaryTable


def about(names: Collection[str]) -> ColumnElement[bool]:
    """The CMIDs of machines with these names or addresses."""
    return schema.machine_cmids.c.machine.in_(names)


MACHINE_CMIDS = SummaryTable(
    schema.machine_cmids,
    {
        "machine": "known_as",
        "app": "app",
        "cmid": "cmid",
        "address": "client",
        "required_count": "required_count",
        "first_seen": "at",
        "last_seen": "at",
        "last_answered": "seen_at",
        "calls": "calls",
    },
    standing=same_machine,
    about=about,
    given=("version", "cmid"),
    first="first_seen",
    last="last_seen",
    times=("last_answered",),
)
