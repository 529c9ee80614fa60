"""The table `machines`: the state of each machine, one row for each product that KMS activates on it."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy.sql.elements import ColumnElement

from kmstwist.audit import schema
from kmstwist.audit.records import Record
from kmstwist.audit.sums.grouping import network_of, outcome, same_machine
from kmstwist.audit.sums.table import Row, SummaryTable
from kmstwist.kms.catalogue import WINDOWS

_WINDOWS = str(WINDOWS)


def machine_key(machine: str | None, client: str) -> str:
    """The machine's name in the audit: its own, in lower case because DNS ignores case, else its address."""
    return machine.lower() if machine else client


def of(record: Record) -> Row:
    """What a record says about its machine."""
    # An imported event names the product but not its application; products of one machine are still kept apart.
    app = record.app_id or record.act_id or ""
    at, granted = record.at, record.granted
    return {
        "machine": machine_key(record.machine, record.client),
        "app": app,
        "slot": "" if app == _WINDOWS else record.act_id or "",
        "named": int(record.machine is not None),
        "address": record.client,
        "network": network_of(record.client),
        "gateway": record.gateway,
        "upstream": record.upstream,
        "cmid": record.cmid,
        "act_id": record.act_id,
        "product": record.product,
        "virtual_machine": None if record.virtual_machine is None else int(record.virtual_machine),
        "first_seen": at,
        "last_seen": at,
        "last_success": at if granted else None,
        "last_answered": at if record.seen_by_host else None,
        "last_status": 0 if granted else outcome(record)[1],
        "calls": 1,
        "successes": int(granted),
    }


def about(names: Collection[str]) -> ColumnElement[bool]:
    """The machines with these names or addresses."""
    return schema.machines.c.machine.in_(names)


MACHINES = SummaryTable(
    schema.machines,
    of,
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
