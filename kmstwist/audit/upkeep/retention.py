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
from typing import TYPE_CHECKING, Final

from kmstwist.audit.asking.facts import noted, put_fact
from kmstwist.audit.asking.prepared import do, sqlite_of, value
from kmstwist.audit.asking.transactions import PlainStore, is_embedded, outside, reading, writing
from kmstwist.audit.plain.defaults import HOUR_MS
from kmstwist.audit.records import first_id_at
from kmstwist.audit.sums.all import SUMS
from kmstwist.audit.sums.hourly_failures import HOURLY_FAILURES
from kmstwist.audit.sums.table import SummaryTable
from kmstwist.audit.upkeep import space
from kmstwist.audit.upkeep.limits import DAY_MS, Limits

if TYPE_CHECKING:
    from kmstwist.audit.asking.questions import Reader
    from kmstwist.audit.asking.transactions import Store

STEP = 2000
# A fact about the store: `deleted_until`.
DELETED_UNTIL: Final = "records deleted until"
# After this many steps that free nothing, no more are made: they would only lose data.
IN_VAIN = 5
# No record has this id or a greater one, nor a greater number; and no time is this.
_AFTER_ALL_IDS: Final = b"\xff" * 16
_LAST_SEQ: Final = 2**63 - 1
_AFTER_ALL_TIMES: Final = 2**63 - 1


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
    store: Store, limits: Limits, now_ms: int, *, step: int = STEP, outcome: Outcome | None = None
) -> Iterator[int]:
    """Delete what the limits say, in one short transaction for each item: the number of rows it deleted.

    Blocks in each step; the caller can do other work between them. `now_ms` is milliseconds since 1970. `outcome` gets
    the result of pruning by size.
    """
    if limits.days is not None:
        yield from _prune_age(store, now_ms - int(limits.days * DAY_MS), step)
    if limits.size is not None and is_embedded(store):
        yield from _prune_size(store, limits, step, outcome or Outcome())
    if is_embedded(store):
        yield from _hand_back(store)


