"""The store: all operations on the audit's tables for the writer, in blocking calls.

Every function here blocks; the server calls them from the audit's own thread (`writer`), the command line directly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InterfaceError, StatementError

from kmstwist.audit import schema
from kmstwist.audit.asking.expressions import insert_for
from kmstwist.audit.asking.prepared import do_for_each, rows
from kmstwist.audit.engine import writing
from kmstwist.audit.records import Record
from kmstwist.audit.rows import from_values, to_row
from kmstwist.audit.sums import stored


def insert_batch(engine: Engine, batch: Sequence[Record], *, again: bool = False) -> int:
    """Commit a batch of records with all their sums, in one transaction; how many were new.

    `again` says that an earlier attempt may have succeeded unnoticed (the answer to its commit was lost): records that
    are already there are then skipped, in the sums too. Raises SQLAlchemy's errors; this call has then stored nothing.
    """
    with writing(engine) as connection:
        if again:
            batch = _missing(connection, batch)
        if batch:
            do_for_each(connection, "add records", [to_row(record) for record in batch])
            stored.add(connection, batch)
        return len(batch)


def insert_new(engine: Engine, batch: Sequence[Record]) -> int:
    """As `insert_batch`, for a store that others write to as well: records that are already there change nothing."""
    with writing(engine) as connection:
        insert = insert_for(engine.dialect.name, schema.records)
        statement = insert.on_conflict_do_nothing(index_elements=["record_id"]).returning(schema.records.c.record_id)
        there = {bytes(row[0]) for row in connection.execute(statement, [to_row(record) for record in batch])}
        fresh = [record for record in batch if record.record_id in there]
        stored.add(connection, fresh)
        return len(fresh)


def is_data_fault(error: BaseException) -> bool:
    """Whether a batch failed because of its contents, so that the same batch can never succeed."""
    if isinstance(error, DBAPIError):
        return isinstance(error, DataError | IntegrityError | InterfaceError)
    # What cannot even be handed to the database: an integer over 64 bits, a lone surrogate.
    return isinstance(error, StatementError | OverflowError | UnicodeError)


# SQLite takes 32,766 parameters in one statement, PostgreSQL 65,535.
_AT_ONCE: Final = 10_000


def _missing(connection: Connection, batch: Sequence[Record]) -> Sequence[Record]:
    ids = [record.record_id for record in batch]
    some = (ids[start : start + _AT_ONCE] for start in range(0, len(ids), _AT_ONCE))
    there = {bytes(row[0]) for each in some for row in rows(connection, "ids of records", {"record_ids": each})}
    return [record for record in batch if record.record_id not in there]


def read_records(connection: Connection, *, after_seq: int = 0, limit: int = 1000) -> list[tuple[int, Record]]:
    """Up to `limit` records in the order they were committed, each with its `seq`, from the first above `after_seq`."""
    found = rows(connection, "records after", {"after": after_seq, "number": limit})
    return [(row[0], from_values(row[1:])) for row in found]
