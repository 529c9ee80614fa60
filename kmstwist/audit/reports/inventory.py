"""Which products run where, the numbers for a licence review: `products` and `networks`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

from kmstwist.audit.asking.limits import Condition
from kmstwist.audit.asking.questions import ask, column
from kmstwist.audit.products.names import Names
from kmstwist.audit.reports.filters import NOT_READABLE, application_name, on_machines
from kmstwist.audit.reports.model import HOST_REMEMBERS, Heading, Kind, Query, Report, ReportRow, moment, to_ms
from kmstwist.audit.reports.same_machine import counted_twice, likely_same

if TYPE_CHECKING:
    from kmstwist.audit.asking.questions import Reader


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


def products(reader: Reader, query: Query) -> Report[ProductRow]:
    """How many machines run each product, the most frequent first."""
    names = Names.stored(reader)
    stands_for = {
        "called": names.called(column(reader, "product ids")),
        "applications": {app: application_name(app, names) for app in column(reader, "applications")},
    }
    where = on_machines(reader, query)
    rows = [
        ProductRow(
            product=called or unnamed or NOT_READABLE,
            application=application,
            machines=machines,
            active=int(active),
            virtual=int(virtual),
            networks=networks or None,
            last_seen=moment(seen),
        )
        for called, unnamed, application, machines, active, virtual, seen, networks in ask(
            reader, "machines by product", where, active_after=_active_after(query), **stands_for
        )
    ]
    rows.sort(key=lambda row: (-row.machines, row.product, row.application))
    return Report("products", "Machines by product", ProductRow, rows, _twice(reader, query))


def networks(reader: Reader, query: Query) -> Report[NetworkRow]:
    """How many machines run what, network by network."""
    rows = network_rows(reader, query)
    return Report("networks", "Machines by network and product", NetworkRow, rows, _twice(reader, query))


def network_rows(reader: Reader, query: Query, *more: Condition) -> list[NetworkRow]:
    """The rows of `networks`, for machines that satisfy the conditions `more`."""
    where = [*on_machines(reader, query), *more]
    called = Names.stored(reader).called(column(reader, "product ids", where))
    rows = [
        NetworkRow(
            network=network,
            product=called_so or unnamed or NOT_READABLE,
            machines=machines,
            active=int(active),
            virtual=int(virtual),
            last_seen=moment(seen),
        )
        for called_so, unnamed, network, machines, active, virtual, seen in ask(
            reader, "machines by network and product", where, active_after=_active_after(query), called=called
        )
    ]
    rows.sort(key=lambda row: (row.network, -row.machines, row.product))
    return rows


def _twice(reader: Reader, query: Query) -> str:
    machine_at = likely_same(reader).machine_at
    if not machine_at:
        return ""
    unnamed = column(reader, "machines without a name", on_machines(reader, query))
    return counted_twice(sum(machine in machine_at for machine in unnamed))


def _active_after(query: Query) -> int:
    return to_ms(query.now - HOST_REMEMBERS)
