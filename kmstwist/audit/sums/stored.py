"""Changing the stored summary tables as records come, change and go, in the same transaction as the records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from kmstwist.audit.asking.limits import MOST, places_of, standing_records
from kmstwist.audit.asking.prepared import do, do_for_each, each, errors_of, row, rows, sqlite_of
from kmstwist.audit.bulk import insertion_of
from kmstwist.audit.inserting import execute_all, statements_of
from kmstwist.audit.records import Record
from kmstwist.audit.rows import COLUMNS, from_values
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
    sums = table.by_key(list(map(table.values, table.counting(records))))
    driver = sqlite_of(store)
    if driver is None:
        do_for_each(store, f"{table.name}: add", list(map(table.named, sums)))
    else:
        with errors_of(store):
            execute_all(driver, statements_of([(insertion_of(table), sums)]))


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
    was_first = table.first is not None and gone[table.first] <= changed[table.first]
    if not (searched or was_last or was_first):
        return
    left = _Left(table, store, record, gone)
    if searched or was_last:
        latest: Row | None = None
        for other in left.in_order(newest_first=True):
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
    if was_first:
        assert table.first is not None
        for other in left.in_order(newest_first=False):
            changed[table.first] = other[table.first]
            break


class _Left:
    """The rows of the stored records that belong to the row of `gone`."""

    def __init__(self, table: SummaryTable, store: Reader, record: Record, gone: Row) -> None:
        assert table.standing is not None, "it has values of its last record"
        self._table, self._store, self._key = table, store, table.key_of(gone)
        self._condition, self._values = table.standing(record)
        self._few = self._these_few()

    def in_order(self, *, newest_first: bool) -> Iterator[Row]:
        """Them, in order of time."""
        for stored in self._records(newest_first=newest_first):
            other = self._table.row(from_values(stored))
            if other is not None and self._table.key_of(other) == self._key:
                yield other

    def _records(self, *, newest_first: bool) -> Iterable[Sequence[Any]]:
        if self._few is None:
            statement = standing_records(self._condition, newest_first=newest_first)
            return each(self._store, statement, self._values)
        return (stored[1:] for stored in sorted(self._few, key=_BY_TIME, reverse=newest_first))

    def _these_few(self) -> Sequence[Sequence[Any]] | None:
        """All the records of the machine with their `seq`, if they are few and the store is SQLite's."""
        places = None if sqlite_of(self._store) is None else places_of(self._condition)
        if places is None:
            return None
        found = [seq for (seq,) in rows(self._store, places, self._values)]
        return None if len(found) > MOST else rows(self._store, "records at places", {"seqs": found})


#: Of a record behind its `seq`.
_BY_TIME: Final = itemgetter(1 + COLUMNS.index("at"), 0)
