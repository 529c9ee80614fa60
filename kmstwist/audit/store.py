"""The store: all operations on the audit's tables for the writer, in blocking calls.

Every function here blocks; the server calls them from the audit's own thread (`writer`), the command line directly.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import Connection, Engine, bindparam, select
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InterfaceError, StatementError

from kmstwist.audit import schema
from kmstwist.audit.asking.questions import read_fact
from kmstwist.audit.bulk import chunks, execute_many, insert_for
from kmstwist.audit.engine import reading, writing
from kmstwist.audit.plain.faults import StoreError
from kmstwist.audit.privacy import PRIVACY, Privacy, PrivacyPolicy, SaltError, load_salt
from kmstwist.audit.records import Record
from kmstwist.audit.rows import from_row, to_row
from kmstwist.audit.sums import all as sums


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
