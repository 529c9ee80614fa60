"""From a query's parameters to conditions on the tables."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from sqlalchemy import Boolean, Column, Connection, Select, String, Table, func, or_, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.functions import FunctionElement

from kmstwist.audit import schema
from kmstwist.audit.products.names import LAB_ONLY, Names
from kmstwist.audit.reports.model import Query, to_ms
from kmstwist.kms.catalogue import APPLICATION_NAMES
from kmstwist.networks import Network, lies_in, network_of
from kmstwist.problem import WrongValue

NOT_READABLE = "(not readable)"

_APPLICATIONS = {str(app): name for app, name in APPLICATION_NAMES.items()}


class QueryError(WrongValue):
    """A question that cannot be asked; the text says why."""


class plain_order(FunctionElement[str]):
    """A text that both databases sort in the same way: by code points, whatever the locale."""

    inherit_cache = True
    type = String()


@compiles(plain_order)
def _as_it_is(element: plain_order, compiler: SQLCompiler, **options: object) -> str:
    return compiler.process(element.clauses, **options)


@compiles(plain_order, "postgresql")
def _by_number(element: plain_order, compiler: SQLCompiler, **options: object) -> str:
    return f'{compiler.process(element.clauses, **options)} COLLATE "C"'


class _like(FunctionElement[bool]):
    """A pattern of A to Z and signs that ignores case: SQLite's own LIKE does that, ten times as fast as `lower`."""

    inherit_cache = True
    type = Boolean()


@compiles(_like)
def _as_sqlite_does(element: _like, compiler: SQLCompiler, word: str = "LIKE", **options: object) -> str:
    column, text = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{column} {word} {text} ESCAPE '\\'"


@compiles(_like, "postgresql")
def _as_postgresql_does(element: _like, compiler: SQLCompiler, **options: object) -> str:
    return _as_sqlite_does(element, compiler, "ILIKE", **options)


def pattern(column: Column[str], text: str, *, as_is: bool = False) -> ColumnElement[bool]:
    """Text in which `*` stands for any text, compared without regard to case.

    `as_is` says that the column is already in the text's case.
    """
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_").replace("*", "%")
    if as_is:
        return column.like(escaped, escape="\\")
    return _like(column, escaped) if escaped.isascii() else column.ilike(escaped, escape="\\")


def on_machines(connection: Connection, table: Table, query: Query) -> list[ColumnElement[bool]]:
    """The conditions a query puts on the table of machines; its times are those of the last call."""
    found: list[ColumnElement[bool]] = []
    if query.since is not None:
        found.append(table.c.last_seen >= to_ms(query.since))
    if query.until is not None:
        found.append(table.c.last_seen < to_ms(query.until))
    if query.machine is not None:
        found.append(or_(pattern(table.c.machine, query.machine), pattern(table.c.address, query.machine)))
    if query.product is not None:
        found.append(is_product(connection, table, query.product))
    if query.upstream is not None:
        found.append(pattern(table.c.upstream, query.upstream))
    if query.network is not None:
        found.append(within(connection, table, query.network))
    return found


def is_product(connection: Connection, table: Table, text: str) -> ColumnElement[bool]:
    """The condition that a row is about a product, by its name (`*` stands for any text) or its activation id."""
    ids = [text.lower(), *Names.stored(connection).like(text)]
    return or_(pattern(table.c.product, text), table.c.act_id.in_(ids))


def on_hours(table: Table, query: Query) -> list[ColumnElement[bool]]:
    """The conditions a query's times put on an hourly table: whole hours, the first and the last one included."""
    found: list[ColumnElement[bool]] = []
    if query.since is not None:
        found.append(table.c.hour >= to_ms(query.since) // schema.HOUR_MS)
    if query.until is not None:
        # The moment itself is excluded, so that a whole hour's end does not include the next hour.
        found.append(table.c.hour <= (to_ms(query.until) - 1) // schema.HOUR_MS)
    return found


def within(connection: Connection, table: Table, network: str) -> ColumnElement[bool]:
    """The condition that a row's network is in `network`. Raises QueryError if that is not a network."""
    try:
        wanted = network_of(network)
    except WrongValue as error:
        raise QueryError.of(error) from None
    known: Iterable[str] = connection.scalars(_networks(table))
    return table.c.network.in_([each for each in known if _lies_in(each, wanted)])


def _networks(table: Table) -> Select[tuple[str]]:
    """The networks of a table, each once."""
    if table is not schema.machines:
        return select(table.c.network).distinct()
    # The index leads from one to the next: there are far fewer networks than machines.
    first = select(func.min(table.c.network).label("network")).cte("networks", recursive=True)
    following = select(func.min(table.c.network)).where(table.c.network > first.c.network).scalar_subquery()
    every = first.union_all(select(following).where(first.c.network.is_not(None)))
    return select(every.c.network).where(every.c.network.is_not(None))


def _lies_in(stored: str, wanted: Network) -> bool:
    network = _stored_network(stored)
    return network is not None and lies_in(network, wanted)


@lru_cache(maxsize=65536)
def _stored_network(stored: str) -> Network | None:
    try:
        return network_of(stored)
    except WrongValue:
        # "unknown", or a hash.
        return None


def application_name(app: str, names: Names = LAB_ONLY) -> str:
    """The application of an id as stored: "Windows", "Office"; "" if it is unknown.

    An imported event has the product's id in its place, which has an application if the product has a name.
    """
    return _APPLICATIONS.get(app, "") or names.application(app)


def product_name(product: str | None, act_id: str | None, names: Names = LAB_ONLY) -> str:
    """What to call a product: its name, the site's own first, else its activation id, else that it is not readable."""
    return names.name_of(act_id) or product or act_id or NOT_READABLE
