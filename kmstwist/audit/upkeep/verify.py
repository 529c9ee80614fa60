"""Verification: whether a store is whole, and whether its sums agree with its records.

The sums are computed again from the records, by the server's own definitions (`sums`), into a temporary store, so that
memory stays small whatever the size. Then the two are compared row by row, as far as the remaining records allow:
retention deletes records and keeps sums.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from math import isclose
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, String, collate, func, select
from sqlalchemy.sql.elements import ColumnElement

from kmstwist.audit import schema
from kmstwist.audit.asking.questions import read_fact
from kmstwist.audit.engine import open_engine, reading, writing
from kmstwist.audit.migrate import revision_fault
from kmstwist.audit.records import Record, first_id_at
from kmstwist.audit.rows import from_row
from kmstwist.audit.sums.all import SUMS
from kmstwist.audit.sums.table import Row, SummaryTable
from kmstwist.audit.upkeep.forget import forgotten_calls

# Records added up at a time, and rows compared at a time.
BATCH, COMPARED = 10_000, 1000
# The most faults that are listed; a completely wrong store would fill the screen.
TOLD = 20

# A fact about the store, written by a migration: later records (milliseconds since 1970) are in the sums row by row.
EXACT_AFTER = "sums exact after"


def verify(engine: Engine) -> list[str]:
    """The faults of a store, one sentence for each, at most `TOLD` of the sums; an empty list for a sound store.

    Blocks; writes nothing to the store, only a temporary file beside it.
    """
    with reading(engine) as connection:
        if fault := revision_fault(connection):
            return [fault]
        return [*_page_faults(connection), *islice(_sum_faults(connection), TOLD)]


def _page_faults(connection: Connection) -> list[str]:
    if connection.dialect.name != "sqlite":
        return []
    found = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA integrity_check(20)")]
    return [] if found == ["ok"] else [f"SQLite: {fault}" for fault in found]


@dataclass(frozen=True, slots=True)
class _Known:
    """From when on (milliseconds since 1970) the kept records tell the sums: hours' totals, and single rows.

    `forgotten` has the hours of which calls were forgotten, `told` those whose total is known to be wrong.
    """

    totals_after: int
    rows_after: int
    forgotten: Counter[int]
    told: frozenset[int] = frozenset()


def _sum_faults(connection: Connection) -> Iterator[str]:
    oldest = connection.scalar(select(func.min(schema.records.c.at)))
    if oldest is None:
        return
    exact_after = int(read_fact(connection, EXACT_AFTER) or -1)
    known = _Known(oldest, max(oldest, exact_after), forgotten_calls(connection))
    with tempfile.TemporaryDirectory(prefix="kmstwist-verify-") as folder:
        engine = open_engine(str(Path(folder) / "anew.sqlite"))
        try:
            _compute_anew(connection, engine, exact_after)
            with reading(engine) as anew:
                for each in SUMS:
                    told = _wrong_hours(each, connection, anew, known) if each.hourly else {}
                    yield from told.values()
                    yield from _wrong_rows(each, connection, anew, replace(known, told=known.told | told.keys()))
        finally:
            engine.dispose()


def _compute_anew(connection: Connection, engine: Engine, exact_after: int) -> None:
    """Add all records up in the empty store `engine`; to the machines only those that they surely have."""
    with writing(engine) as anew:
        schema.metadata.create_all(anew, tables=[each.table for each in SUMS])
    for batch in _batches(connection):
        newer = [record for record in batch if record.at > exact_after]
        with writing(engine) as anew:
            for each in SUMS:
                each.merge(anew, batch if each.hourly else newer)


def _batches(connection: Connection) -> Iterator[Sequence[Record]]:
    table = schema.records
    seq = 0
    while found := connection.execute(select(table).where(table.c.seq > seq).order_by(table.c.seq).limit(BATCH)).all():
        seq = found[-1].seq
        yield [from_row(row) for row in found]


def _wrong_hours(each: SummaryTable, stored: Connection, anew: Connection, known: _Known) -> dict[int, str]:
    """Compare the calls of each hour, from the first complete hour on. Returns the faults by hour."""
    first = known.totals_after // schema.HOUR_MS + 1
    there, right = _calls(stored, each, first), _calls(anew, each, first)
    if each.about(()) is None:
        # What was forgotten of an hour about nobody is still in its sum.
        right.update({hour: calls for hour, calls in known.forgotten.items() if hour >= first})
    records, calls = each.counted
    return {
        hour: f"the hour from {_hour(hour)} has {right[hour]} {records} and a sum of {there[hour]} {calls}"
        for hour in sorted(there.keys() | right.keys())
        if there[hour] != right[hour]
    }


def _calls(connection: Connection, each: SummaryTable, first: int) -> Counter[int]:
    table = each.table
    statement = select(table.c.hour, func.sum(table.c.calls)).where(table.c.hour >= first).group_by(table.c.hour)
    return Counter({hour: int(calls) for hour, calls in connection.execute(statement)})


def _wrong_rows(each: SummaryTable, stored: Connection, anew: Connection, known: _Known) -> Iterator[str]:
    """Compare, one by one, the rows that the remaining records determine."""
    for row, right in _pairs(each, stored, anew):
        if row is not None:
            if wrong := _wrong_in(each, row, right, stored, known):
                yield f"{each.table.name}: the row of {_shown(each, row)} {wrong}"
        elif right is not None and _tells(each, right, known):
            calls = right["calls"]
            yield f"{each.table.name}: there is no row of {_shown(each, right)}, and {calls} calls are on record"


def _pairs(each: SummaryTable, stored: Connection, anew: Connection) -> Iterator[tuple[Row | None, Row | None]]:
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


def _in_order(each: SummaryTable, connection: Connection) -> Iterator[Row]:
    """All rows of the table, in the order of their keys: byte by byte, as SQLite has it."""
    columns: list[ColumnElement[Any]] = [each.table.c[name] for name in each.key]
    if connection.dialect.name != "sqlite":
        columns = [collate(column, "C") if isinstance(column.type, String) else column for column in columns]
    statement = select(each.table).order_by(*columns).execution_options(yield_per=COMPARED)
    for part in connection.execute(statement).mappings().partitions():
        yield from map(dict, part)


def _sorts(each: SummaryTable, row: Row) -> list[tuple[int, Any]]:
    """Where a row stands among the others. In a damaged file of SQLite's a column has values of any type."""
    return [(_RANKS[type(value)], value if value is not None else 0) for value in each.key_of(row)]


