"""Running one of the statements of `prepared_statements`, by its name, over SQLAlchemy's connection or SQLite's own.

On SQLite the text goes straight to the driver, over a connection of SQLAlchemy's too: SQLAlchemy makes a parameter set
for every row, and a result for every question, which costs more than the statement itself. PostgreSQL takes
SQLAlchemy's own way, which sends many rows in one statement.

Rows are tuples, and their values as the driver has them: text, numbers and bytes are all that a store holds. Errors are
those of the connection: `sqlite3.Error` over SQLite's own, SQLAlchemy's over SQLAlchemy's.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Final

from kmstwist.audit.asking.plain_sqlite import PlainConnection

# What works on a file by SQLite's own module loads none of it.
if TYPE_CHECKING:
    from sqlalchemy import CursorResult

    from kmstwist.audit.asking.questions import Reader

_NOTHING: Final[Mapping[str, Any]] = {}


def rows(reader: Reader, statement: str, values: Mapping[str, Any] = _NOTHING) -> Sequence[Sequence[Any]]:
    """Run a statement; all its rows."""
    if (plain := _plain(reader)) is None:
        return _execute(reader, statement, values).all()
    with errors_of(reader):
        return plain.run(statement, values).fetchall()


def row(reader: Reader, statement: str, values: Mapping[str, Any] = _NOTHING) -> Sequence[Any] | None:
    """Run a statement; its first row, None if there is none."""
    if (plain := _plain(reader)) is None:
        return _execute(reader, statement, values).first()
    with errors_of(reader), closing(plain.run(statement, values)) as cursor:
        found: Sequence[Any] | None = cursor.fetchone()
        return found


def value(reader: Reader, statement: str, values: Mapping[str, Any] = _NOTHING) -> Any:
    """Run a statement; the first column of its first row, None without a row."""
    found = row(reader, statement, values)
    return None if found is None else found[0]


def each(reader: Reader, statement: str, values: Mapping[str, Any] = _NOTHING) -> Iterator[Sequence[Any]]:
    """Run a statement; its rows one by one, of which there may be many."""
    if (plain := _plain(reader)) is None:
        with _execute(reader, statement, values, yield_per=1000) as found:
            yield from found
        return
    with errors_of(reader):
        # `yield from` would close the cursor, too, which fails where its connection is closed already, as after Ctrl-C.
        for found in plain.run(statement, values):
            yield found


def do(reader: Reader, statement: str, values: Mapping[str, Any] = _NOTHING) -> int:
    """Run a statement that changes rows; how many."""
    if (plain := _plain(reader)) is None:
        return _execute(reader, statement, values).rowcount
    with errors_of(reader):
        return plain.run(statement, values).rowcount


def do_for_each(reader: Reader, statement: str, changes: Sequence[Mapping[str, Any]]) -> None:
    """Run a statement for each of these sets of values, which all have the same names."""
    if not changes:
        return
    if (plain := _plain(reader)) is None:
        _execute(reader, statement, changes)
        return
    with errors_of(reader):
        plain.run_for_each(statement, changes)


@contextmanager
def errors_of(reader: Reader) -> Iterator[None]:
    """Raise the driver's errors as those know them who gave the connection."""
    try:
        yield
    except sqlite3.Error as error:
        if isinstance(reader, PlainConnection):
            raise
        from sqlalchemy.exc import DBAPIError

        # Without the statement: it is ours, and `plain_error` would leave it out.
        raise DBAPIError.instance(None, None, error, sqlite3.Error, dialect=reader.dialect) from error


def sqlite_of(reader: Reader) -> sqlite3.Connection | None:
    """The driver's own connection, if the store is SQLite's: what it runs begins no transaction."""
    plain = _plain(reader)
    return None if plain is None else plain.connection


def _plain(reader: Reader) -> PlainConnection | None:
    """SQLite's own connection; None for PostgreSQL."""
    if isinstance(reader, PlainConnection):
        return reader
    if reader.dialect.name != "sqlite":
        return None
    driver: Any = reader.connection.dbapi_connection
    return PlainConnection(driver)


def _execute(
    reader: Reader,
    statement: str,
    values: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    *,
    yield_per: int | None = None,
) -> CursorResult[Any]:
    assert not isinstance(reader, PlainConnection)
    from kmstwist.audit.asking.prepared_statements import prepared

    options = {} if yield_per is None else {"yield_per": yield_per}
    return reader.execute(prepared(statement, "postgresql"), values, execution_options=options)
