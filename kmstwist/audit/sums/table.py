"""What the audit's summary tables have in common, so that each of them is one definition of a few lines.

A definition says which records count (those that have all that is `given`, `unless` they are something), the row that
one of them alone would make (`of`), and how the columns of several such rows become one row. A column is

- part of the key (the table's primary key),
- `added`: the records' values are added up,
- `first` or `last`: the time of the first or the last record,
- one of `times`: the time of the last record that has a value there, NULL where none has,
- or, in all other cases, the last record's value; `seldom` if the column has an index and its value hardly ever
  changes: SQLite writes the index again for each row in which an upsert sets the column, even to the same value.

Every operation on the sums follows from these: a batch is added up in memory (`summed`) and merged into the table with
one upsert for each row (`merge`), a record is taken out again (`withdraw`), a machine is forgotten (`about`), old rows
are deleted (`before`), and a table is computed again from all records (`upkeep.verify`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import filterfalse
from operator import attrgetter, itemgetter
from typing import Any, Final

from sqlalchemy import Connection, Table, and_, bindparam, case, delete, or_, select
from sqlalchemy.sql.dml import Insert
from sqlalchemy.sql.elements import ColumnElement

from kmstwist.audit import schema
from kmstwist.audit.bulk import Inserted, Insertion, Prepared, execute_many, insert_for, prepared
from kmstwist.audit.records import Record
from kmstwist.audit.rows import COLUMNS, from_values

Row = dict[str, Any]
_key: Final = itemgetter(0)
Condition = ColumnElement[bool]


@dataclass(frozen=True, eq=False)
class SummaryTable:
    """A summary table's definition.

    `of` makes the row of one record that counts, with a value for every column. `given` names what must not be None in
    a record that counts, and `unless` what must not be true: names, so that most records are told apart without a call.
    `standing` selects the stored records that may belong to the same row as a given one: one of a few conditions, and
    the values of its parameters. `about` selects the rows about machines with one of these names (in lower case) or
    addresses; it returns None for a table that names no machine.
    """

    table: Table
    of: Callable[[Record], Row]
    standing: Callable[[Record], tuple[Condition, dict[str, Any]]]
    about: Callable[[Collection[str]], Condition | None]
    given: tuple[str, ...] = ()
    unless: str | None = None
    added: tuple[str, ...] = ("calls",)
    first: str | None = None
    last: str | None = None
    times: tuple[str, ...] = ()
    seldom: tuple[str, ...] = ()
    #: What an hourly table counts, for messages: the records, and their sum.
    counted: tuple[str, str] = ("records", "calls")

    @cached_property
    def key(self) -> tuple[str, ...]:
        """The names of the columns of the key."""
        return tuple(column.name for column in self.table.primary_key.columns)

    @cached_property
    def said_last(self) -> tuple[str, ...]:
        """The names of the columns with the last record's values."""
        ruled = {*self.key, *self.added, *self.times, self.first, self.last}
        return tuple(column.name for column in self.table.c if column.name not in ruled)

    @cached_property
    def key_of(self) -> Callable[[Row], object]:
        """A function that returns a row's key, a tuple in the order of `key`."""
        return itemgetter(*self.key)

    # -- adding

    def counting(self, records: Sequence[Record]) -> Sequence[Record]:
        """Those of the records that count."""
        for value_of in self._given:
            if None in map(value_of, records):
                records = [record for record in records if value_of(record) is not None]
        if self._unless is not None and any(map(self._unless, records)):
            records = list(filterfalse(self._unless, records))
        return records

    @cached_property
    def _given(self) -> list[Callable[[Record], object]]:
        return [attrgetter(name) for name in self.given]

    @cached_property
    def _unless(self) -> Callable[[Record], object] | None:
        return None if self.unless is None else attrgetter(self.unless)

    def row(self, record: Record) -> Row | None:
        """The row of one record; None for one that does not count."""
        return self.of(record) if self.counting([record]) else None

    def summed(self, records: Sequence[Record]) -> list[Row]:
        """The rows that the records add up to, in the order of their keys."""
        return self.by_key(list(map(self.of, self.counting(records))))

    def by_key(self, rows: list[Row]) -> list[Row]:
        """The rows of records as one row for each key, in the order of the keys. It may change the rows given to it."""
        groups: dict[object, list[Row]] = {}
        for key, row in zip(map(self.key_of, rows), rows, strict=True):
            there = groups.get(key)
            if there is None:
                groups[key] = [row]
            else:
                there.append(row)
        return [rows[0] if len(rows) == 1 else self.together(rows) for _, rows in sorted(groups.items(), key=_key)]

    def together(self, rows: list[Row]) -> Row:
        """The rows of one key, in the order of their records, as one row. It may change the rows given to it."""
        row, last = rows[-1], self.last
        if last is not None:
            row = rows[0]
            for other in rows:
                if other[last] >= row[last]:
                    row = other
        # Column by column, with functions that loop in C: in a storm one hour has as many rows as records.
        for name, value in self._added_values:
            row[name] = sum(map(value, rows))
        if self.first is not None:
            row[self.first] = min(map(itemgetter(self.first), rows))
        for name in self.times:
            row[name] = max((other[name] for other in rows if other[name] is not None), default=None)
        return row

    @cached_property
    def _added_values(self) -> list[tuple[str, Callable[[Row], object]]]:
        return [(name, itemgetter(name)) for name in self.added]

    def merge(self, connection: Connection, records: Sequence[Record]) -> None:
        """Add the records to the stored table.

        In the order of the rows' keys, so that two gateways writing to one PostgreSQL take its row locks in the same
        order and never deadlock.
        """
        if rows := self.summed(records):
            execute_many(connection, self._upsert_for(connection.dialect.name), rows)

    @cached_property
    def prepared(self) -> tuple[Insertion, Callable[[Row], Sequence[object]]]:
        """What does the same through SQLite's driver, and what takes a row's values for it."""
        columns = tuple(self.table.c.keys())
        if self.seldom:
            return prepared(self._common_upsert, columns, self._rare_upsert)
        return prepared(self._upsert_for("sqlite"), columns)

    def _upsert_for(self, dialect: str) -> Insert:
        if dialect not in self._upserts:
            insert = insert_for(dialect, self.table)
            self._upserts[dialect] = insert.on_conflict_do_update(
                index_elements=list(self.key), set_=self._changes(insert)
            )
        return self._upserts[dialect]

    @cached_property
    def _common_upsert(self) -> Insert:
        """SQLite's for new rows, and for those in which no column of `seldom` changes; it leaves the others."""
        insert = insert_for("sqlite", self.table)
        upsert: Insert = insert.on_conflict_do_update(
            index_elements=list(self.key),
            set_={name: value for name, value in self._changes(insert).items() if name not in self.seldom},
            where=and_(*(self.table.c[name].is_not_distinct_from(insert.excluded[name]) for name in self.seldom)),
        )
        return upsert

    @cached_property
    def _rare_upsert(self) -> Insert:
        """What takes the others after it, and leaves what it took."""
        insert = insert_for("sqlite", self.table)
        upsert: Insert = insert.on_conflict_do_update(
            index_elements=list(self.key),
            set_=self._changes(insert),
            where=or_(*(self.table.c[name].is_distinct_from(insert.excluded[name]) for name in self.seldom)),
        )
        return upsert

    @cached_property
    def _upserts(self) -> dict[str, Insert]:
        # Each when it is needed first: PostgreSQL's takes a while to load, and most gateways have none.
        return {}

    def _changes(self, insert: Any) -> dict[str, Any]:
        """`together` in SQL."""
        new, old = insert.excluded, self.table.c
        changes: dict[str, Any] = {name: old[name] + new[name] for name in self.added}
        if self.first is not None:
            changes[self.first] = case((new[self.first] < old[self.first], new[self.first]), else_=old[self.first])
        for name in self.times:
            changes[name] = case((old[name].is_(None), new[name]), (new[name] > old[name], new[name]), else_=old[name])
        if self.last is not None:
            for name in (self.last, *self.said_last):
                changes[name] = case((new[self.last] >= old[self.last], new[name]), else_=old[name])
        return changes

    # -- taking out

    def replace(self, connection: Connection, old: Record, new: Record) -> None:
        """Replace a stored record's contribution: it was `old`, and is `new` in the table of records by now."""
        was, now = self.row(old), self.row(new)
        if was == now:
            return
        if was is not None:
            self.withdraw(connection, old, was)
        if now is not None:
            self.merge(connection, [new])

    def withdraw(self, connection: Connection, record: Record, gone: Row) -> None:
        """Take out `gone`, a record's row; the table of records no longer has the record, or has changed it."""
        this = {f"key_{name}": gone[name] for name in self.key}
        found = self._the_row.row(connection, this)
        if found is None:
            return
        row = dict(zip(self.table.c.keys(), found, strict=True))
        for name in self.added:
            row[name] -= gone[name]
        if row["calls"] <= 0:
            self._no_row.do(connection, this)
            return
        if self.last is not None:
            self._step_back(connection, record, gone, row)
        self._changed_row.do(connection, this | {f"new_{name}": value for name, value in row.items()})

    def _step_back(self, connection: Connection, record: Record, gone: Row, row: Row) -> None:
        """Where the row has values of the withdrawn record, give it those of the remaining ones.

        Records that retention has deleted are only in the sums: if no record remains, the row stays as it is.
        """
        assert self.last is not None
        searched = {name for name in self.times if gone[name] is not None and gone[name] >= row[name]}
        was_last = gone[self.last] >= row[self.last]
        if searched or was_last:
            latest: Row | None = None
            for other in self._left(connection, record, gone, newest_first=True):
                latest = latest or other
                for name in [each for each in searched if other[each] is not None]:
                    row[name] = other[name]
                    searched.remove(name)
                if not searched:
                    break
            if latest is not None:
                row.update(dict.fromkeys(searched))
                if was_last:
                    row.update({name: latest[name] for name in (self.last, *self.said_last)})
        if self.first is not None and gone[self.first] <= row[self.first]:
            for other in self._left(connection, record, gone, newest_first=False):
                row[self.first] = other[self.first]
                break

    def _left(self, connection: Connection, record: Record, gone: Row, *, newest_first: bool) -> Iterator[Row]:
        """The rows of the stored records that belong to the row of `gone`, in order of time."""
        key, (condition, values) = self.key_of(gone), self.standing(record)
        for stored in _in_order(condition, newest_first=newest_first).each(connection, values):
            row = self.row(from_values(stored))
            if row is not None and self.key_of(row) == key:
                yield row

    @cached_property
    def _this(self) -> Condition:
        return and_(*(self.table.c[name] == bindparam(f"key_{name}") for name in self.key))

    @cached_property
    def _the_row(self) -> Prepared:
        return Prepared(select(self.table).where(self._this))

    @cached_property
    def _no_row(self) -> Prepared:
        return Prepared(delete(self.table).where(self._this))

    @cached_property
    def _changed_row(self) -> Prepared:
        names = [column.name for column in self.table.c if column.name not in self.key]
        values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in names}
        return Prepared(self.table.update().where(self._this).values(values))

    # -- growing old

    @property
    def hourly(self) -> bool:
        """Whether the rows are about hours, and not about the present state."""
        return "hour" in self.key

    def before(self, at: int) -> Condition:
        """The rows that are only about times before `at` (milliseconds since 1970)."""
        if self.last is None or self.hourly:
            return self.table.c.hour < at // schema.HOUR_MS
        return self.table.c[self.last] < at


def additions(tables: Iterable[SummaryTable], records: Sequence[Record]) -> list[Inserted]:
    """What adds the records to these tables through SQLite's driver."""
    found: list[Inserted] = []
    # First what each table's own definition says of the records, then what is the same for all tables.
    counted = [(table, some) for table in tables if (some := table.counting(records))]
    for table, rows in [(table, list(map(table.of, some))) for table, some in counted]:
        insertion, values = table.prepared
        found.append((insertion, list(map(values, table.by_key(rows) if len(rows) > 1 else rows))))
    return found


@cache
def _in_order(condition: Condition, *, newest_first: bool) -> Prepared:
    """The stored records that meet a condition, in order of time."""
    table = schema.records.c
    order = (table.at.desc(), table.seq.desc()) if newest_first else (table.at, table.seq)
    return Prepared(select(*(table[name] for name in COLUMNS)).where(condition).order_by(*order))