# SQLite's order of values of several types (https://www.sqlite.org/datatype3.html, 4.1).
_RANKS: Final[dict[type, int]] = {type(None): 0, int: 1, float: 1, str: 2, bytes: 3}


def _tells(each: SummaryTable, row: Row, known: _Known) -> bool:
    """Whether all records of a row are kept and were counted in it."""
    if each.hourly:
        hour = row["hour"]
        return hour > known.rows_after // schema.HOUR_MS and hour not in known.told and not known.forgotten[hour]
    assert each.first is not None
    return bool(row[each.first] > known.rows_after)


def _wrong_in(each: SummaryTable, row: Row, right: Row | None, stored: Connection, known: _Known) -> str:
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
    if (whole or not each.hourly) and each.last is not None:
        return _wrong_at_last(each, row, right, stored)
    return ""


def _wrong_at_last(each: SummaryTable, row: Row, right: Row, stored: Connection) -> str:
    assert each.last is not None
    said = (each.last, *each.said_last)
    if all(row[name] == right[name] for name in said):
        return ""
    # Of several records of one moment, any may have been counted last.
    table, key = schema.records, each.key_of(row)
    moment = (table.c.record_id >= first_id_at(row[each.last]), table.c.record_id < first_id_at(row[each.last] + 1))
    for found in stored.execute(select(table).where(*moment)):
        other = each.row(from_row(found))
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
    return f"{datetime.fromtimestamp(hour * schema.HOUR_MS / 1000, UTC):%Y-%m-%d %H:%M} UTC"