def size_in_use(reader: Reader) -> int:
    """The bytes of an SQLite store that hold something."""
    driver = sqlite_of(reader)
    assert driver is not None, "only a file has a size"
    pages, free, size = (
        int(driver.execute(f"PRAGMA {name}").fetchone()[0]) for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size


def _prune_age(store: Store, before: int, step: int) -> Iterator[int]:
    while deleted := _delete_oldest(store, step, before):
        yield deleted
    with reading(store) as reader:
        # If records of a time wait to be forwarded, its sums stay as well, so that they agree.
        waiting = value(reader, "time of the oldest record")
    summed = before if waiting is None else min(before, waiting)
    with writing(store) as writer:
        deleted = do(writer, "delete events before", {"before": before})
    yield deleted
    for each in SUMS:
        with writing(store) as writer:
            deleted = do(writer, f"{each.name}: delete before", {"before": _in_units_of(each, summed)})
        yield deleted


def _in_units_of(each: SummaryTable, at: int) -> int:
    """A time (milliseconds since 1970) as the table's rows have theirs."""
    return at // HOUR_MS if each.hourly else at


def _prune_size(store: Store, limits: Limits, step: int, outcome: Outcome) -> Iterator[int]:
    """Delete the oldest of each kind in turn, as long as that makes room."""
    assert limits.size is not None
    pruned = 0
    for delete_some in (
        lambda: _delete_oldest_of_both(store, step, limits.floor),
        lambda: _delete_machines(store, step),
        lambda: _delete_oldest_failures(store, step),
    ):
        in_vain = 0
        while (size := _size(store)) > limits.size and in_vain < IN_VAIN:
            deleted = delete_some()
            if deleted == 0:
                break
            pruned += deleted
            yield deleted
            in_vain = in_vain + 1 if _size(store) >= size else 0
    outcome.size = _size(store)
    outcome.over = outcome.size > limits.size
    with reading(store) as reader:
        left = value(reader, "number of records", {"most": limits.floor + 1})
    outcome.at_floor = pruned > 0 and left <= limits.floor


def _size(store: Store) -> int:
    with reading(store) as reader:
        return size_in_use(reader)


def _delete_oldest(store: Store, step: int, before: int | None, floor: int = 0) -> int:
    """Delete up to `step` of the oldest records, only those before a time, and leave `floor` of them in any case."""
    with writing(store) as writer:
        if floor:
            step = min(step, value(writer, "number of records", {"most": floor + step}) - floor)
            if step <= 0:
                return 0
        forwarded = value(writer, "forwarded")
        bounds = {
            "before_id": _AFTER_ALL_IDS if before is None else first_id_at(before),
            "to_seq": _LAST_SEQ if forwarded is None else forwarded,
        }
        these = {**bounds, "number": step}
        latest = value(writer, "latest time of the oldest records", these)
        if latest is None:
            return 0
        if latest > deleted_until(writer):
            put_fact(writer, DELETED_UNTIL, str(latest))
        return do(writer, "delete the oldest records", these)


def deleted_until(reader: Reader) -> int:
    """The latest time of a record that retention has deleted (milliseconds since 1970); -1 if it has deleted none.

    Sums may count records up to that time that the store no longer has, even where it has older ones: events that are
    imported later are of any time.
    """
    return noted(reader, DELETED_UNTIL, int, -1)


def _delete_oldest_of_both(store: Store, step: int, floor: int) -> int:
    """Delete up to `step` records, or events, whichever kind has the older one that may go."""
    with reading(store) as reader:
        of_records = value(reader, "time of the oldest record")
        of_events = value(reader, "time of the oldest event")
    kinds = [partial(_delete_oldest, store, step, None, floor), partial(_delete_oldest_events, store, step, floor)]
    if of_events is not None and (of_records is None or of_events < of_records):
        kinds.reverse()
    # Of the one kind only the floor may be left, or what waits to be forwarded.
    return kinds[0]() or kinds[1]()


def _delete_oldest_events(store: Store, step: int, floor: int) -> int:
    """Delete up to `step` of the oldest imported events, and leave `floor` of them in any case."""
    with writing(store) as writer:
        step = min(step, value(writer, "number of events", {"most": floor + step}) - floor)
        return 0 if step <= 0 else do(writer, "delete the oldest events", {"number": step})


def _delete_machines(store: Store, step: int) -> int:
    """Delete about `step` machines and CMIDs of which no record is left, those first that called longest ago."""
    with writing(store) as writer:
        return sum(_delete_summed(writer, each, step) for each in SUMS if not each.hourly)


def _delete_oldest_failures(store: Store, step: int) -> int:
    """Delete the sums of about `step` failures of the oldest hours of which no record is left."""
    with writing(store) as writer:
        return _delete_summed(writer, HOURLY_FAILURES, step)


def _delete_summed(writer: Reader, each: SummaryTable, step: int) -> int:
    """Delete about `step` of the oldest rows of a summary table of which no record is left."""
    # Sums about times before the oldest record that is kept have none.
    oldest = value(writer, "time of the oldest record")
    before = _AFTER_ALL_TIMES if oldest is None else _in_units_of(each, oldest)
    until = value(writer, f"{each.name}: last of the oldest", {"before": before, "number": step})
    return 0 if until is None else do(writer, f"{each.name}: delete until", {"before": before, "until": until})


def _hand_back(store: Store) -> Iterator[int]:
    """Give the freed pages back to the file system; yields 0s, for no rows go."""
    with outside(store) as driver:
        assert driver is not None, "only a file has freed pages"
        yield from space.hand_back(driver)


def rewrite(store: Store) -> bool:
    """Rewrite the whole store in the smallest form. Returns whether nothing of the old one is left in its files.

    Something is left if somebody was reading the old store all the time. Writers wait meanwhile; blocks.
    """
    with outside(store) as driver:
        if driver is not None:
            return space.rewrite(driver)
    from kmstwist.audit.engine import vacuum

    assert not isinstance(store, PlainStore), "it is a file"
    vacuum(store)
    return False
