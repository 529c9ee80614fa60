"""Retention: what is older than a limit, or beyond a size, goes; a little at a time, off the hot path.

Each step is one short transaction, run between the writer's batches in the writer's own thread, so that a long clean-up
never makes an activation wait for more than one step. By age, everything about a time goes: records, sums, events and
machines not seen since. By size, the oldest records go; the sums, which are small, stay, and so do the reports. Only if
there is no record left to go, the oldest hours of failures do: of ten thousand machines that fail for months they are
not small.
Records that have not been forwarded to the central store yet are left alone by both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, delete, func, select

from kmstwist.audit import schema
from kmstwist.audit.engine import is_sqlite, pragma, reading, writing
from kmstwist.audit.records import first_id_at
from kmstwist.audit.sums.all import SUMS

STEP = 2000
FREED_PAGES = 500
DAY_MS = 24 * schema.HOUR_MS


@dataclass(frozen=True, slots=True)
class Limits:
    """How long (days) and how much (bytes of database) is kept; None for no limit."""

    days: float | None = None
    size: int | None = None


def prune(engine: Engine, limits: Limits, now_ms: int, *, step: int = STEP) -> Iterator[int]:
    """Delete what the limits say, one short transaction for each item of the iterator: how many rows it deleted.

    Blocks in each step; the caller puts other work between them. `now_ms` is milliseconds since 1970.
    """
    if limits.days is not None:
        yield from _prune_age(engine, now_ms - int(limits.days * DAY_MS), step)
    if limits.size is not None and is_sqlite(engine):
        yield from _prune_size(engine, limits.size, step)
    if is_sqlite(engine):
        yield from _hand_back(engine)


def size_in_use(connection: Connection) -> int:
    """The bytes of an SQLite store that hold something."""
    pages, free, size = (
        int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size


def _prune_age(engine: Engine, before: int, step: int) -> Iterator[int]:
    while deleted := _delete_oldest(engine, step, before):
        yield deleted
    records = schema.records
    with reading(engine) as connection:
        # Of a time whose records wait to be forwarded the sums stay as well, and agree with them.
        waiting = connection.scalar(select(records.c.at).order_by(records.c.record_id).limit(1))
    summed = before if waiting is None else min(before, waiting)
    events = schema.events
    for table, old in ((events, events.c.at < before), *((each.table, each.before(summed)) for each in SUMS)):
        with writing(engine) as connection:
            deleted = connection.execute(delete(table).where(old)).rowcount
        yield deleted


def _prune_size(engine: Engine, size: int, step: int) -> Iterator[int]:
    while True:
        with reading(engine) as connection:
            if size_in_use(connection) <= size:
                return
        deleted = _delete_oldest(engine, step, None) or _delete_oldest_failures(engine, step)
        if deleted == 0:
            return
        yield deleted


def _delete_oldest(engine: Engine, step: int, before: int | None) -> int:
    table, progress = schema.records, schema.forwarding
    with writing(engine) as connection:
        victims = select(table.c.seq).order_by(table.c.record_id).limit(step)
        if before is not None:
            victims = victims.where(table.c.record_id < first_id_at(before))
        forwarded = connection.scalar(select(func.min(progress.c.seq)))
        if forwarded is not None:
            victims = victims.where(table.c.seq <= forwarded)
        return connection.execute(delete(table).where(table.c.seq.in_(victims))).rowcount


def _delete_oldest_failures(engine: Engine, step: int) -> int:
    table, records = schema.hourly_failures, schema.records
    with writing(engine) as connection:
        if connection.scalar(select(records.c.seq).limit(1)) is not None:
            # Records that wait to be forwarded are what is large, and that passes.
            return 0
        # The hour in which the oldest `step` of them end.
        oldest = select(table.c.hour).order_by(table.c.hour).limit(step).subquery()
        last = connection.scalar(select(func.max(oldest.c.hour)))
        return 0 if last is None else connection.execute(delete(table).where(table.c.hour <= last)).rowcount


def _hand_back(engine: Engine) -> Iterator[int]:
    """Give the freed pages back to the file system; yields 0s, for no rows go."""
    with engine.connect() as connection:
        ((free,),) = pragma(connection, "freelist_count")
        while free:
            pragma(connection, f"incremental_vacuum({FREED_PAGES})")
            ((left,),) = pragma(connection, "freelist_count")
            yield 0
            if left >= free:
                return
            free = left


def rewrite(engine: Engine) -> bool:
    """Rewrite the whole store as small as it can be; whether nothing of the old one is left in its files.

    That is so unless somebody was reading the old one all the while. Writers wait meanwhile; blocks.
    """
    with engine.connect() as connection:
        if not is_sqlite(engine):
            connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql("VACUUM")
            return False
        # The new store is first written to a temporary one, which must not fill the memory.
        pragma(connection, "temp_store=FILE")
        driver: Any = connection.connection.dbapi_connection
        driver.execute("VACUUM")
        # Until it is emptied, the log holds the new store, and the file the old one.
        ((busy, _, _),) = pragma(connection, "wal_checkpoint(TRUNCATE)")
        pragma(connection, "temp_store=MEMORY")
    return not busy
