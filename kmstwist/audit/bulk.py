"""Sending many rows to one prepared statement, as fast as the driver takes them, and many values in lists of them.

SQLAlchemy builds a parameter set anew for every row, and a result anew for every question; on SQLite, where the driver
is a function call away, that costs more than the insert or the answer itself. There the statement is compiled once and
goes straight to the driver. PostgreSQL takes SQLAlchemy's own way, which sends many rows in one statement.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from functools import cache
from operator import itemgetter
from typing import Any, Final, TypeVar

from sqlalchemy import Column, Connection, Executable, Table, bindparam, select
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.dml import Insert

from kmstwist.audit.engine import driver_of

T = TypeVar("T")

# SQLite takes 32766 parameters in one statement.
_PARAMETERS = 10_000


def chunks(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """The values, in as many as may stand in one statement's `IN (...)` at a time."""
    for start in range(0, len(values), _PARAMETERS):
        yield values[start : start + _PARAMETERS]


def insert_for(dialect: str, table: Table) -> Any:
    """An insert into `table` in the store's dialect: both have ON CONFLICT, each in a construct of its own."""
    if dialect != "postgresql":
        return sqlite.insert(table)
    # Here, because it takes a while to load, and most gateways have none.
    from sqlalchemy.dialects import postgresql

    return postgresql.insert(table)


def execute_many(connection: Connection, statement: Insert, rows: Sequence[dict[str, Any]]) -> None:
    """Execute `statement`, an insert, for each of `rows`, which all have a value for the same columns.

    `statement` must be one object kept between calls (it is compiled once) and have no bound values of its own.
    """
    if connection.dialect.name == "sqlite":
        text, order = text_of(statement, tuple(rows[0]))
        try:
            driver_of(connection).executemany(text, map(itemgetter(*order), rows))
        except sqlite3.Error as error:
            raise _told(connection, text, error) from error
    else:
        connection.execute(statement, rows)


# What follows is for SQLite's own driver.


class Insertion:
    """An INSERT of one row, whose parameters are its row's values, and what inserts many rows in one statement.

    `rest` is another INSERT, for the rows that this one leaves as they are.

    Many rows in one statement: SQLite takes 3 µs for each in place of 5, and its driver lets go of the interpreter's
    lock, and waits for it, once for all of them. Beside a reactor that works that is half the time.
    """

    def __init__(self, text: str, columns: int, rest: str | None = None) -> None:
        self.texts = _in_pieces(text, columns)
        self.rests = {} if rest is None else _in_pieces(rest, columns)


#: Rows in one statement, the most first.
PIECES: Final = (64, 32, 16, 8, 4, 2, 1)


def _in_pieces(text: str, columns: int) -> dict[int, str]:
    """The statement for each number of rows."""
    row = f"({', '.join('?' * columns)})"
    before, found, after = text.partition(f"VALUES {row}")
    if not found or "?" in before + after:
        raise ValueError(f"this statement does not insert one row of {columns} parameters: {text}")
    return {piece: f"{before}VALUES {', '.join([row] * piece)}{after}" for piece in PIECES}


@cache
def text_of(statement: Insert, columns: Sequence[str]) -> tuple[str, list[str]]:
    """SQLite's text of an INSERT of rows that have values for these columns, and the order of its parameters."""
    compiled = statement.compile(dialect=sqlite.dialect(), column_keys=list(columns))
    assert compiled.positiontup is not None, "SQLite's parameters are positional"
    return str(compiled), compiled.positiontup


def insertion_by(statement: Insert, columns: Sequence[str], rest: Insert | None = None) -> Insertion:
    """What inserts by this statement, which has no bound values of its own, rows of values for these columns, in order.

    `rest` is another one, for the rows that `statement` leaves as they are.
    """
    texts = []
    for one in (statement,) if rest is None else (statement, rest):
        text, order = text_of(one, tuple(columns))
        if order != list(columns):
            raise ValueError(f"the statement has these columns in another order: {', '.join(order)}")
        texts.append(text)
    return Insertion(texts[0], len(columns), *texts[1:])


class Prepared:
    """A statement that is executed often, each time with other values for its named parameters.

    Rows are tuples, and their values as the driver has them: text, numbers and bytes are all that the store holds. A
    parameter cannot be a list.
    """

    def __init__(self, statement: Executable) -> None:
        self._statement = statement
        compiled = statement.compile(dialect=sqlite.dialect())  # type: ignore[attr-defined]
        assert compiled.positiontup is not None, "SQLite's parameters are positional"
        self._text, self._fixed, self._order = str(compiled), dict(compiled.params), tuple(compiled.positiontup)

    def rows(self, connection: Connection, values: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
        """Execute it; all rows."""
        if connection.dialect.name != "sqlite":
            return connection.execute(self._statement, dict(values)).all()
        return self._directly(connection, values).fetchall()

    def row(self, connection: Connection, values: Mapping[str, Any]) -> Sequence[Any] | None:
        """Execute it; the first row, None if there is none."""
        if connection.dialect.name != "sqlite":
            return connection.execute(self._statement, dict(values)).first()
        cursor = self._directly(connection, values)
        found: Sequence[Any] | None = cursor.fetchone()
        cursor.close()
        return found

    def each(self, connection: Connection, values: Mapping[str, Any]) -> Iterator[Sequence[Any]]:
        """Execute it; its rows one by one, of which there may be many."""
        if connection.dialect.name != "sqlite":
            with connection.execute(self._statement, dict(values), execution_options={"yield_per": 100}) as found:
                yield from found
            return
        with closing(self._directly(connection, values)) as cursor:
            try:
                yield from cursor
            except sqlite3.Error as error:
                raise _told(connection, self._text, error) from error

    def do(self, connection: Connection, values: Mapping[str, Any]) -> None:
        """Execute a statement that returns no rows."""
        if connection.dialect.name != "sqlite":
            connection.execute(self._statement, dict(values))
        else:
            self._directly(connection, values)

    def _directly(self, connection: Connection, values: Mapping[str, Any]) -> sqlite3.Cursor:
        values = {**self._fixed, **values}
        return _execute(connection, self._text, [values[name] for name in self._order])


def _execute(connection: Connection, text: str, parameters: Sequence[Any]) -> sqlite3.Cursor:
    try:
        return driver_of(connection).execute(text, parameters)
    except sqlite3.Error as error:
        raise _told(connection, text, error) from error


def _told(connection: Connection, text: str, error: sqlite3.Error) -> BaseException:
    """The driver's error as SQLAlchemy's, which is what everybody expects of a connection."""
    return DBAPIError.instance(text, None, error, sqlite3.Error, dialect=connection.dialect)


def present(connection: Connection, column: Column[bytes], values: Sequence[bytes]) -> set[bytes]:
    """Which of the values are in an indexed column."""
    if connection.dialect.name == "sqlite":
        # One by one is what SQLite does in any case, and a list of a thousand takes long to write down.
        one = _one(column)
        return {value for value in values if one.row(connection, {"value": value}) is not None}
    return {
        bytes(each) for some in chunks(values) for each in connection.scalars(select(column).where(column.in_(some)))
    }


@cache
def _one(column: Column[bytes]) -> Prepared:
    return Prepared(select(column).where(column == bindparam("value")))
