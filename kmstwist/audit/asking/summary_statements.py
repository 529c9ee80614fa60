"""The prepared statements on the summary tables, made from their definitions (`sums.table`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Executable, String, Table, and_, bindparam, case, collate, delete, func, or_, select
from sqlalchemy.sql.elements import ColumnElement

from kmstwist.audit import schema
from kmstwist.audit.asking.expressions import insert_for
from kmstwist.audit.asking.record_statements import Made, named, several
from kmstwist.audit.sums.all import SUMS
from kmstwist.audit.sums.hourly_failures import HOURLY_FAILURES
from kmstwist.audit.sums.table import SummaryTable


def table_of(each: SummaryTable) -> Table:
    """The table of a definition, which has its columns in the same order, and the same key."""
    table = schema.metadata.tables[each.name]
    assert (tuple(table.c.keys()), tuple(table.primary_key.columns.keys())) == (each.columns, each.key), each.name
    return table


# -- adding


def _upsert(each: SummaryTable, dialect: str) -> Executable:
    """Adds rows to the table.

    SQLite's leaves the rows in which a column of `seldom` changes: see `_rest`.
    """
    insert = insert_for(dialect, table_of(each))
    changes, where = _changes(each, insert), None
    if dialect == "sqlite" and each.seldom:
        changes = {name: value for name, value in changes.items() if name not in each.seldom}
        where = and_(*(table_of(each).c[name].is_not_distinct_from(insert.excluded[name]) for name in each.seldom))
    upsert: Executable = insert.on_conflict_do_update(index_elements=list(each.key), set_=changes, where=where)
    return upsert


def _rest(each: SummaryTable, dialect: str) -> Executable:
    """What takes the others after it, and leaves what it took."""
    insert = insert_for(dialect, table_of(each))
    where = or_(*(table_of(each).c[name].is_distinct_from(insert.excluded[name]) for name in each.seldom))
    upsert: Executable = insert.on_conflict_do_update(
        index_elements=list(each.key), set_=_changes(each, insert), where=where
    )
    return upsert


def _changes(each: SummaryTable, insert: Any) -> dict[str, Any]:
    """`SummaryTable.together` in SQL."""
    new, old = insert.excluded, table_of(each).c
    changes: dict[str, Any] = {name: old[name] + new[name] for name in each.added}
    if each.first is not None:
        changes[each.first] = case((new[each.first] < old[each.first], new[each.first]), else_=old[each.first])
    for name in each.times:
        changes[name] = case((old[name].is_(None), new[name]), (new[name] > old[name], new[name]), else_=old[name])
    if each.last is not None:
        for name in (each.last, *each.said_last):
            changes[name] = case((new[each.last] >= old[each.last], new[name]), else_=old[name])
    return changes


# -- reading and changing a row


def _this(each: SummaryTable) -> ColumnElement[bool]:
    return and_(*(table_of(each).c[name] == bindparam(f"key_{name}") for name in each.key))


def _changed(each: SummaryTable) -> Executable:
    values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in each.columns if name not in each.key}
    return table_of(each).update().where(_this(each)).values(values)


def _in_order(each: SummaryTable, dialect: str) -> Executable:
    """All rows, in the order of their keys: byte by byte, as SQLite has it."""
    columns: list[ColumnElement[Any]] = [table_of(each).c[name] for name in each.key]
    if dialect != "sqlite":
        columns = [collate(column, "C") if isinstance(column.type, String) else column for column in columns]
    return select(table_of(each)).order_by(*columns)


def _calls_by_hour(each: SummaryTable) -> Executable:
    table = table_of(each).c
    return select(table.hour, func.sum(table.calls)).where(table.hour >= bindparam("first")).group_by(table.hour)


# -- growing old, and forgetting


def _time(each: SummaryTable) -> ColumnElement[int]:
    """The last time that a row is about: an hour, or milliseconds since 1970."""
    if each.hourly:
        return table_of(each).c.hour
    assert each.last is not None
    return table_of(each).c[each.last]


def _before(each: SummaryTable) -> ColumnElement[bool]:
    return _time(each) < bindparam("before")


def _last_of_the_oldest(each: SummaryTable) -> Executable:
    """The time with which the oldest `number` of the rows before a time end; NULL where there are none."""
    time = _time(each).label("time")
    some = select(time).where(_before(each)).order_by(time).limit(bindparam("number")).subquery()
    return select(func.max(some.c.time))


def _until(each: SummaryTable) -> Executable:
    return delete(table_of(each)).where(_before(each), _time(each) <= bindparam("until"))


def _about(each: SummaryTable) -> ColumnElement[bool]:
    """The rows about machines with these names, or at these addresses without a name."""
    table = table_of(each)
    if each is not HOURLY_FAILURES:
        return table.c.machine.in_(several("its_names"))
    return named(table, "its_names") | (table.c.client.in_(several("its_names")) & (table.c.machine == ""))


def _of(each: SummaryTable) -> Mapping[str, Made]:
    found: dict[str, Made] = {
        "add": lambda dialect: _upsert(each, dialect),
        "row": lambda _: select(table_of(each)).where(_this(each)),
        "remove row": lambda _: delete(table_of(each)).where(_this(each)),
        "change row": lambda _: _changed(each),
        "all": lambda dialect: _in_order(each, dialect),
        "delete before": lambda _: delete(table_of(each)).where(_before(each)),
        "last of the oldest": lambda _: _last_of_the_oldest(each),
        "delete until": lambda _: _until(each),
    }
    if each.seldom:
        found["add the rest"] = lambda dialect: _rest(each, dialect)
    if each.hourly:
        found["calls by hour"] = lambda _: _calls_by_hour(each)
    if each.names_machines:
        found["forget"] = lambda _: delete(table_of(each)).where(_about(each))
    return {f"{each.name}: {name}": made for name, made in found.items()}


SUMMARY_STATEMENTS: Final[Mapping[str, Made]] = {name: made for each in SUMS for name, made in _of(each).items()}
