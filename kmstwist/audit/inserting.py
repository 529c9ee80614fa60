"""The server's own way into its store: batches of records through SQLite's driver.

What is stored, and by which statements, is what `store.insert_batch` has. What is spared is SQLAlchemy's work for each
batch (its transaction, events and results: 500 µs) and, for each record, a dictionary and the values it does not have:
SQLite's driver takes 0.3 µs to bind a NULL, and a genuine client's record has thirteen of them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter
from typing import Final, cast

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from kmstwist.audit.bulk import insert_text
from kmstwist.audit.records import Record
from kmstwist.audit.rows import COLUMNS, values_of
from kmstwist.audit.schema import records
from kmstwist.audit.sums import all as sums

#: The columns of a record that was made of an answer to an opaque message (V5, V6), and what they are in a record.
_OPAQUE: Final = {
    **{name: name for name in ("record_id", "at", "gateway", "client", "version", "upstream", "hresult")},
    "reason": "reason.value",
    "detail": "detail",
    "receive_ms": "phases.receive",
    "answer_ms": "phases.answer",
    "bytes_in": "bytes_in",
    "bytes_out": "bytes_out",
}
_opaque_values: Final = attrgetter(*_OPAQUE.values())
_ALL: Final = insert_text(records, COLUMNS)
_OPAQUE_ONLY: Final = insert_text(records, tuple(_OPAQUE))


def _is_opaque(record: Record) -> bool:
    """Whether it has values in the columns of `_OPAQUE` only."""
    return (
        record.machine is None
        and record.cmid is None
        and record.product is None
        and record.count is None
        and record.fault is None
        and record.peer is None
        and record.app_id is None
        and record.act_id is None
        and record.license_status is None
        and record.virtual_machine is None
        and record.minutes_left is None
        and record.required_count is None
    )


def commit_batch(engine: Engine, batch: Sequence[Record]) -> int:
    """As `store.insert_batch` to an SQLite store; raises the same errors."""
    connection = engine.raw_connection()
    try:
        driver = cast(sqlite3.Connection, connection.dbapi_connection)
        driver.execute("BEGIN IMMEDIATE")
        for opaque, some in groupby(batch, _is_opaque):
            if opaque:
                driver.executemany(_OPAQUE_ONLY, map(_opaque_values, some))
            else:
                driver.executemany(_ALL, map(values_of, some))
        sums.add(driver, batch)
        driver.execute("COMMIT")
    except sqlite3.Error as error:
        raise DBAPIError.instance(_ALL, None, error, sqlite3.Error, dialect=engine.dialect) from error
    finally:
        # The pool rolls back what was begun and did not end.
        connection.close()
    return len(batch)
