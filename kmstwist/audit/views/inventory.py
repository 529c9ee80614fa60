"""The networks with their machines and products, and one machine's CMIDs, for the site."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from sqlalchemy import Connection, case, func, select

from kmstwist.audit import schema
from kmstwist.audit.asking.expressions import plain_order
from kmstwist.audit.products.names import Names
from kmstwist.audit.reports.filters import application_name
from kmstwist.audit.reports.model import HOST_REMEMBERS, Heading, Kind, ReportRow, moment, to_ms


@dataclass(frozen=True, slots=True)
class NetworkRow(ReportRow):
    """A network: its machines, those of them that called in 30 days, those that are virtual, its products."""

    network: Annotated[str, Heading("Network", Kind.NAME)]
    machines: Annotated[int, Heading("Machines", Kind.NUMBER)]
    active: Annotated[int, Heading("Active in 30 days", Kind.NUMBER)]
    virtual: Annotated[int, Heading("Virtual", Kind.NUMBER)]
    products: Annotated[int, Heading("Products", Kind.NUMBER)]
    last_seen: Annotated[datetime, Heading("Last call", Kind.TIME)]


@dataclass(frozen=True, slots=True)
class CmidRow(ReportRow):
    """A client machine id that a machine had; `machines` is how many machines have had it."""

    cmid: Annotated[str, Heading("CMID", Kind.NAME)]
    application: Annotated[str, Heading("Application", Kind.NAME)]
    first_seen: Annotated[datetime, Heading("First call", Kind.TIME)]
    last_seen: Annotated[datetime, Heading("Last call", Kind.TIME)]
    calls: Annotated[int, Heading("Calls", Kind.NUMBER)]
    machines: Annotated[int, Heading("Machines with it", Kind.NUMBER)]


def networks(connection: Connection, now: datetime) -> list[NetworkRow]:
    """Every network, the one with most machines first."""
    table = schema.machines
    active = table.c.last_seen > to_ms(now - HOST_REMEMBERS)
    number = func.count(table.c.machine.distinct())
    statement = (
        select(
            table.c.network,
            number,
            func.count(case((active, table.c.machine)).distinct()),
            func.count(case((table.c.virtual_machine == 1, table.c.machine)).distinct()),
            func.count(func.coalesce(table.c.product, table.c.act_id).distinct()),
            func.max(table.c.last_seen),
        )
        .group_by(table.c.network)
        .order_by(number.desc(), plain_order(table.c.network))
    )
    return [
        NetworkRow(name, machines, active, virtual, products, moment(seen))
        for name, machines, active, virtual, products, seen in connection.execute(statement)
    ]


def cmids_of(connection: Connection, machine: str) -> list[CmidRow]:
    """A machine's ids, the latest first."""
    table = schema.machine_cmids
    other = table.alias()
    shared = select(func.count(other.c.machine.distinct())).where(other.c.cmid == table.c.cmid).scalar_subquery()
    statement = (
        select(table, shared.label("machines"))
        .where(table.c.machine == machine)
        .order_by(table.c.last_seen.desc(), plain_order(table.c.cmid))
    )
    names = Names.stored(connection)
    return [
        CmidRow(
            cmid=row.cmid,
            application=application_name(row.app, names),
            first_seen=moment(row.first_seen),
            last_seen=moment(row.last_seen),
            calls=row.calls,
            machines=row.machines,
        )
        for row in connection.execute(statement)
    ]
