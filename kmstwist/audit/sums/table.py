"""What the audit's summary tables have in common, so that each of them is one definition of a few lines.

A definition says which records count (those that have all that is `given`, `unless` they are something), which of a
record's values each column takes (`of`), and how the columns of several such rows become one row. A column is

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

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from operator import attrgetter, itemgetter
from typing import Any, Final

from sqlalchemy import Connection, Table, and_, bindparam, case, delete, or_, select
from sqlalchemy.sql.dml import Insert
from sqlalchemy.sql.elements import ColumnElement

from kmstwist.audit import schema
from kmstwist.audit.bulk import Insertion, Prepared, execute_many, insert_for, insertion_by
from kmstwist.audit.records import Record, having
from kmstwist.audit.rows import COLUMNS, from_values

#: The values of a row, in the order of the table's columns; and with their names.
Values = tuple[Any, ...]
Row = dict[str, Any]
_key: Final = itemgetter(0)
Condition = ColumnElement[bool]


@dataclass(frozen=True, eq=False)
class SummaryTable:
    """A summary table's definition.

    `of` names for each column the attribute of a record that is its value. `given` names those that must not be None
    in a record that counts, and `unless` one that must not be true. They are names, so that no function of the table's
    is called for a record.
    `standing` selects the stored records that may belong to the same row as a given one: one of a few conditions, and
    the values of its parameters. `about` selects the rows about machines with one of these names (in lower case) or
    addresses; it returns None for a table that names no machine.
    """

    table: Table
    of: Mapping[str, str]
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

    def key_of(self, row: Row) -> Values:
        """A row's key, in the order of `key`."""
        return tuple(row[name] for name in self.key)

    # -- adding

    @cached_property
    def values(self) -> Callable[[Record], Values]:
        """Takes from a record that counts the values of the row that it alone would make."""
        return attrgetter(*(self.of[name] for name in self.columns))

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns; those of the key come first."""
        names = tuple(column.name for column in self.table.c)
        assert names[: len(self.key)] == self.key, "the key's columns come first"
        return names

    def counting(self, records: Sequence[Record]) -> Sequence[Record]:
        """Those of the records that count."""
        return having(records, self.given_values, self.unless_value)

    @cached_property
    def given_values(self) -> list[Callable[[Record], object]]:
        """Takes each value that must not be None."""
        return [attrgetter(name) for name in self.given]

    @cached_property
    def unless_value(self) -> Callable[[Record], object] | None:
        """Takes the value that must not be true."""
        return None if self.unless is None else attrgetter(self.unless)

    def row(self, record: Record) -> Row | None:
        """The row of one record; None for one that does not count."""
        return self._named(self.values(record)) if self.counting([record]) else None

    def _named(self, values: Values) -> Row:
        # SQLite's driver takes a truth value for a number, PostgreSQL's does not.
        numbers = (int(value) if isinstance(value, bool) else value for value in values)
        return dict(zip(self.columns, numbers, strict=True))

    def by_key(self, rows: list[Values]) -> list[Values]:
        """The rows of records as one row for each key, in the order of the keys."""
        groups: dict[object, list[Values]] = {}
        for key, row in zip(map(self._key_of, rows), rows, strict=True):
            there = groups.get(key)
            if there is None:
                groups[key] = [row]
            else:
                there.append(row)
        return [rows[0] if len(rows) == 1 else self.together(rows) for _, rows in sorted(groups.items(), key=_key)]

    @cached_property
    def _key_of(self) -> Callable[[Values], object]:
        return itemgetter(*range(len(self.key)))

    def together(self, rows: Sequence[Values]) -> Values:
        """The rows of one key, in the order of their records, as one row."""
        row, at_last = rows[-1], self._at_last
        if at_last is not None:
            row = rows[0]
            for other in rows:
                if other[at_last] >= row[at_last]:
                    row = other
        found = list(row)
        # Column by column, with functions that loop in C: in a storm one hour has as many rows as records.
        for at, value in self._added_values:
            found[at] = sum(map(value, rows))
        for at, value in self._first_values:
            found[at] = min(map(value, rows))
        for at, value in self._times_values:
            found[at] = max((time for time in map(value, rows) if time is not None), default=None)
        return tuple(found)

    def _places(self, *names: str | None) -> list[tuple[int, Callable[[Values], Any]]]:
        places = [self.columns.index(name) for name in names if name is not None]
        return [(at, itemgetter(at)) for at in places]

    @cached_property
    def _at_last(self) -> int | None:
        return None if self.last is None else self.columns.index(self.last)

    @cached_property
    def _added_values(self) -> list[tuple[int, Callable[[Values], Any]]]:
        return self._places(*self.added)

    @cached_property
    def _first_values(self) -> list[tuple[int, Callable[[Values], Any]]]:
        return self._places(self.first)

    @cached_property
    def _times_values(self) -> list[tuple[int, Callable[[Values], Any]]]:
        return self._places(*self.times)

    def merge(self, connection: Connection, records: Sequence[Record]) -> None:
        """Add the records to the stored table.

        In the order of the rows' keys, so that two gateways writing to one PostgreSQL take its row locks in the same
        order and never deadlock.
        """
        if rows := self.by_key(list(map(self.values, self.counting(records)))):
            execute_many(connection, self._upsert_for(connection.dialect.name), list(map(self._named, rows)))

    @cached_property
    def insertion(self) -> Insertion:
        """What does the same through SQLite's driver, with rows' `values`."""
        if self.seldom:
            return insertion_by(self._common_upsert, self.columns, self._rare_upsert)
        return insertion_by(self._upsert_for("sqlite"), self.columns)

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
        row = dict(zip(self.columns, found, strict=True))
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


@cache
def _in_order(condition: Condition, *, newest_first: bool) -> Prepared:
    """The stored records that meet a condition, in order of time."""
    table = schema.records.c
    order = (table.at.desc(), table.seq.desc()) if newest_first else (table.at, table.seq)
    return Prepared(select(*(table[name] for name in COLUMNS)).where(condition).order_by(*order))
