"""The list of machines: searched, filtered, sorted, one page at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

from sqlalchemy import ColumnElement, Connection, Row, Select, String, and_, exists, func, or_, select, tuple_

from kmstwist.audit import schema
from kmstwist.audit.asking.expressions import pattern, plain_order
from kmstwist.audit.asking.found import recorded_at
from kmstwist.audit.products.names import Names
from kmstwist.audit.records import machine_key
from kmstwist.audit.reports.filters import NOT_READABLE, application_name, product_name
from kmstwist.audit.reports.machines import EXPIRING_DAYS, SILENT_DAYS, urgency_of
from kmstwist.audit.reports.model import (
    ACTIVATION_LASTS,
    DAY_MS,
    Heading,
    Kind,
    ReportRow,
    Urgency,
    moment,
    to_ms,
)
from kmstwist.audit.sums.networks import UNKNOWN_NETWORK
from kmstwist.audit.views.calls import code_of, code_text, status_of
from kmstwist.audit.views.filters import is_product, within

#: How many pairs of an address and a time are searched in one statement.
_AT_ONCE = 50
_LASTS_MS = ACTIVATION_LASTS // timedelta(milliseconds=1)


class State(StrEnum):
    """The states by which machines can be filtered."""

    ALL = "all"
    EXPIRING = "expiring"
    EXPIRED = "expired"
    NEVER = "never"
    SILENT = "silent"
    FAILING = "failing"
    UNNAMED = "unnamed"


class Order(StrEnum):
    """The orders of the list; a minus sign in front reverses one."""

    MACHINE = "machine"
    ADDRESS = "address"
    NETWORK = "network"
    PRODUCT = "product"
    HOST = "host"
    EXPIRES = "expires"
    LAST_SEEN = "last_seen"
    CALLS = "calls"


@dataclass(frozen=True, slots=True)
class MachineRow(ReportRow):
    """One machine's activation of one product. `days_left` are whole days, negative after the activation ran out,
    None where there never was one as far as is known; `code` is the last call's status or reason, "" for success and
    where it is not known any more.
    """

    machine: Annotated[str, Heading("Machine", Kind.NAME)]
    address: Annotated[str, Heading("Address", Kind.NAME)]
    network: Annotated[str, Heading("Network", Kind.NAME, spare=True)]
    application: Annotated[str, Heading("Application", Kind.NAME, spare=True)]
    product: Annotated[str, Heading("Product")]
    host: Annotated[str, Heading("KMS host", Kind.NAME)]
    expires: Annotated[datetime | None, Heading("Expires", Kind.DATE)]
    days_left: Annotated[int | None, Heading("Days left", Kind.NUMBER)]
    last_seen: Annotated[datetime, Heading("Last call", Kind.TIME)]
    code: Annotated[str, Heading("Last result", Kind.NAME)]
    calls: Annotated[int, Heading("Calls", Kind.NUMBER)]
    first_seen: Annotated[datetime, Heading("First call", Kind.TIME, spare=True)]
    last_success: Annotated[datetime | None, Heading("Last activation", Kind.TIME, spare=True)]
    cmid: Annotated[str, Heading("CMID", Kind.NAME, spare=True)]
    virtual: Annotated[bool | None, Heading("Virtual", Kind.FLAG, spare=True)]

    @property
    def urgency(self) -> Urgency:
        """How urgent it is that this machine renews."""
        return urgency_of(self.days_left)

    @property
    def activated(self) -> bool:
        """Whether its last call was granted."""
        return self.last_success is not None and self.last_success >= self.last_seen


@dataclass(frozen=True, slots=True)
class Wanted:
    """A filter and an order for machines. `search` is searched in names, addresses, CMIDs and products."""

    now: datetime
    search: str = ""
    state: State = State.ALL
    network: str = ""
    product: str = ""
    host: str = ""
    code: str = ""
    days: int | None = None
    order: Order = Order.EXPIRES
    falling: bool = False


def count_machines(connection: Connection, wanted: Wanted) -> int:
    """How many rows there are in all."""
    table = schema.machines
    return int(connection.scalar(select(func.count()).select_from(table).where(*_where(connection, wanted))) or 0)


def list_machines(
    connection: Connection, wanted: Wanted, limit: int, offset: int = 0, *, total: int | None = None
) -> list[MachineRow]:
    """The rows of one page. Raises `QueryError` for a malformed network.

    With `total`, how many rows there are in all, a page near the end is found from there.
    """
    begin, backwards = offset, False
    if total is not None and offset < total:
        limit = min(limit, total - offset)
        backwards = (after := total - offset - limit) < offset
        begin = after if backwards else offset
    # The keys are found and sorted first: sorting whole rows takes several times as long.
    table = schema.machines
    keys = (
        select(table.c.machine, table.c.app, table.c.slot)
        .where(*_where(connection, wanted))
        .order_by(*_order(wanted, backwards=backwards))
        .limit(limit)
        .offset(begin)
    )
    found = [tuple(row) for row in connection.execute(keys)]
    if backwards:
        found.reverse()
    key = tuple_(table.c.machine, table.c.app, table.c.slot)
    rows = {(row.machine, row.app, row.slot): row for row in connection.execute(select(table).where(key.in_(found)))}
    return _machine_rows(connection, [rows[one] for one in found if one in rows], wanted.now)


def next_machines(
    connection: Connection, wanted: Wanted, limit: int, after: Sequence[str] = ()
) -> tuple[list[MachineRow], tuple[str, ...]]:
    """The next rows after a key (machine, application id, slot), in the order of keys: for reading all, in pieces.

    With the key of the last row, which is empty once there are no more.
    """
    table = schema.machines
    key = tuple_(table.c.machine, table.c.app, table.c.slot)
    statement: Select[Any] = select(table).where(*_where(connection, wanted)).order_by(*key.clauses).limit(limit)
    if after:
        statement = statement.where(key > tuple_(*after))
    rows = list(connection.execute(statement))
    last = rows[-1] if len(rows) == limit else None
    shown = _machine_rows(connection, rows, wanted.now)
    return shown, () if last is None else (last.machine, last.app, last.slot)


def machine_rows(connection: Connection, machine: str, now: datetime) -> list[MachineRow]:
    """The rows of one machine, a product each."""
    table = schema.machines
    statement = select(table).where(table.c.machine == machine).order_by(table.c.app, table.c.slot)
    return _machine_rows(connection, list(connection.execute(statement)), now)


def _machine_rows(connection: Connection, rows: Sequence[Row[Any]], now: datetime) -> list[MachineRow]:
    """Stored rows as rows of the list."""
    codes = _codes(connection, [row for row in rows if row.last_success != row.last_seen])
    names = Names.stored(connection)
    return [_machine_row(row, codes.get((row.machine, row.last_seen)), now, names) for row in rows]


def _codes(connection: Connection, rows: Sequence[Row[Any]]) -> dict[tuple[str, int], str]:
    """The code with which the last call of each row ended, as long as its record is kept."""
    if not rows:
        return {}
    records = schema.records
    pairs = [(row.address, row.last_seen) for row in rows]
    found: dict[tuple[str, int], str] = {}
    for begin in range(0, len(pairs), _AT_ONCE):
        # Each pair by the index that leads to it; SQLite would read all records for a list of pairs. Always as many, so
        # that the statement is made once.
        some = pairs[begin : begin + _AT_ONCE]
        some += some[-1:] * (_AT_ONCE - len(some))
        either = or_(*((records.c.client == client) & recorded_at(at) for client, at in some))
        for row in connection.execute(select(records).where(either)):
            found[machine_key(row.machine, row.client), row.at] = code_of(row)
    return found


def _machine_row(row: Row[Any], code: str | None, now: datetime, names: Names) -> MachineRow:
    success = None if row.last_success is None else moment(row.last_success)
    expires = None if success is None else success + ACTIVATION_LASTS
    if code is None:
        # The call succeeded, or its record is gone and the status is all that is known.
        code = code_text(row.last_status) if row.last_status else ""
    return MachineRow(
        machine=row.machine,
        address=row.address,
        network=row.network,
        application=application_name(row.app, names),
        product=product_name(row.product, row.act_id, names),
        host=row.upstream or "",
        expires=expires,
        days_left=None if success is None else (row.last_success + _LASTS_MS - to_ms(now)) // DAY_MS,
        last_seen=moment(row.last_seen),
        code=code,
        calls=row.calls,
        first_seen=moment(row.first_seen),
        last_success=success,
        cmid=row.cmid or "",
        virtual=None if row.virtual_machine is None else bool(row.virtual_machine),
    )


def state_condition(state: State, now: datetime, days: int | None = None) -> ColumnElement[bool] | None:
    """The condition for a state; None for all rows."""
    table = schema.machines
    lapsed = to_ms(now - ACTIVATION_LASTS)
    match state:
        case State.ALL:
            return None
        case State.EXPIRING:
            soon = lapsed + (EXPIRING_DAYS if days is None else days) * DAY_MS
            return and_(table.c.last_success >= lapsed, table.c.last_success <= soon)
        case State.EXPIRED:
            return table.c.last_success < lapsed
        case State.NEVER:
            return table.c.last_success.is_(None)
        case State.SILENT:
            return table.c.last_seen < to_ms(now) - (SILENT_DAYS if days is None else days) * DAY_MS
        case State.FAILING:
            return _failing()
        case State.UNNAMED:
            return table.c.named == 0


def _failing() -> ColumnElement[bool]:
    """The condition that the last call was not granted."""
    table = schema.machines
    return or_(table.c.last_success.is_(None), table.c.last_success < table.c.last_seen)


def _ended_with(reason: str) -> ColumnElement[bool]:
    """The condition that the last call ended for this reason, according to its record."""
    table, records = schema.machines, schema.records
    # Found by an index, for the few machines whose last call failed.
    record = (
        (records.c.client == table.c.address)
        & recorded_at(table.c.last_seen)
        & (records.c.reason == reason)
        & (func.coalesce(func.lower(records.c.machine), records.c.client) == table.c.machine)
    )
    return and_(_failing(), exists().where(record))


def _where(connection: Connection, wanted: Wanted) -> list[ColumnElement[bool]]:
    table = schema.machines
    found: list[ColumnElement[bool]] = []
    state = state_condition(wanted.state, wanted.now, wanted.days)
    if state is not None:
        found.append(state)
    if wanted.search:
        text = wanted.search if "*" in wanted.search else f"*{wanted.search}*"
        # These are stored in lower case: comparing them directly takes half the time.
        lower = (table.c.machine, table.c.address, table.c.cmid)
        found.append(
            or_(*(pattern(column, text.lower(), as_is=True) for column in lower), pattern(table.c.product, text))
        )
    if wanted.network:
        found.append(
            table.c.network == wanted.network
            if wanted.network == UNKNOWN_NETWORK
            else within(connection, table, wanted.network)
        )
    if wanted.product == NOT_READABLE:
        found.append(table.c.product.is_(None) & table.c.act_id.is_(None))
    elif wanted.product:
        found.append(is_product(connection, table, wanted.product))
    if wanted.host:
        found.append(table.c.upstream == wanted.host)
    if wanted.code:
        status = status_of(wanted.code)
        found.append(_ended_with(wanted.code) if status is None else table.c.last_status == status)
    return found


def _order(wanted: Wanted, *, backwards: bool = False) -> Iterator[ColumnElement[Any]]:
    table = schema.machines
    columns: dict[Order, ColumnElement[Any]] = {
        Order.MACHINE: table.c.machine,
        Order.ADDRESS: table.c.address,
        Order.NETWORK: table.c.network,
        Order.PRODUCT: table.c.product,
        Order.HOST: table.c.upstream,
        Order.EXPIRES: table.c.last_success,
        Order.LAST_SEEN: table.c.last_seen,
        Order.CALLS: table.c.calls,
    }
    first = columns[wanted.order]
    if isinstance(first.type, String):
        first = plain_order(first)
    # Unknown times come first: a machine that never activated is the most urgent one.
    yield first.desc().nulls_last() if wanted.falling != backwards else first.asc().nulls_first()
    for key in map(plain_order, (table.c.machine, table.c.app, table.c.slot)):
        yield key.desc() if backwards else key
