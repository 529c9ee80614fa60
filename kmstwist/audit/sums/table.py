"""What the audit's summary tables have in common, so that each of them is one definition of a few lines.

A definition says which records count (those that have all that is `given`, `unless` they are something), which of a
record's values each column takes (`of`), and how the columns of several such rows become one row. A column is

- part of the key (the table's primary key),
- `added`: the records' values are added up,
- `first` or `last`: the time of the first or the last record,
- one of `times`: the time of the last record that has a value there, NULL where none has,
- or, in all other cases, the last record's value; `seldom` if the column has an index and its value hardly ever
  changes: SQLite writes the index again for each row in which an upsert sets the column, even to the same value.

Every operation on the sums follows from these: a batch is added up in memory (`by_key`) and merged into the table with
one upsert for each row, a record is taken out again (both in `stored`), a machine is forgotten, old rows are deleted,
and a table is computed again from all records (`upkeep.verify`). The statements for all this are made from the
definitions, too (`asking.summary_statements`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter, itemgetter
from typing import Any, Final

from kmstwist.audit.records import Record, having

#: The values of a row, in the order of the table's columns; and with their names.
Values = tuple[Any, ...]
Row = dict[str, Any]
_key: Final = itemgetter(0)


@dataclass(frozen=True, eq=False)
class SummaryTable:
    """A summary table's definition.

    `of` names for each column, in the table's order, the attribute of a record that is its value. `given` names those
    that must not be None in a record that counts, and `unless` one that must not be true. They are names, so that no
    function of the table's is called for a record.
    `standing` selects the stored records that may belong to the same row as a given one: it names one of the
    conditions of `asking.record_statements`, with the values of its parameters. A table that only adds has none.
    """

    name: str
    key: tuple[str, ...]
    of: Mapping[str, str]
    standing: Callable[[Record], tuple[str, dict[str, Any]]] | None = None
    #: Whether its rows are about machines, or addresses.
    names_machines: bool = True
    given: tuple[str, ...] = ()
    unless: str | None = None
    added: tuple[str, ...] = ("calls",)
    first: str | None = None
    last: str | None = None
    times: tuple[str, ...] = ()
    seldom: tuple[str, ...] = ()
    #: What an hourly table counts, for messages: a record, and one of its sum.
    counted: tuple[str, str] = ("record", "call")

    @cached_property
    def said_last(self) -> tuple[str, ...]:
        """The names of the columns with the last record's values."""
        ruled = {*self.key, *self.added, *self.times, self.first, self.last}
        return tuple(name for name in self.columns if name not in ruled)

    def key_of(self, row: Row) -> Values:
        """A row's key, in the order of `key`."""
        return tuple(row[name] for name in self.key)

    # -- adding

    @cached_property
    def values(self) -> Callable[[Record], Values]:
        """Takes from a record that counts the values of the row that it alone would make."""
        return attrgetter(*self.of.values())

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns; those of the key come first."""
        names = tuple(self.of)
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
        return self.named(self.values(record)) if self.counting([record]) else None

    def named(self, values: Values) -> Row:
        """A row's values with their names."""
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

    @property
    def hourly(self) -> bool:
        """Whether the rows are about hours, and not about the present state."""
        return "hour" in self.key
