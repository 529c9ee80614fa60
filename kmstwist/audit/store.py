"""The store: everything that is done to the audit's tables on behalf of the writer, in blocking calls.

Every function here blocks; the server calls them from the audit's own thread (`writer`), the command line directly.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Row, Table, bindparam, func, select
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InterfaceError, StatementError
from sqlalchemy.sql.elements import ColumnElement

from kmstwist.audit import schema
from kmstwist.audit.bulk import chunks, execute_many, insert_for
from kmstwist.audit.engine import StoreError, reading, sqlite_path, writing
from kmstwist.audit.migrate import revision_fault
from kmstwist.audit.privacy import Privacy, PrivacyPolicy, load_salt
from kmstwist.audit.records import Phases, Record
from kmstwist.audit.summaries import HOUR_MS, failing, merge, summarise
from kmstwist.reasons import Reason

# The facts about the store: how privacy had its records stored, and how many calls of each hour were forgotten.
PRIVACY, FORGOTTEN = "privacy", "forgotten"


def insert_batch(engine: Engine, batch: Sequence[Record], *, again: bool = False) -> int:
    """Commit a batch of records with all their sums, in one transaction; how many were new.

    `again` says that an earlier try may have got through unnoticed (its commit's answer was lost): records already
    there are then left out, sums included. Raises SQLAlchemy's errors; after any, nothing of the batch is stored by
    this call.
    """
    with writing(engine) as connection:
        if again:
            batch = _missing(connection, batch)
        if batch:
            execute_many(connection, _INSERT, [to_row(record) for record in batch])
            merge(connection, summarise(batch))
        return len(batch)


def insert_new(engine: Engine, batch: Sequence[Record]) -> int:
    """As `insert_batch`, for a store that others write to as well: records already there change nothing."""
    with writing(engine) as connection:
        insert = insert_for(engine.dialect.name, schema.records)
        statement = insert.on_conflict_do_nothing(index_elements=["record_id"]).returning(schema.records.c.record_id)
        stored = {bytes(row[0]) for row in connection.execute(statement, [to_row(record) for record in batch])}
        fresh = [record for record in batch if record.record_id in stored]
        merge(connection, summarise(fresh))
        return len(fresh)


def is_data_fault(error: BaseException) -> bool:
    """Whether a batch failed for what is in it, so that trying again as it is can never work."""
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


def to_row(record: Record) -> dict[str, Any]:
    """The record as a row of the table `records`."""
    phases = record.phases
    return {
        "record_id": record.record_id,
        "at": record.at,
        "gateway": record.gateway,
        "client": record.client,
        "peer": record.peer,
        "version": record.version,
        "upstream": record.upstream,
        "hresult": record.hresult,
        "fault": record.fault,
        "reason": str(record.reason),
        "detail": record.detail,
        "receive_ms": phases.receive,
        "admission_ms": phases.admission,
        "answer_ms": phases.answer,
        "bytes_in": record.bytes_in,
        "bytes_out": record.bytes_out,
        "machine": record.machine,
        "cmid": record.cmid,
        "app_id": record.app_id,
        "act_id": record.act_id,
        "product": record.product,
        "license_status": record.license_status,
        "virtual_machine": None if record.virtual_machine is None else int(record.virtual_machine),
        "minutes_left": record.minutes_left,
        "required_count": record.required_count,
        "count": record.count,
    }


def from_row(row: Row[Any]) -> Record:
    """The record that `to_row` made the row of."""
    return Record(
        record_id=bytes(row.record_id),
        at=row.at,
        gateway=row.gateway,
        client=row.client,
        peer=row.peer,
        version=row.version,
        upstream=row.upstream,
        hresult=row.hresult,
        fault=row.fault,
        reason=Reason(row.reason),
        detail=row.detail,
        phases=Phases(row.receive_ms, row.admission_ms, row.answer_ms),
        bytes_in=row.bytes_in,
        bytes_out=row.bytes_out,
        machine=row.machine,
        cmid=row.cmid,
        app_id=row.app_id,
        act_id=row.act_id,
        product=row.product,
        license_status=row.license_status,
        virtual_machine=None if row.virtual_machine is None else bool(row.virtual_machine),
        minutes_left=row.minutes_left,
        required_count=row.required_count,
        # Row has a method of this name.
        count=row._mapping["count"],
    )


def read_records(connection: Connection, *, after_seq: int = 0, limit: int = 1000) -> list[tuple[int, Record]]:
    """Up to `limit` records in the order they were committed, each with its `seq`, from the first above `after_seq`."""
    table = schema.records
    statement = select(table).where(table.c.seq > after_seq).order_by(table.c.seq).limit(limit)
    return [(row.seq, from_row(row)) for row in connection.execute(statement)]


def read_fact(connection: Connection, name: str) -> str | None:
    """A fact about the store; None if it was never written."""
    value: str | None = connection.scalar(select(schema.facts.c.value).where(schema.facts.c.name == name))
    return value


def put_fact(connection: Connection, name: str, value: str) -> None:
    """Write a fact about the store, in place of an earlier one of that name."""
    insert = insert_for(connection.dialect.name, schema.facts)
    connection.execute(
        insert.on_conflict_do_update(index_elements=["name"], set_={"value": insert.excluded.value}),
        {"name": name, "value": value},
    )


def forgotten_calls(connection: Connection) -> Counter[int]:
    """How many calls of each hour (since 1970) were forgotten: they are in the sums and no longer in the records."""
    noted: dict[str, int] = json.loads(read_fact(connection, FORGOTTEN) or "{}")
    return Counter({int(hour): calls for hour, calls in noted.items()})


def write_policy(engine: Engine, policy: PrivacyPolicy, salt_file: Path) -> None:
    """Note in the store under which policy its records are kept, so that the tools follow the same one."""
    with writing(engine) as connection:
        put_fact(connection, PRIVACY, json.dumps({"policy": policy.to_dict(), "salt": str(salt_file)}))


def stored_privacy(engine: Engine) -> Privacy:
    """The privacy that this store's records are kept under: the tools that add to it or search it must do the same.

    Raises StoreError if the policy hashes and the salt it was hashed with is not to be had.
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
        raise StoreError(f"this store's names are hashed with the salt in {salt}, which is missing; restore that file")
    try:
        return Privacy(policy, load_salt(salt))
    except (ValueError, OSError) as error:
        raise StoreError(str(error)) from error


def backup(engine: Engine, target: Path, progress: Callable[[int, int], None] | None = None) -> None:
    """Copy a live SQLite store to the file `target`, consistent as of one moment, without stopping the server.

    `progress` is told the pages still to copy and their total. Raises StoreError, leaving no file behind, if `target`
    exists or cannot be written.
    """
    source_path = sqlite_path(engine)
    if target.exists():
        raise StoreError(f"{target} exists already; give the backup a name of its own")

    def told(_status: int, remaining: int, total: int) -> None:
        if progress is not None:
            progress(remaining, total)

    try:
        # Made here and not by SQLite, whose file would be readable as the umask has it.
        os.close(os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as error:
        raise StoreError(f"the backup {target} cannot be made: {error.strerror or error}") from error
    try:
        with closing(sqlite3.connect(source_path)) as source, closing(sqlite3.connect(target)) as copy:
            # All in one step: copied piecemeal, a busy server's every commit would start it over.
            with source:
                source.execute("BEGIN")
                source.backup(copy, pages=10_000, progress=told, sleep=0)
            copy.execute("PRAGMA journal_mode=DELETE")
    except BaseException as error:
        # Half a backup is none, whether it failed or was interrupted.
        target.unlink(missing_ok=True)
        if isinstance(error, sqlite3.Error):
            raise StoreError(f"the backup {target} cannot be written: {error}") from error
        raise


def verify(engine: Engine) -> list[str]:
    """What is wrong with the store, one sentence each; an empty list for a sound one."""
    with reading(engine) as connection:
        if fault := revision_fault(connection):
            return [fault]
        return [*_page_faults(connection), *_sum_faults(connection)]


def _page_faults(connection: Connection) -> Iterable[str]:
    if connection.dialect.name != "sqlite":
        return []
    found = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA integrity_check(20)")]
    return [] if found == ["ok"] else [f"SQLite: {fault}" for fault in found]


def _sum_faults(connection: Connection) -> Iterable[str]:
    """Compare the hourly sums with the records they were made of, from the first hour that is whole."""
    table, activity, failures = schema.records, schema.hourly_activity, schema.hourly_failures
    oldest = connection.scalar(select(func.min(table.c.at)))
    if oldest is None:
        return
    first = oldest // HOUR_MS + 1
    calls = _hours(connection, first, table.c.version.is_not(None)) + forgotten_calls(connection)
    yield from _differing(first, calls, _summed(connection, activity, first), "records", "calls")
    # What was forgotten of failures is in their sums no more.
    failed = _hours(connection, first, failing(table))
    yield from _differing(first, failed, _summed(connection, failures, first), "records that failed", "failures")


def _hours(connection: Connection, first: int, which: ColumnElement[bool]) -> Counter[int]:
    """How many records of a kind each hour has, from the hour `first` on."""
    table = schema.records
    hour = table.c.at.op("/")(HOUR_MS).label("hour")
    statement = select(hour, func.count()).where(which, table.c.at >= first * HOUR_MS).group_by(hour)
    return Counter(dict(connection.execute(statement).all()))


def _summed(connection: Connection, table: Table, first: int) -> Counter[int]:
    """The calls that an hourly table counts in each hour, from the hour `first` on."""
    statement = select(table.c.hour, func.sum(table.c.calls)).where(table.c.hour >= first).group_by(table.c.hour)
    return Counter({hour: int(calls) for hour, calls in connection.execute(statement)})


def _differing(first: int, counted: Counter[int], summed: Counter[int], records: str, calls: str) -> Iterable[str]:
    for hour in sorted(counted.keys() | summed.keys()):
        if hour >= first and counted[hour] != summed[hour]:
            when = datetime.fromtimestamp(hour * HOUR_MS / 1000, UTC)
            yield (
                f"the hour from {when:%Y-%m-%d %H:%M} UTC has {counted[hour]} {records} "
                f"and a sum of {summed[hour]} {calls}"
            )
