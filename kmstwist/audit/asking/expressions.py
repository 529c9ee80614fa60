"""Parts of statements that the two databases write in different ways, and how a statement gets its parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Boolean, ColumnElement, String, Table, bindparam, case, func, null, text
from sqlalchemy.dialects import sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from kmstwist.audit.asking.limits import as_pattern
from kmstwist.audit.asking.plain_sqlite import WHERE


def insert_for(dialect: str, table: Table) -> Any:
    """An insert into `table` in the store's dialect: both have ON CONFLICT, each in a construct of its own."""
    if dialect != "postgresql":
        return sqlite.insert(table)
    # Here, because it takes a while to load, and most gateways have none.
    from sqlalchemy.dialects import postgresql

    return postgresql.insert(table)


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
    column, wanted = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{column} {word} {wanted} ESCAPE '\\'"


@compiles(_like, "postgresql")
def _as_postgresql_does(element: _like, compiler: SQLCompiler, **options: object) -> str:
    return _as_sqlite_does(element, compiler, "ILIKE", **options)


def fits(column: ColumnElement[Any], escaped: Any, *, folded: bool) -> ColumnElement[bool]:
    """That a text matches the pattern, whatever its case; `folded` if the pattern has letters besides A to Z."""
    return column.ilike(escaped, escape="\\") if folded else _like(column, escaped)


def pattern(column: ColumnElement[Any], wanted: str, *, as_is: bool = False) -> ColumnElement[bool]:
    """Text in which `*` stands for any text, compared without regard to case.

    `as_is` says that the column is already in the text's case.
    """
    escaped = as_pattern(wanted)
    return column.like(escaped, escape="\\") if as_is else fits(column, escaped, folded=not escaped.isascii())


def named_column(called: Mapping[str, str], ids: ColumnElement[Any], product: ColumnElement[Any]) -> ColumnElement[Any]:
    """The names of products as a column: `ids` has their activation ids, `product` the recorded names.

    `called` are the names by their ids.
    """
    # A name that the site gave takes precedence over the recorded one.
    return func.coalesce(case(dict(called), value=ids), product) if called else product


class Parameters:
    """The parameters of a statement: with their `values`, to be run; without any, by name, to be written down."""

    def __init__(self, values: Mapping[str, Any] | None = None, where: Sequence[ColumnElement[bool]] = ()) -> None:
        self._values = values
        self._where = where

    @property
    def where(self) -> Sequence[Any]:
        """The conditions that limit the question."""
        return [text(WHERE)] if self._values is None else self._where

    @property
    def limit(self) -> int | None:
        """How many rows are wanted, at most; None for all."""
        found: int | None = None if self._values is None else self._values["limit"]
        return found

    def __call__(self, name: str) -> Any:
        """A parameter."""
        return bindparam(name) if self._values is None else bindparam(name, self._values[name], unique=True)

    def several(self, name: str) -> Any:
        """A parameter that is a list, for `in_`."""
        if self._values is None:
            return bindparam(name, expanding=True)
        return bindparam(name, self._values[name], expanding=True, unique=True)

    def case(self, name: str, of: ColumnElement[Any]) -> ColumnElement[Any]:
        """What stands for the values of a column by a parameter that is a mapping; else NULL."""
        if self._values is None:
            return case((bindparam(f"{name}_when"), bindparam(f"{name}_then")), value=of)
        pairs: Mapping[str, Any] = self._values[name]
        return case(dict(pairs), value=of) if pairs else null()

    def named(self, name: str, ids: ColumnElement[Any], product: ColumnElement[Any]) -> ColumnElement[Any]:
        """As `named_column`, with the names in a parameter."""
        if self._values is None:
            return func.coalesce(self.case(name, ids), product)
        return named_column(self._values[name], ids, product)
