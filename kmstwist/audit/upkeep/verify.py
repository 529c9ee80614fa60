"""Verification: whether a store is whole, and whether its sums agree with its records.

The sums are computed again from the records, by the server's own definitions (`sums`), into a temporary store, so that
memory stays small whatever the size. Then the two are compared row by row, as far as the remaining records allow:
retention deletes records and keeps sums.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from math import isclose
from typing import TYPE_CHECKING, Any, Final

from kmstwist.audit.asking.facts import noted
from kmstwist.audit.asking.plain_sqlite import PlainConnection
from kmstwist.audit.asking.prepared import each as each_row
from kmstwist.audit.asking.prepared import rows, sqlite_of, value
from kmstwist.audit.asking.transactions import reading
from kmstwist.audit.plain.defaults import HOUR_MS
from kmstwist.audit.plain.faults import StoreError
from kmstwist.audit.plain.revision import fault_of, revision_in
from kmstwist.audit.plain.start_check import new_tables
from kmstwist.audit.records import Record, first_id_at
from kmstwist.audit.rows import from_values
from kmstwist.audit.sums.all import SUMS
from kmstwist.audit.sums.stored import merge
from kmstwist.audit.sums.table import Row, SummaryTable
from kmstwist.audit.upkeep.forget import forgotten_calls
from kmstwist.audit.upkeep.retention import deleted_until
from kmstwist.audit.upkeep.values import wrong_values
from kmstwist.shown import counted

if TYPE_CHECKING:
    from kmstwist.audit.asking.questions import Reader
    from kmstwist.audit.asking.transactions import Store

# Records added up at a time.
BATCH = 10_000
#: The most faults that are worth listing: a completely wrong store would fill the screen.
TOLD = 20

# A fact about the store, written by a migration: later records (milliseconds since 1970) are in the sums row by row.
EXACT_AFTER = "sums exact after"


def verify(store: Store) -> list[str]:
    """The faults of a store, one sentence for each; an empty list for a sound store.

    It looks for no more once it has found more than `TOLD` in the pages, or in the sums.

    Blocks; writes nothing to the store, only a temporary file.
    """
    with reading(store) as reader:
        if fault := _revision_fault(reader):
            return [fault]
        faults = _page_faults(reader)
        # What is no number cannot be added up.
        values = _value_faults(reader)
        return [*faults, *(values or islice(_sum_faults(reader), TOLD + 1))]


def _revision_fault(reader: Reader) -> str | None:
    if isinstance(reader, PlainConnection):
        return fault_of(revision_in(reader.connection), embedded=True)
    from kmstwist.audit.migrate import revision_fault

    return revision_fault(reader)


def _page_faults(reader: Reader) -> list[str]:
    driver = sqlite_of(reader)
    if driver is None:
        return []
    found = [str(row[0]) for row in driver.execute(f"PRAGMA integrity_check({TOLD + 1})")]
    return [] if found == ["ok"] else [f"SQLite: {fault}" for fault in found]


def _value_faults(reader: Reader) -> list[str]:
    driver = sqlite_of(reader)
    found = [] if driver is None else list(wrong_values(driver))
    try:
        _noted(reader)
    except StoreError as error:
        found.append(f"facts: {error.problem.what}")
    return found


def _noted(reader: Reader) -> tuple[int, int, Counter[int]]:
    """Up to when the sums are not exact, and records were deleted; and how many calls of each hour were forgotten."""
    return noted(reader, EXACT_AFTER, int, -1), deleted_until(reader), forgotten_calls(reader)


@dataclass(frozen=True, slots=True)
class _Known:
    """From when on (milliseconds since 1970) the kept records tell the sums: hours' totals, and single rows.

    Retention has deleted none later than `deleted_until`. `forgotten` has the hours of which calls were forgotten,
    `told` those whose total is known to be wrong.
    """

    totals_after: int
    rows_after: int
    deleted_until: int
    forgotten: Counter[int]
    told: frozenset[int] = frozenset()


def _sum_faults(reader: Reader) -> Iterator[str]:
    oldest = value(reader, "least time of a record")
    if oldest is None:
        return
    exact_after, deleted, forgotten = _noted(reader)
    known = _Known(max(oldest, deleted), max(oldest, deleted, exact_after), deleted, forgotten)
    # SQLite's own temporary file, which is gone with the connection.
    with closing(sqlite3.connect("", isolation_level=None)) as temporary:
        _compute_anew(reader, temporary, exact_after)
        anew = PlainConnection(temporary)
        for each in SUMS:
            told = _wrong_hours(each, reader, anew, known) if each.hourly else {}
            yield from told.values()
            yield from _wrong_rows(each, reader, anew, replace(known, told=known.told | told.keys()))


def _compute_anew(reader: Reader, temporary: sqlite3.Connection, exact_after: int) -> None:
    """Add all records up in an empty store; to the machines only those that they surely have."""
    temporary.execute("BEGIN")
    for statement in new_tables():
        temporary.execute(statement)
    anew = PlainConnection(temporary)
    for batch in _batches(reader):
        newer = [record for record in batch if record.at > exact_after]
        for each in SUMS:
            merge(each, anew, batch if each.hourly else newer)
    temporary.execute("COMMIT")


def _batches(reader: Reader) -> Iterator[Sequence[Record]]:
    seq = 0
    while found := rows(reader, "records after", {"after": seq, "number": BATCH}):
        seq = found[-1][0]
        yield [from_values(row[1:]) for row in found]


def _wrong_hours(each: SummaryTable, stored: Reader, anew: Reader, known: _Known) -> dict[int, str]:
    """Compare the calls of each hour, from the first complete hour on. Returns the faults by hour."""
    first = known.totals_after // HOUR_MS + 1
    there, right = _calls(stored, each, first), _calls(anew, each, first)
    if not each.names_machines:
        # What was forgotten of an hour about nobody is still in its sum.
        right.update({hour: calls for hour, calls in known.forgotten.items() if hour >= first})
    record, call = each.counted

    def told(hour: int) -> str:
        records, calls = counted(right[hour], record), counted(there[hour], call)
        return f"the hour from {_hour(hour)} has {records} and a sum of {calls}"

    return {hour: told(hour) for hour in sorted(there.keys() | right.keys()) if there[hour] != right[hour]}


def _calls(reader: Reader, each: SummaryTable, first: int) -> Counter[int]:
    return Counter({hour: int(calls) for hour, calls in rows(reader, f"{each.name}: calls by hour", {"first": first})})


def _wrong_rows(each: SummaryTable, stored: Reader, anew: Reader, known: _Known) -> Iterator[str]:
    """Compare, one by one, the rows that the remaining records determine."""
    for row, right in _pairs(each, stored, anew):
        if row is not None:
            if wrong := _wrong_in(each, row, right, stored, known):
                yield f"{each.name}: the row of {_shown(each, row)} {wrong}"
        elif right is not None and _tells(each, right, known):
            calls = counted(right["calls"], "call")
            yield f"{each.name}: there is no row of {_shown(each, right)}, and its records have {calls}"


def _pairs(each: SummaryTable, stored: Reader, anew: Reader) -> Iterator[tuple[Row | None, Row | None]]:
    """The rows of both stores in the order of their keys, those with the same key together."""
    there, right = _in_order(each, stored), _in_order(each, anew)
    row, other = next(there, None), next(right, None)
    while row is not None or other is not None:
        if row is not None and other is not None and each.key_of(row) == each.key_of(other):
            yield row, other
            row, other = next(there, None), next(right, None)
        elif other is None or (row is not None and _sorts(each, row) < _sorts(each, other)):
            yield row, None
            row = next(there, None)
        else:
            yield None, other
            other = next(right, None)


def _in_order(each: SummaryTable, reader: Reader) -> Iterator[Row]:
    """All rows of the table, in the order of their keys: byte by byte, as SQLite has it."""
    return (dict(zip(each.columns, row, strict=True)) for row in each_row(reader, f"{each.name}: all"))


def _sorts(each: SummaryTable, row: Row) -> list[tuple[int, Any]]:
    """Where a row stands among the others. In a damaged file of SQLite's a column has values of any type."""
    return [(_RANKS[type(value)], value if value is not None else 0) for value in each.key_of(row)]


