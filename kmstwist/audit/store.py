"""The store: all operations on the audit's tables for the writer, in blocking calls.

Every function here blocks; the server calls them from the audit's own thread (`writer`), the command line directly.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, cast

from sqlalchemy import Connection, Engine, bindparam, select
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InterfaceError, StatementError

from kmstwist.audit import schema
from kmstwist.audit.asking.questions import read_fact
from kmstwist.audit.bulk import (
    Inserted,
    Statement,
    chunks,
    commit,
    execute_many,
    insert_for,
    insertion_of,
    statements,
)
from kmstwist.audit.engine import reading, writing
from kmstwist.audit.plain.faults import StoreError
from kmstwist.audit.privacy import PRIVACY, Privacy, PrivacyPolicy, SaltError, load_salt
from kmstwist.audit.records import Record
from kmstwist.audit.rows import COLUMNS, from_row, to_row, values_of
from kmstwist.audit.sums import all as sums
from kmstwist.audit.sums.all import SUMS
from kmstwist.audit.sums.table import additions


def insert_batch(engine: Engine, batch: Sequence[Record], *, again: bool = False) -> int:
    """Commit a batch of records with all their sums, in one transaction; how many were new.

    `again` says that an earlier attempt may have succeeded unnoticed (the answer to its commit was lost): records that
    are already there are then skipped, in the sums too. Raises SQLAlchemy's errors; this call has then stored nothing.
    """
    with writing(engine) as connection:
        if again:
            batch = _missing(connection, batch)
        if batch:
            execute_many(connection, _INSERT, [to_row(record) for record in batch])
            sums.add(connection, batch)
        return len(batch)


# The server's own way: batches through SQLite's driver. What is spared is SQLAlchemy's work for each batch (its
# transaction, events and results: 500 µs) and, for each record, a dictionary and the values it does not have: SQLite's
# driver takes 0.3 µs to bind a NULL, and a genuine client's record has thirteen of them.

#: The columns of a record that was made of an answer to an opaque message (V5, V6).
_OPAQUE: Final = (
    *("record_id", "at", "gateway", "client", "version", "upstream", "hresult", "reason", "detail"),
    *("receive_ms", "answer_ms", "bytes_in", "bytes_out"),
)
_opaque_values: Final = itemgetter(*map(COLUMNS.index, _OPAQUE))
_other_values: Final = itemgetter(*(at for at, name in enumerate(COLUMNS) if name not in _OPAQUE))
_NO_OTHERS: Final = (None,) * (len(COLUMNS) - len(_OPAQUE))
_ALL: Final = insertion_of(schema.records, COLUMNS)
_OPAQUE_ONLY: Final = insertion_of(schema.records, _OPAQUE)


def insertions_of(batch: Sequence[Record], rows: Sequence[tuple[Any, ...]]) -> list[Statement]:
    """The statements that store a batch, with all its sums, by SQLite's driver; `rows` are the records' values."""
    inserted: list[Inserted] = []
    # Those together that have values only in the columns of `_OPAQUE`.
    for others, some in groupby(zip(map(_other_values, rows), rows, strict=True), itemgetter(0)):
        values = map(itemgetter(1), some)
        if others == _NO_OTHERS:
            inserted.append((_OPAQUE_ONLY, list(map(_opaque_values, values))))
        else:
            inserted.append((_ALL, list(values)))
    inserted += additions(SUMS, batch)
    return statements(inserted)


def commit_batch(engine: Engine, batch: Sequence[Record]) -> int:
    """As `insert_batch` to an SQLite store; raises the same errors."""
    made = insertions_of(batch, list(map(values_of, batch)))
    connection = engine.raw_connection()
    try:
        commit(cast(sqlite3.Connection, connection.dbapi_connection), made)
    except sqlite3.Error as error:
        raise DBAPIError.instance(_ALL.texts[1], None, error, sqlite3.Error, dialect=engine.dialect) from error
    finally:
        # The pool rolls back what was begun and did not end.
        connection.close()
    return len(batch)


def insert_new(engine: Engine, batch: Sequence[Record]) -> int:
    """As `insert_batch`, for a store that others write to as well: records that are already there change nothing."""
    with writing(engine) as connection:
        insert = insert_for(engine.dialect.name, schema.records)
        statement = insert.on_conflict_do_nothing(index_elements=["record_id"]).returning(schema.records.c.record_id)
        stored = {bytes(row[0]) for row in connection.execute(statement, [to_row(record) for record in batch])}
        fresh = [record for record in batch if record.record_id in stored]
        sums.add(connection, fresh)
        return len(fresh)


def is_data_fault(error: BaseException) -> bool:
    """Whether a batch failed because of its contents, so that the same batch can never succeed."""
    if isinstance(error, DBAPIError):
        return isinstance(error, DataError | IntegrityError | InterfaceError)
    # What cannot even be handed to the database: an integer over 64 bits, a lone surrogate.
    return isinstance(error, StatementError | OverflowError | UnicodeError)


_INSERT = schema.records.insert()

_BY_ID = select(schema.records.c.record_id).where(schema.records.c.record_id.in_(bindparam("ids", expanding=True)))


def _missing(connection: Connection, batch: Sequence[Record]) -> Sequence[Record]:
    present: set[bytes] = set()
    for ids in chunks([record.record_id for record in batch]):
        present.update(bytes(row[0]) for row in connection.execute(_BY_ID, {"ids": ids}))
    return [record for record in batch if record.record_id not in present]


def read_records(connection: Connection, *, after_seq: int = 0, limit: int = 1000) -> list[tuple[int, Record]]:
    """Up to `limit` records in the order they were committed, each with its `seq`, from the first above `after_seq`."""
    table = schema.records
    statement = select(table).where(table.c.seq > after_seq).order_by(table.c.seq).limit(limit)
    return [(row.seq, from_row(row)) for row in connection.execute(statement)]


def put_fact(connection: Connection, name: str, value: str) -> None:
    """Write a fact about the store, in place of an earlier one of that name."""
    insert = insert_for(connection.dialect.name, schema.facts)
    connection.execute(
        insert.on_conflict_do_update(index_elements=["name"], set_={"value": insert.excluded.value}),
        {"name": name, "value": value},
    )


def write_policy(engine: Engine, policy: PrivacyPolicy, salt_file: Path) -> None:
    """Note the privacy policy of the store's records in the store, so that tools follow the same one."""
    noted = json.dumps({"policy": policy.to_dict(), "salt": str(salt_file)})
    with reading(engine) as connection:
        if read_fact(connection, PRIVACY) == noted:
            return
    with writing(engine) as connection:
        put_fact(connection, PRIVACY, noted)


def stored_privacy(engine: Engine) -> Privacy:
    """The privacy policy of this store's records, which tools that add to it or search it must follow.

    Raises StoreError if the policy hashes and its salt is missing.
    """
    with reading(engine) as connection:
        noted = read_fact(connection, PRIVACY)
    if noted is None:
        return Privacy(PrivacyPolicy(), b"")
    found = json.loads(noted)
    policy = PrivacyPolicy.from_dict(found["policy"])
    if "hash" not in found["policy"].values():
        return Privacy(policy, b"")
    salt = Path(found["salt"])
    if not salt.exists():
        raise StoreError(
            f"this store's names are hashed with the salt in {salt}, which is missing", "restore that file"
        )
    try:
        return Privacy(policy, load_salt(salt))
    except (SaltError, OSError) as error:
        raise StoreError.of(error) from error
