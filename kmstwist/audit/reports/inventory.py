"""Which products run where, the numbers for a licence review: `products` and `networks`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from sqlalchemy import ColumnElement, Connection, case, func, select

from kmstwist.audit import schema
from kmstwist.audit.products.names import Names
from kmstwist.audit.reports.filters import NOT_READABLE, application_name, on_machines
from kmstwist.audit.reports.model import HOST_REMEMBERS, Heading, Kind, Query, Report, ReportRow, moment, to_ms
from kmstwist.audit.reports.same_machine import counted_twice, likely_same
from kmstwist.audit.sums.grouping import UNKNOWN_NETWORK


@dataclass(frozen=True, slots=True)
class ProductRow(ReportRow):
    """The machines that run a product; `active` of them called in the last 30 days, `virtual` said they are VMs.

    `networks` counts the networks they are in, None if no address is known.
    """

    product: Annotated[str, Heading("Product")]
    application: Annotated[str, Heading("App", Kind.NAME)]
    machines: Annotated[int, Heading("Machines", Kind.NUMBER)]
    active: Annotated[int, Heading("Active 30 days", Kind.NUMBER)]
    virtual: Annotated[int, Heading("Virtual", Kind.NUMBER)]
    networks: Annotated[int | None, Heading("Networks", Kind.NUMBER)]
    last_seen: Annotated[datetime, Heading("Last call", Kind.TIME, spare=True)]


@dataclass(frozen=True, slots=True)
class NetworkRow(ReportRow):
    """The machines of one network that run one product; `active` and `virtual` as in `ProductRow`."""

    network: Annotated[str, Heading("Network", Kind.NAME)]
    product: Annotated[str, Heading("Product")]
    machines: Annotated[int, Heading("Machines", Kind.NUMBER)]
    active: Annotated[int, Heading("Active 30 days", Kind.NUMBER)]
    virtual: Annotated[int, Heading("Virtual", Kind.NUMBER)]
    last_seen: Annotated[datetime, Heading("Last call", Kind.TIME, spare=True)]


def products(connection: Connection, query: Query) -> Report[ProductRow]:
    """How many machines run each product, the most frequent first."""
    table = schema.machines
    names = Names.stored(connection)
    product = names.column(connection, table.c.act_id, table.c.product).label("called")
    # A product without a name is known by its id.
    unnamed = case((product.is_(None), table.c.act_id)).label("unnamed")
    apps = {app: application_name(app, names) for app in connection.scalars(select(table.c.app).distinct())}
    key = (product, unnamed, (case(apps, value=table.c.app) if apps else table.c.app).label("application"))
    known = case((table.c.network != UNKNOWN_NETWORK, table.c.network))
    rows = [
        ProductRow(
            product=row.called or row.unnamed or NOT_READABLE,
            application=row.application,
            machines=row.machines,
            active=int(row.active),
            virtual=int(row.virtual),
            networks=row.networks or None,
            last_seen=moment(row.last_seen),
        )
        for row in connection.execute(_numbers(connection, query, key, func.count(known.distinct()).label("networks")))
    ]
    rows.sort(key=lambda row: (-row.machines, row.product, row.application))
    return Report("products", "Machines by product", ProductRow, rows, _twice(connection, query))


def networks(connection: Connection, query: Query) -> Report[NetworkRow]:
    """How many machines run what, network by network."""
    rows = network_rows(connection, query)
    return Report("networks", "Machines by network and product", NetworkRow, rows, _twice(connection, query))


def network_rows(connection: Connection, query: Query, *more: ColumnElement[bool]) -> list[NetworkRow]:
    """The rows of `networks`, for machines that satisfy the conditions `more`."""
    table = schema.machines
    names = Names.stored(connection)
    only = [*on_machines(connection, table, query), *more]
    product = names.column(connection, table.c.act_id, table.c.product, *only).label("called")
    key = (table.c.network, product, case((product.is_(None), table.c.act_id)).label("unnamed"))
    rows = [
        NetworkRow(
            network=row.network,
            product=row.called or row.unnamed or NOT_READABLE,
            machines=row.machines,
            active=int(row.active),
            virtual=int(row.virtual),
            last_seen=moment(row.last_seen),
        )
        for row in connection.execute(_numbers(connection, query, key).where(*more))
    ]
    rows.sort(key=lambda row: (row.network, -row.machines, row.product))
    return rows


def _twice(connection: Connection, query: Query) -> str:
    machine_at = likely_same(connection).machine_at
    if not machine_at:
        return ""
    table = schema.machines
    unnamed = select(table.c.machine).where(table.c.named == 0, *on_machines(connection, table, query))
    return counted_twice(sum(machine in machine_at for machine in connection.scalars(unnamed)))


def _numbers(connection: Connection, query: Query, key: tuple[Any, ...], *more: ColumnElement[Any]) -> Any:
    table = schema.machines
    active = table.c.last_seen > to_ms(query.now - HOST_REMEMBERS)
    return (
        select(
            *key,
            func.count(table.c.machine.distinct()).label("machines"),
            func.sum(case((active, 1), else_=0)).label("active"),
            func.sum(case((table.c.virtual_machine == 1, 1), else_=0)).label("virtual"),
            *more,
            func.max(table.c.last_seen).label("last_seen"),
        )
        .where(*on_machines(connection, table, query))
        # By the columns' names: PostgreSQL takes an expression with values in it for another one each time.
        .group_by(*(column.name for column in key))
    )
