"""The server's own way to commit a batch: through SQLite's driver, many rows in one statement.

What is spared is SQLAlchemy's work for each batch (its transaction, events and results: 500 µs) and, for each record, a
dictionary and the values it does not have: SQLite's driver takes 0.3 µs to bind a NULL, and a genuine client's record
has thirteen of them. What it leaves in the store is what `store.insert_batch` does.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from itertools import chain, groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from kmstwist.audit.bulk import PIECES, Insertion, insertion_into, insertion_of
from kmstwist.audit.records import Record, having
from kmstwist.audit.rows import COLUMNS, values_of
from kmstwist.audit.sums.all import SUMS
from kmstwist.audit.sums.table import SummaryTable

# The process aside has no use for it.
if TYPE_CHECKING:
    from sqlalchemy import Engine

#: The columns of a record that was made of an answer to an opaque message (V5, V6).
_OPAQUE: Final = (
    *("record_id", "at", "gateway", "client", "version", "upstream", "hresult", "reason", "detail"),
    *("receive_ms", "answer_ms", "bytes_in", "bytes_out"),
)
_opaque_values: Final = itemgetter(*map(COLUMNS.index, _OPAQUE))
_other_values: Final = itemgetter(*(at for at, name in enumerate(COLUMNS) if name not in _OPAQUE))
_NO_OTHERS: Final = (None,) * (len(COLUMNS) - len(_OPAQUE))
_ALL: Final = insertion_into("records", COLUMNS)
_OPAQUE_ONLY: Final = insertion_into("records", _OPAQUE)


class Statement(NamedTuple):
    """A statement with its parameters, as the driver executes it.

    Where it changes fewer than `rows` rows, `rest` is executed after it, with the same parameters.
    """

    text: str
    parameters: tuple[object, ...]
    rows: int
    rest: str | None = None


def statements_for(
    batch: Sequence[Record], rows: Sequence[tuple[Any, ...]], sums: Iterable[SummaryTable] = SUMS
) -> list[Statement]:
    """The statements that store a batch and add it to the sums; `rows` are the records' values."""
    inserted: list[tuple[Insertion, Sequence[Sequence[object]]]] = []
    # Those together that have values only in the columns of `_OPAQUE`.
    for others, some in groupby(zip(map(_other_values, rows), rows, strict=True), itemgetter(0)):
        values = map(itemgetter(1), some)
        if others == _NO_OTHERS:
            inserted.append((_OPAQUE_ONLY, list(map(_opaque_values, values))))
        else:
            inserted.append((_ALL, list(values)))
    for table in sums:
        # `counting` of the table, without the call of it.
        if counting := having(batch, table.given_values, table.unless_value):
            added = list(map(table.values, counting))
            inserted.append((insertion_of(table), table.by_key(added) if len(added) > 1 else added))
    return statements_of(inserted)


def statements_of(inserted: Iterable[tuple[Insertion, Sequence[Sequence[object]]]]) -> list[Statement]:
    """The statements that insert these rows, each in the order of its insertion's columns."""
    made = []
    for insertion, rows in inserted:
        done, number = 0, len(rows)
        for piece in PIECES:
            while number - done >= piece:
                parameters = tuple(chain.from_iterable(rows[done : done + piece]))
                made.append(Statement(insertion.texts[piece], parameters, piece, insertion.rests.get(piece)))
                done += piece
    return made


def execute_all(driver: sqlite3.Connection, statements: Iterable[Statement]) -> None:
    """Execute them, in a transaction that the caller has begun. Raises `sqlite3.Error`."""
    for text, parameters, rows, rest in statements:
        changed = driver.execute(text, parameters).rowcount
        if rest is not None and changed < rows:
            driver.execute(rest, parameters)


def commit(driver: sqlite3.Connection, made: Iterable[Statement]) -> None:
    """Execute them in one transaction, which the caller rolls back on any exception."""
    driver.execute("BEGIN IMMEDIATE")
    execute_all(driver, made)
    driver.execute("COMMIT")


def commit_batch(engine: Engine, batch: Sequence[Record]) -> int:
    """As `store.insert_batch` to an SQLite store; raises the same errors."""
    made = statements_for(batch, list(map(values_of, batch)))
    connection = engine.raw_connection()
    try:
        commit(cast(sqlite3.Connection, connection.dbapi_connection), made)
    except sqlite3.Error as error:
        from sqlalchemy.exc import DBAPIError

        raise DBAPIError.instance(_ALL.texts[1], None, error, sqlite3.Error, dialect=engine.dialect) from error
    finally:
        # The pool rolls back what was begun and did not end.
        connection.close()
    return len(batch)
