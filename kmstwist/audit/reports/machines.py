"""How each machine stands: `clients`, `expiring`, `silent`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, TypeVar

from sqlalchemy import Connection, Row, select
from sqlalchemy.sql.elements import ColumnElement

from kmstwist.audit import schema
from kmstwist.audit.products.names import Names
from kmstwist.audit.reports.filters import application_name, on_machines, plain_order, product_name
from kmstwist.audit.reports.model import (
    ACTIVATION_LASTS,
    DAY_MS,
    RENEWAL_EVERY,
    Heading,
    Kind,
    Query,
    Report,
    ReportRow,
    Urgency,
    as_day,
    maybe_moment,
    moment,
    to_ms,
)
from kmstwist.audit.reports.same_machine import CURE, SameMachine, likely_same

EXPIRING_DAYS = 30
# Two renewals missed: one may fail for a weekend.
SILENT_DAYS = 14

_DAY = timedelta(days=1)
_MILLISECOND = timedelta(milliseconds=1)


def urgency_of(days_left: int | None) -> Urgency:
    """How urgent it is that a machine renews; None days left: it never succeeded."""
    if days_left is None or days_left < 0:
        return Urgency.LOST
    if days_left < 30:
        return Urgency.URGENT
    # A machine that renews every 7 days never comes below 173.
    return Urgency.SOON if days_left < 150 else Urgency.GOOD


@dataclass(frozen=True, slots=True)
class ClientRow(ReportRow):
    """One machine's activation of one product.

    `days_left` are whole days until the activation expires, negative after that; None if it never succeeded as far as
    is known. `last_status` is the last call's status, 0 for success. `note` says which other row may be the same
    machine.
    """

    machine: Annotated[str, Heading("Machine", Kind.NAME)]
    address: Annotated[str, Heading("Address", Kind.NAME, spare=True)]
    application: Annotated[str, Heading("App", Kind.NAME)]
    product: Annotated[str, Heading("Product", spare=True)]
    last_success: Annotated[datetime | None, Heading("Activated", Kind.DATE, spare=True)]
    renewal_due: Annotated[datetime | None, Heading("Renewal", Kind.DATE, spare=True)]
    expires: Annotated[datetime | None, Heading("Expires", Kind.DATE)]
    days_left: Annotated[int | None, Heading("Days left", Kind.NUMBER)]
    last_seen: Annotated[datetime, Heading("Last call", Kind.TIME)]
    last_status: Annotated[int, Heading("Status", Kind.CODE, spare=True)]
    calls: Annotated[int, Heading("Calls", Kind.NUMBER, spare=True)]
    note: Annotated[str, Heading("Note", spare=True)]

    @property
    def urgency(self) -> Urgency:
        """How urgent it is that this machine renews."""
        return urgency_of(self.days_left)


@dataclass(frozen=True, slots=True)
class SilentRow(ReportRow):
    """A machine that stopped calling; `days_silent` are whole days since its last call, `note` as in `ClientRow`."""

    machine: Annotated[str, Heading("Machine", Kind.NAME)]
    address: Annotated[str, Heading("Address", Kind.NAME, spare=True)]
    application: Annotated[str, Heading("App", Kind.NAME)]
    product: Annotated[str, Heading("Product", spare=True)]
    last_seen: Annotated[datetime, Heading("Last call", Kind.TIME)]
    days_silent: Annotated[int, Heading("Days silent", Kind.NUMBER)]
    expires: Annotated[datetime | None, Heading("Expires", Kind.DATE)]
    days_left: Annotated[int | None, Heading("Days left", Kind.NUMBER)]
    note: Annotated[str, Heading("Note", spare=True)]

    @property
    def urgency(self) -> Urgency:
        """How urgent it is that this machine renews."""
        return urgency_of(self.days_left)


M = TypeVar("M", ClientRow, SilentRow)


def clients(connection: Connection, query: Query) -> Report[ClientRow]:
    """Each machine, with its last activation, the next renewal due and the expiry; the most urgent first."""
    return _report("clients", "Machines and their activations", ClientRow, _clients(connection, query))


def expiring(connection: Connection, query: Query) -> Report[ClientRow]:
    """The machines whose activation expires within `query.days` days if nothing changes; the first to expire first."""
    days = EXPIRING_DAYS if query.days is None else query.days
    table = schema.machines
    succeeded_by = query.now - ACTIVATION_LASTS
    rows = _clients(
        connection,
        query,
        table.c.last_success >= to_ms(succeeded_by),
        table.c.last_success <= to_ms(succeeded_by + days * _DAY),
    )
    title = f"Machines that lose activation within {days} days"
    return _report("expiring", title, ClientRow, rows)


def silent(connection: Connection, query: Query) -> Report[SilentRow]:
    """The machines that made no call in the last `query.days` days; the longest silent first."""
    days = SILENT_DAYS if query.days is None else query.days
    table = schema.machines
    statement = (
        select(table)
        .where(table.c.last_seen < to_ms(query.now - days * _DAY), *on_machines(connection, table, query))
        .order_by(table.c.last_seen, *map(plain_order, (table.c.machine, table.c.app, table.c.slot)))
    )
    rows = []
    same: SameMachine | None = None
    names = Names.stored(connection)
    for row in connection.execute(statement):
        same = same or likely_same(connection)
        seen, expires = moment(row.last_seen), _expiry(row)
        rows.append(
            SilentRow(
                machine=row.machine,
                address=row.address,
                application=application_name(row.app, names),
                product=product_name(row.product, row.act_id, names),
                last_seen=seen,
                days_silent=(query.now - seen) // _DAY,
                expires=expires,
                days_left=None if expires is None else (expires - query.now) // _DAY,
                note=_note(row.machine, row.address, same),
            )
        )
    return _report("silent", f"Machines that made no call for {days} days", SilentRow, rows)


def _clients(connection: Connection, query: Query, *more: ColumnElement[bool]) -> list[ClientRow]:
    table = schema.machines.c
    # An organisation may have a hundred thousand of these rows: they are taken apart as tuples, and days are counted
    # in whole numbers.
    statement = (
        select(
            table.machine,
            table.address,
            table.app,
            table.product,
            table.act_id,
            table.last_success,
            table.last_seen,
            table.last_status,
            table.calls,
        )
        .where(*more, *on_machines(connection, schema.machines, query))
        .order_by(
            table.last_success.is_not(None),
            table.last_success,
            *map(plain_order, (table.machine, table.app, table.slot)),
        )
    )
    now, lasts = to_ms(query.now), ACTIVATION_LASTS // _MILLISECOND
    rows = []
    same: SameMachine | None = None
    names = Names.stored(connection)
    for machine, address, app, product, act_id, success, seen, status, calls in connection.execute(statement):
        same = same or likely_same(connection)
        activated = None if success is None else moment(success)
        rows.append(
            ClientRow(
                machine,
                address,
                application_name(app, names),
                product_name(product, act_id, names),
                activated,
                None if activated is None else activated + RENEWAL_EVERY,
                None if activated is None else activated + ACTIVATION_LASTS,
                None if success is None else (success + lasts - now) // DAY_MS,
                moment(seen),
                status,
                calls,
                _note(machine, address, same),
            )
        )
    return rows


def _note(machine: str, address: str, same: SameMachine) -> str:
    if (named := same.machine_at.get(machine)) is not None:
        return f"probably {named}"
    if (seen := same.seen.get(machine)) is not None:
        return f"{address} called on {as_day(moment(seen))}, without a name"
    return ""


def _report(name: str, title: str, row_type: type[M], rows: Sequence[M]) -> Report[M]:
    noted = any(row.note for row in rows)
    return Report(name, title, row_type, rows, f"rows with a note may be one machine; {CURE}" if noted else "")


def _expiry(row: Row[Any]) -> datetime | None:
    success = maybe_moment(row.last_success)
    return None if success is None else success + ACTIVATION_LASTS
