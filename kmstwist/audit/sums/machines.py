"""The table `machines`: the state of each machine, one row for each product that KMS activates on it."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy.sql.elements import ColumnElement

from kmstwist.audit import schema
from kmstwist.audit.sums.grouping import same_machine
from kmstwist.audit.sums.table import SummaryTable


def about(names: Collection[str]) -> ColumnElement[bool]:
    """The machines with these names or addresses."""
    return schema.machines.c.machine.in_(names)


MACHINES = SummaryTable(
    schema.machines,
    {
        "machine": "known_as",
        "app": "app",
        "slot": "slot",
        "named": "is_named",
        "address": "client",
        "network": "network",
        "gateway": "gateway",
        "upstream": "upstream",
        "cmid": "cmid",
        "act_id": "act_id",
        "product": "product",
        "virtual_machine": "virtual_machine",
        "first_seen": "at",
        "last_seen": "at",
        "last_success": "granted_at",
        "last_answered": "seen_at",
        "last_status": "status",
        "calls": "calls",
        "successes": "granted",
    },
    standing=same_machine,
    about=about,
    # A peer that sent no KMS message may not be a machine.
    given=("version",),
    added=("calls", "successes"),
    first="first_seen",
    last="last_seen",
    times=("last_success", "last_answered"),
    seldom=("network",),
)
