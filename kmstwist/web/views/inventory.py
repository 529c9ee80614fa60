"""Products and networks: how many machines run what, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from kmstwist.audit.asking.limits import Condition
from kmstwist.audit.reports.filters import MACHINES, NOT_READABLE
from kmstwist.audit.reports.inventory import NetworkRow as NetworkProductRow
from kmstwist.audit.reports.inventory import ProductRow, network_rows, products
from kmstwist.audit.reports.model import Query, Report
from kmstwist.audit.views.inventory import NetworkRow, networks
from kmstwist.audit.views.machines import MachineRow, Order, Wanted, count_machines, list_machines
from kmstwist.web.view import Asking, NotThere, View
from kmstwist.web.views.parameters import Named, Paged

#: Machines that a product's or a network's page shows.
SHOWN = 15


class ProductsQuestion(Paged):
    """Which page."""


@dataclass(frozen=True, slots=True)
class Products:
    """A page of the products, those of most machines first; `total` is how many there are.

    `note` is what one must know to read the numbers right.
    """

    note: str
    total: int
    page: int
    pages: int
    rows: Sequence[ProductRow]


class NetworksQuestion(Paged):
    """Which page."""


@dataclass(frozen=True, slots=True)
class Networks:
    """A page of the networks, those with most machines first; `total` is how many there are."""

    total: int
    page: int
    pages: int
    rows: Sequence[NetworkRow]


@dataclass(frozen=True, slots=True)
class Product:
    """One product: where it runs, and the machines that expire first."""

    name: str
    machines: int
    rows: Sequence[NetworkProductRow]
    first: Sequence[MachineRow]


@dataclass(frozen=True, slots=True)
class Network:
    """One network: what runs there, and the machines that expire first."""

    name: str
    machines: int
    rows: Sequence[NetworkProductRow]
    first: Sequence[MachineRow]


def _all_products(asking: Asking) -> Report[ProductRow]:
    return asking.keep("products", lambda asking: products(asking.connection, Query(asking.now)))


def _products(asking: Asking, question: ProductsQuestion) -> Products:
    report = _all_products(asking)
    shown = report.rows[question.offset : question.offset + question.rows]
    total = len(report.rows)
    return Products(report.note, total, question.page, max(1, -(-total // question.rows)), shown)


def _all_networks(asking: Asking) -> list[NetworkRow]:
    return asking.keep("networks", lambda asking: networks(asking.connection, asking.now))


def _networks(asking: Asking, question: NetworksQuestion) -> Networks:
    rows = _all_networks(asking)
    shown = rows[question.offset : question.offset + question.rows]
    return Networks(len(rows), question.page, max(1, -(-len(rows) // question.rows)), shown)


def product(asking: Asking, question: Named) -> Product:
    """One product. Raises `NotThere`."""
    name = question.name
    # What has no name and no id is found among all.
    product = None if name == NOT_READABLE else name.replace("*", "?")

    def work(asking: Asking) -> list[NetworkProductRow]:
        every = network_rows(asking.connection, Query(asking.now, product=product))
        return sorted((row for row in every if row.product == name), key=lambda row: -row.machines)

    rows = asking.keep(("product", name), work)
    if not rows:
        raise NotThere(f"no machine has called for a product named {question.name!r}")
    wanted = Wanted(asking.now, product=question.name.replace("*", "?"), order=Order.EXPIRES)
    return Product(
        question.name,
        _count(asking, wanted),
        rows,
        list_machines(asking.connection, wanted, SHOWN),
    )


def network(asking: Asking, question: Named) -> Network:
    """One network. Raises `NotThere`."""
    here = Condition(MACHINES, "network", {"network": question.name})
    rows = asking.keep(
        ("network", question.name), lambda asking: network_rows(asking.connection, Query(asking.now), here)
    )
    if not rows:
        raise NotThere(f"no machine has called from network {question.name!r}")
    wanted = Wanted(asking.now, network=question.name, order=Order.EXPIRES)
    return Network(
        question.name,
        _count(asking, wanted),
        rows,
        list_machines(asking.connection, wanted, SHOWN),
    )


def _count(asking: Asking, wanted: Wanted) -> int:
    return asking.keep(
        (wanted.product, wanted.network, "machines"),
        lambda asking: count_machines(asking.connection, replace(wanted, now=asking.now)),
    )


VIEWS = (
    View(
        "products",
        "Products",
        "How many machines run each product.",
        ProductsQuestion,
        Products,
        _products,
        template="products.html",
        row_type=ProductRow,
        rows=lambda answer: answer.rows,
        pieces=lambda asking, question, after: (_all_products(asking).rows, ()),
        slow=True,
    ),
    View(
        "product",
        "Product",
        "One product: in which networks it runs, and on which machines it expires first.",
        Named,
        Product,
        product,
        template="product.html",
        row_type=NetworkProductRow,
        rows=lambda answer: answer.rows,
        slow=True,
    ),
    View(
        "networks",
        "Networks",
        "Every network with its machines.",
        NetworksQuestion,
        Networks,
        _networks,
        template="networks.html",
        row_type=NetworkRow,
        rows=lambda answer: answer.rows,
        pieces=lambda asking, question, after: (_all_networks(asking), ()),
        slow=True,
    ),
    View(
        "network",
        "Network",
        "One network: which products run there, and which machines expire first.",
        Named,
        Network,
        network,
        template="network.html",
        row_type=NetworkProductRow,
        rows=lambda answer: answer.rows,
        slow=True,
    ),
)
