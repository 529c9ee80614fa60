"""Changing the stored summary tables as records come, change and go, in the same transaction as the records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from kmstwist.audit.asking.limits import standing_records
from kmstwist.audit.asking.prepared import do, do_for_each, each, errors_of, row, sqlite_of
from kmstwist.audit.bulk import insertion_of
from kmstwist.audit.inserting import execute_all, statements_of
from kmstwist.audit.records import Record
from kmstwist.audit.rows import from_values
from kmstwist.audit.sums.all import SUMS
from kmstwist.audit.sums.table import Row, SummaryTable

if TYPE_CHECKING:
    from kmstwist.audit.asking.questions import Reader


def add(store: Reader, records: Sequence[Record]) -> None:
    """Add a batch of new records to every sum."""
    for table in SUMS:
        merge(table, store, records)


def replace(store: Reader, old: Record, new: Record) -> None:
    """Replace a record's contribution: it was stored as `old`, and is now stored as `new`."""
    for table in SUMS:
        was, now = table.row(old), table.row(new)
        if was == now:
            continue
        if was is not None:
            withdraw(table, store, old, was)
        if now is not None:
            merge(table, store, [new])


def remove(store: Reader, record: Record) -> None:
    """Take a record out of every sum; it is no longer in the table of records."""
    for table in SUMS:
        if (gone := table.row(record)) is not None:
            withdraw(table, store, record, gone)


def merge(table: SummaryTable, store: Reader, records: Sequence[Record]) -> None:
    """Add the records to one table.

    In the order of the rows' keys, so that two gateways writing to one PostgreSQL take its row locks in the same order
    and never deadlock.
    """
    rows = table.by_key(list(map(table.values, table.counting(records))))
    driver = sqlite_of(store)
    if driver is None:
        do_for_each(store, f"{table.name}: add", list(map(table.named, rows)))
    else:
        with errors_of(store):
            execute_all(driver, statements_of([(insertion_of(table), rows)]))


def withdraw(table: SummaryTable, store: Reader, record: Record, gone: Row) -> None:
    """Take out `gone`, a record's row; the table of records no longer has the record, or has changed it."""
    this = {f"key_{name}": gone[name] for name in table.key}
    found = row(store, f"{table.name}: row", this)
    if found is None:
        return
    changed = dict(zip(table.columns, found, strict=True))
    for name in table.added:
        changed[name] -= gone[name]
    if changed["calls"] <= 0:
        do(store, f"{table.name}: remove row", this)
        return
    if table.last is not None:
        _step_back(table, store, record, gone, changed)
    do(store, f"{table.name}: change row", this | {f"new_{name}": value for name, value in changed.items()})


def _step_back(table: SummaryTable, store: Reader, record: Record, gone: Row, changed: Row) -> None:
    """Where the row has values of the withdrawn record, give it those of the remaining ones.

    Records that retention has deleted are only in the sums: if no record remains, the row stays as it is.
    """
    assert table.last is not None
    searched = {name for name in table.times if gone[name] is not None and gone[name] >= changed[name]}
    was_last = gone[table.last] >= changed[table.last]
    if searched or was_last:
        latest: Row | None = None
        for other in _left(table, store, record, gone, newest_first=True):
            latest = latest or other
            for name in [each for each in searched if other[each] is not None]:
                changed[name] = other[name]
                searched.remove(name)
            if not searched:
                break
        if latest is not None:
            changed.update(dict.fromkeys(searched))
            if was_last:
                changed.update({name: latest[name] for name in (table.last, *table.said_last)})
    if table.first is not None and gone[table.first] <= changed[table.first]:
        for other in _left(table, store, record, gone, newest_first=False):
            changed[table.first] = other[table.first]
            break


def _left(table: SummaryTable, store: Reader, record: Record, gone: Row, *, newest_first: bool) -> Iterator[Row]:
    """The rows of the stored records that belong to the row of `gone`, in order of time."""
    key, (condition, values) = table.key_of(gone), table.standing(record)
    for stored in each(store, standing_records(condition, newest_first=newest_first), values):
        other = table.row(from_values(stored))
        if other is not None and table.key_of(other) == key:
            yield other
