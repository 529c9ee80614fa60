"""Retention: deleting what is older than a limit, or beyond a size, a little at a time.

Each step is one short transaction, run between the writer's batches in the writer's own thread, so that a long clean-up
never makes an activation wait for more than one step. By age, everything about a time is deleted: records, sums, events
and machines not seen since. By size, the oldest records and imported events are deleted, each down to a floor; the
sums, which are small, stay, and so do the reports. If that is not enough, machines without a record are deleted, those
that called longest ago first, and then failures of hours without a record. Deleting stops when it frees nothing.
Neither deletes records that have not been forwarded to the central store yet.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Column, Connection, Engine, delete, func, select, true

from kmstwist.audit import schema
from kmstwist.audit.engine import driver_of, is_sqlite, reading, writing
from kmstwist.audit.records import first_id_at
from kmstwist.audit.sums.all import SUMS
from kmstwist.audit.upkeep import space
from kmstwist.audit.upkeep.limits import DAY_MS, Limits

STEP = 2000
# After this many steps that free nothing, no more are made: they would only lose data.
IN_VAIN = 5


@dataclass(slots=True)
class Outcome:
    """The result of pruning by size: the bytes in use, whether they are too many, whether only the floor is left."""

    size: int = 0
    over: bool = False
    at_floor: bool = False

    @property
    def too_small(self) -> bool:
        """Whether the limit is too small for the data that must be kept."""
        return self.over or self.at_floor


def prune(
    engine: Engine, limits: Limits, now_ms: int, *, step: int = STEP, outcome: Outcome | None = None
) -> Iterator[int]:
    """Delete what the limits say, in one short transaction for each item: the number of rows it deleted.

    Blocks in each step; the caller can do other work between them. `now_ms` is milliseconds since 1970. `outcome` gets
    the result of pruning by size.
    """
    if limits.days is not None:
        yield from _prune_age(engine, now_ms - int(limits.days * DAY_MS), step)
    if limits.size is not None and is_sqlite(engine):
        yield from _prune_size(engine, limits, step, outcome or Outcome())
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
        # If records of a time wait to be forwarded, its sums stay as well, so that they agree.
        waiting = connection.scalar(select(records.c.at).order_by(records.c.record_id).limit(1))
    summed = before if waiting is None else min(before, waiting)
    events = schema.events
    for table, old in ((events, events.c.at < before), *((each.table, each.before(summed)) for each in SUMS)):
        with writing(engine) as connection:
            deleted = connection.execute(delete(table).where(old)).rowcount
        yield deleted


def _prune_size(engine: Engine, limits: Limits, step: int, outcome: Outcome) -> Iterator[int]:
    """Delete the oldest of each kind in turn, as long as that makes room."""
    assert limits.size is not None
    pruned = 0
    for delete_some in (
        lambda: _delete_oldest_of_both(engine, step, limits.floor),
        lambda: _delete_machines(engine, step),
        lambda: _delete_oldest_failures(engine, step),
    ):
        in_vain = 0
        while (size := _size(engine)) > limits.size and in_vain < IN_VAIN:
            deleted = delete_some()
            if deleted == 0:
                break
            pruned += deleted
            yield deleted
            in_vain = in_vain + 1 if _size(engine) >= size else 0
    outcome.size = _size(engine)
    outcome.over = outcome.size > limits.size
    with reading(engine) as connection:
        left = _some_of(connection, schema.records.c.seq, limits.floor + 1)
    outcome.at_floor = pruned > 0 and left <= limits.floor


def _size(engine: Engine) -> int:
    with reading(engine) as connection:
        return size_in_use(connection)


def _delete_oldest(engine: Engine, step: int, before: int | None, floor: int = 0) -> int:
    """Delete up to `step` of the oldest records, only those before a time, and leave `floor` of them in any case."""
    table, progress = schema.records, schema.forwarding
    with writing(engine) as connection:
        if floor:
            step = min(step, _some_of(connection, table.c.seq, floor + step) - floor)
            if step <= 0:
                return 0
        victims = select(table.c.seq).order_by(table.c.record_id).limit(step)
        if before is not None:
            victims = victims.where(table.c.record_id < first_id_at(before))
        forwarded = connection.scalar(select(func.min(progress.c.seq)))
        if forwarded is not None:
            victims = victims.where(table.c.seq <= forwarded)
        return connection.execute(delete(table).where(table.c.seq.in_(victims))).rowcount


def _delete_oldest_of_both(engine: Engine, step: int, floor: int) -> int:
    """Delete up to `step` records, or events, whichever kind has the older one that may go."""
    records, events = schema.records, schema.events
    with reading(engine) as connection:
        of_records = connection.scalar(select(records.c.at).order_by(records.c.record_id).limit(1))
        of_events = connection.scalar(select(func.min(events.c.at)))
    kinds = [partial(_delete_oldest, engine, step, None, floor), partial(_delete_oldest_events, engine, step, floor)]
    if of_events is not None and (of_records is None or of_events < of_records):
        kinds.reverse()
    # Of the one kind only the floor may be left, or what waits to be forwarded.
    return kinds[0]() or kinds[1]()


def _delete_oldest_events(engine: Engine, step: int, floor: int) -> int:
    """Delete up to `step` of the oldest imported events, and leave `floor` of them in any case."""
    table = schema.events
    with writing(engine) as connection:
        step = min(step, _some_of(connection, table.c.seq, floor + step) - floor)
        if step <= 0:
            return 0
        victims = select(table.c.seq).order_by(table.c.at, table.c.seq).limit(step)
        return connection.execute(delete(table).where(table.c.seq.in_(victims))).rowcount


def _some_of(connection: Connection, column: Column[int], most: int) -> int:
    """How many rows a table has, or `most`: where there are many, they are not all counted."""
    some = select(column).limit(most).subquery()
    return connection.scalar(select(func.count()).select_from(some)) or 0


def _oldest_kept(connection: Connection) -> int | None:
    """When the oldest record was made that is kept; sums about earlier times have no record left."""
    table = schema.records
    at: int | None = connection.scalar(select(table.c.at).order_by(table.c.record_id).limit(1))
    return at


def _delete_machines(engine: Engine, step: int) -> int:
    """Delete about `step` machines and CMIDs of which no record is left, those first that called longest ago."""
    deleted = 0
    with writing(engine) as connection:
        oldest = _oldest_kept(connection)
        for each in SUMS:
            if each.hourly or each.last is None:
                continue
            table, last = each.table, each.table.c[each.last]
            old = true() if oldest is None else last < oldest
            # The call with which the oldest `step` of them end.
            some = select(last.label("last")).where(old).order_by(last).limit(step).subquery()
            until = connection.scalar(select(func.max(some.c.last)))
            if until is not None:
                deleted += connection.execute(delete(table).where(old, last <= until)).rowcount
    return deleted


def _delete_oldest_failures(engine: Engine, step: int) -> int:
    """Delete the sums of about `step` failures of the oldest hours of which no record is left."""
    table = schema.hourly_failures
    with writing(engine) as connection:
        oldest = _oldest_kept(connection)
        old = true() if oldest is None else table.c.hour < oldest // schema.HOUR_MS
        # The hour in which the oldest `step` of them end.
        some = select(table.c.hour).where(old).order_by(table.c.hour).limit(step).subquery()
        last = connection.scalar(select(func.max(some.c.hour)))
        return 0 if last is None else connection.execute(delete(table).where(old, table.c.hour <= last)).rowcount


def _hand_back(engine: Engine) -> Iterator[int]:
    """Give the freed pages back to the file system; yields 0s, for no rows go."""
    with engine.connect() as connection:
        yield from space.hand_back(driver_of(connection))


def rewrite(engine: Engine) -> bool:
    """Rewrite the whole store in the smallest form. Returns whether nothing of the old one is left in its files.

    Something is left if somebody was reading the old store all the time. Writers wait meanwhile; blocks.
    """
    with engine.connect() as connection:
        if not is_sqlite(engine):
            connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql("VACUUM")
            return False
        return space.rewrite(driver_of(connection))
