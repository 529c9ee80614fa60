"""The state of each machine: `clients`, `expiring`, `silent`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Annotated, Any, TypeVar

from sqlalchemy import Connection, Row, Select, func, select
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
    LongReport,
    Query,
    Report,
    ReportRow,
    Urgency,
    as_day,
    in_days,
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
    # A machine that renews every 7 days never has fewer than 173 days left.
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
#: How many rows are read from the store at a time.
_PIECE = 2000


def clients(connection: Connection, query: Query) -> Report[ClientRow]:
    """Each machine, with its last activation, the next renewal due and the expiry; the most urgent first."""
    return _whole(clients_at_length(connection, query))


def clients_at_length(connection: Connection, query: Query, limit: int | None = None) -> LongReport[ClientRow]:
    """As `clients`."""
    return _clients("clients", "Machines and their activations", connection, query, limit)


def expiring(connection: Connection, query: Query) -> Report[ClientRow]:
    """The machines whose activation expires within `query.days` days if nothing changes; the earliest first."""
    return _whole(expiring_at_length(connection, query))


def expiring_at_length(connection: Connection, query: Query, limit: int | None = None) -> LongReport[ClientRow]:
    """As `expiring`."""
    days = EXPIRING_DAYS if query.days is None else query.days
    table = schema.machines
    succeeded_by = query.now - ACTIVATION_LASTS
    found = _clients(
        "expiring",
        f"Machines that lose activation within {in_days(days)}",
        connection,
        query,
        limit,
        table.c.last_success >= to_ms(succeeded_by),
        table.c.last_success <= to_ms(succeeded_by + days * _DAY),
    )
    never = select(func.count(table.c.machine.distinct())).where(table.c.last_success.is_(None))
    number = connection.scalar(never.where(*on_machines(connection, table, query))) or 0
    if not number:
        return found
    # A machine may have another product that was granted.
    they = "1 machine has" if number == 1 else f"{number} machines have"
    unknown = f"{they} a product that was never granted here, so its expiry is not known: see the report clients"
    note = "; ".join(filter(None, (found.head.note, unknown)))
    return replace(found, head=replace(found.head, note=note))


def silent(connection: Connection, query: Query) -> Report[SilentRow]:
    """The machines that made no call in the last `query.days` days; the longest silent first."""
    return _whole(silent_at_length(connection, query))


def silent_at_length(connection: Connection, query: Query, limit: int | None = None) -> LongReport[SilentRow]:
    """As `silent`."""
    days = SILENT_DAYS if query.days is None else query.days
    last_seen = schema.machines.c.last_seen
    where = (last_seen < to_ms(query.now - days * _DAY), *on_machines(connection, schema.machines, query))
    same, noted = _same(connection, where)
    names = Names.stored(connection)

    def row(stored: Row[Any]) -> SilentRow:
        seen, expires = moment(stored.last_seen), _expiry(stored.last_success)
        return SilentRow(
            machine=stored.machine,
            address=stored.address,
            application=application_name(stored.app, names),
            product=product_name(stored.product, stored.act_id, names),
            last_seen=seen,
            days_silent=(query.now - seen) // _DAY,
            expires=expires,
            days_left=None if expires is None else (expires - query.now) // _DAY,
            note=_note(stored.machine, stored.address, same),
        )

    head = _head("silent", f"Machines that made no call for {in_days(days)}", SilentRow, noted)
    return _at_length(connection, head, row, where, (last_seen,), limit)


def _clients(
    name: str, title: str, connection: Connection, query: Query, limit: int | None, *more: ColumnElement[bool]
) -> LongReport[ClientRow]:
    last_success = schema.machines.c.last_success
    where = (*more, *on_machines(connection, schema.machines, query))
    same, noted = _same(connection, where)
    names = Names.stored(connection)
    now, lasts = to_ms(query.now), ACTIVATION_LASTS // _MILLISECOND

    def row(stored: Row[Any]) -> ClientRow:
        # An organisation may have a hundred thousand of these rows: days are counted in whole numbers.
        machine, address, app, product, act_id, success, seen, status, calls = tuple(stored)
        activated = None if success is None else moment(success)
        return ClientRow(
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

    head = _head(name, title, ClientRow, noted)
    return _at_length(connection, head, row, where, (last_success.is_not(None), last_success), limit)


def _at_length(
    connection: Connection,
    head: Report[M],
    row: Callable[[Row[Any]], M],
    where: Sequence[ColumnElement[bool]],
    order: Sequence[ColumnElement[Any]],
    limit: int | None,
) -> LongReport[M]:
    table = schema.machines.c
    statement: Select[Any] = (
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
        .where(*where)
        .order_by(*order, *map(plain_order, (table.machine, table.app, table.slot)))
        .limit(limit)
    )
    total = connection.scalar(select(func.count()).select_from(schema.machines).where(*where))

    def rows() -> Iterator[M]:
        # A few at a time from PostgreSQL, too.
        for some in connection.execution_options(yield_per=_PIECE).execute(statement).partitions():
            yield from map(row, some)

    return LongReport(head, rows(), int(total or 0))


def _whole(report: LongReport[M]) -> Report[M]:
    return replace(report.head, rows=list(report.rows))


def _same(connection: Connection, where: Sequence[ColumnElement[bool]]) -> tuple[SameMachine, bool]:
    """The machines that may be the same, and whether one of those that are asked for is among them."""
    same = likely_same(connection)
    if not same.machine_at:
        return same, False
    asked = select(schema.machines.c.machine).where(*where)
    machines = connection.execution_options(yield_per=_PIECE).scalars(asked)
    noted = any(machine in same.machine_at or machine in same.seen for machine in machines)
    machines.close()
    return same, noted


def _note(machine: str, address: str, same: SameMachine) -> str:
    if (named := same.machine_at.get(machine)) is not None:
        return f"probably {named}"
    if (seen := same.seen.get(machine)) is not None:
        return f"{address} called on {as_day(moment(seen))}, without a name"
    return ""


def _head(name: str, title: str, row_type: type[M], noted: bool) -> Report[M]:
    return Report(name, title, row_type, (), f"rows with a note may be one machine; {CURE}" if noted else "")


def _expiry(last_success: int | None) -> datetime | None:
    success = maybe_moment(last_success)
    return None if success is None else success + ACTIVATION_LASTS