# SQLite's order of values of several types (https://www.sqlite.org/datatype3.html, 4.1).
_RANKS: Final[dict[type, int]] = {type(None): 0, int: 1, float: 1, str: 2, bytes: 3}


def _tells(each: SummaryTable, row: Row, known: _Known) -> bool:
    """Whether all records of a row are kept and were counted in it."""
    if each.hourly:
        hour = row["hour"]
        return hour > known.rows_after // HOUR_MS and hour not in known.told and not known.forgotten[hour]
    assert each.first is not None
    return bool(row[each.first] > known.rows_after)


def _wrong_in(each: SummaryTable, row: Row, right: Row | None, stored: Reader, known: _Known) -> str:
    """What is wrong with a row, "" if nothing is, as far as can be told."""
    whole = _tells(each, row, known)
    if right is None:
        return "has no record" if whole else ""
    names = [*each.added, *each.times, each.first, each.last] if whole else []
    for name in names:
        if name is not None and not _equal(row[name], right[name]):
            return f"has {name} {row[name]}, and its records {right[name]}"
    if not each.hourly and row["calls"] < right["calls"]:
        return f"has calls {row['calls']}, and its records {right['calls']}"
    if each.last is not None and (whole or (not each.hourly and row[each.last] > known.deleted_until)):
        return _wrong_at_last(each, row, right, stored)
    return ""


def _wrong_at_last(each: SummaryTable, row: Row, right: Row, stored: Reader) -> str:
    assert each.last is not None
    said = (each.last, *each.said_last)
    if all(row[name] == right[name] for name in said):
        return ""
    # Of several records of one moment, any may have been counted last.
    key = each.key_of(row)
    moment = {"first_id": first_id_at(row[each.last]), "next_id": first_id_at(row[each.last] + 1)}
    for found in rows(stored, "records from one id to another", moment):
        other = each.row(from_values(found))
        if other is not None and each.key_of(other) == key and all(other[name] == row[name] for name in said):
            return ""
    name = next(each for each in said if row[each] != right[each])
    return f"has {name} {row[name]}, and its last record {right[name]}"


def _equal(one: object, other: object) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        # Added up in another order, a sum of fractions differs in its last digits.
        return isclose(one, other, rel_tol=1e-6, abs_tol=1e-6)
    return bool(one == other)


def _shown(each: SummaryTable, row: Row) -> str:
    parts = (_hour(row[name]) if name == "hour" else str(row[name]) for name in each.key)
    return ", ".join(part or "-" for part in parts)


def _hour(hour: int) -> str:
    try:
        return f"{datetime.fromtimestamp(hour * HOUR_MS / 1000, UTC):%Y-%m-%d %H:%M} UTC"
    except (ValueError, OverflowError):
        # Beyond the year 9999, as no clock has it.
        return f"hour {hour} since 1970"
