"""The prepared statements on records, imported events and facts, for adding to them and for their upkeep.

A parameter made by `several` is a list.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Executable,
    FromClause,
    Select,
    bindparam,
    cast,
    delete,
    func,
    or_,
    select,
)

from kmstwist.audit import schema
from kmstwist.audit.asking.expressions import insert_for
from kmstwist.audit.asking.found import from_address, of_machine
from kmstwist.audit.asking.limits import A_NAME, AN_ADDRESS, ANY_NAME, IN_THE_HOUR, MOST, standing_records
from kmstwist.audit.rows import COLUMNS

#: Makes a statement in a database's dialect.
Made = Callable[[str], Executable]

_R, _E, _M = schema.records.c, schema.events.c, schema.machines.c
#: The values of a record, as `rows.from_values` takes them.
RECORD: Final = tuple(_R[name] for name in COLUMNS)
_WITH_SEQ: Final = (_R.seq, *RECORD)


def several(name: str) -> Any:
    """A parameter that is a list."""
    return bindparam(name, expanding=True)


def named(table: FromClause, names: str) -> ColumnElement[bool]:
    """The rows of a table with the columns of a machine's name that have one of these names, in lower case."""
    # Because of the first half, SQLite reads only the index of names, and not all rows.
    return table.c.machine.is_not(None) & func.lower(table.c.machine).in_(several(names))


_OF_A_NAME: Final = of_machine(bindparam("its_name"), most=MOST + 1)
_OF_AN_ADDRESS: Final = from_address(bindparam("its_address"), most=MOST + 1)
#: Which records may belong to one row of a summary table, as its `standing` names them.
_STANDING: Final[Mapping[str, ColumnElement[bool]]] = {
    A_NAME: _OF_A_NAME.plain,
    ANY_NAME: _R.machine.is_not(None) & (func.lower(_R.machine) == bindparam("its_name")),
    AN_ADDRESS: _OF_AN_ADDRESS.plain,
}


def _standing_records() -> dict[str, Made]:
    def made(name: str, when: str, *, newest_first: bool) -> Made:
        def statement(dialect: str) -> Executable:
            order, its = (_R.at, _R.seq), [_STANDING[name]]
            if dialect == "sqlite" and name != ANY_NAME:
                # They are many: they are met soon where all are read in order, by the index of ids.
                order = (_R.record_id, _R.seq)
            if when:
                ids = (_R.record_id >= bindparam("hour_id"), _R.record_id < bindparam("next_hour_id"))
                its += ids if dialect == "sqlite" else [_R.at.between(bindparam("its_hour"), bindparam("hour_end"))]
            return select(*RECORD).where(*its).order_by(*(each.desc() if newest_first else each for each in order))

        return statement

    return {
        standing_records(name + when, newest_first=newest_first): made(name, when, newest_first=newest_first)
        for name in _STANDING
        for when in ("", IN_THE_HOUR)
        for newest_first in (True, False)
    }


def _some(column: ColumnElement[int]) -> Select[Any]:
    """How many rows a table has, or `most`: where there are many, they are not all counted."""
    return select(func.count()).select_from(select(column).limit(bindparam("most")).subquery())


def _oldest_records(column: ColumnElement[int]) -> Select[Any]:
    """A column of up to `number` of the oldest records, of those before an id and up to a `seq`."""
    return (
        select(column)
        .where(_R.record_id < bindparam("before_id"), _R.seq <= bindparam("to_seq"))
        .order_by(_R.record_id)
        .limit(bindparam("number"))
    )


def _oldest_events(_: str) -> Executable:
    victims = select(_E.seq).order_by(_E.at, _E.seq).limit(bindparam("number"))
    return delete(schema.events).where(_E.seq.in_(victims))


def _changed_record(_: str) -> Executable:
    values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in COLUMNS if name != "record_id"}
    return schema.records.update().where(_R.record_id == bindparam("its_id")).values(values)


def _put_fact(dialect: str) -> Executable:
    insert = insert_for(dialect, schema.facts)
    upsert: Executable = insert.on_conflict_do_update(index_elements=["name"], set_={"value": insert.excluded.value})
    return upsert


RECORD_STATEMENTS: Final[Mapping[str, Made]] = {
    "put a fact": _put_fact,
    # -- adding
    "add records": lambda dialect: insert_for(dialect, schema.records),
    "add records that are missing": lambda dialect: insert_for(dialect, schema.records).on_conflict_do_nothing(
        index_elements=["record_id"]
    ),
    "ids of records": lambda _: select(_R.record_id).where(_R.record_id.in_(several("record_ids"))),
    "id of a record": lambda _: select(_R.record_id).where(_R.record_id == bindparam("its_id")),
    "ids of records between": lambda _: (
        select(_R.record_id)
        .where(_R.record_id.between(bindparam("first_id"), bindparam("last_id")))
        .limit(bindparam("most"))
    ),
    # -- reading and changing
    "records after": lambda _: (
        select(*_WITH_SEQ).where(_R.seq > bindparam("after")).order_by(_R.seq).limit(bindparam("number"))
    ),
    "records from one id to another": lambda _: select(*RECORD).where(
        _R.record_id >= bindparam("first_id"), _R.record_id < bindparam("next_id")
    ),
    "a record": lambda _: select(*RECORD).where(_R.record_id == bindparam("its_id")),
    "change a record": _changed_record,
    "delete a record": lambda _: delete(schema.records).where(_R.record_id == bindparam("its_id")),
    f"places of records {A_NAME}": lambda _: select(_R.seq).where(_OF_A_NAME),
    f"places of records {AN_ADDRESS}": lambda _: select(_R.seq).where(_OF_AN_ADDRESS),
    "records at places": lambda _: select(*_WITH_SEQ).where(_R.seq.in_(several("seqs"))),
    **_standing_records(),
    # -- retention
    "time of the oldest record": lambda _: select(_R.at).order_by(_R.record_id).limit(1),
    "least time of a record": lambda _: select(func.min(_R.at)),
    "time of the oldest event": lambda _: select(func.min(_E.at)),
    "number of records": lambda _: _some(_R.seq),
    "number of events": lambda _: _some(_E.seq),
    "targets": lambda _: select(schema.forwarding.c.target).order_by(schema.forwarding.c.target),
    "forwarded": lambda _: select(func.min(schema.forwarding.c.seq)),
    # As a number, even where a damaged file of SQLite's has something else.
    "latest time of the oldest records": lambda _: select(
        func.max(cast(_oldest_records(_R.at).subquery().c.at, BigInteger))
    ),
    "delete the oldest records": lambda _: delete(schema.records).where(_R.seq.in_(_oldest_records(_R.seq))),
    "delete the oldest events": _oldest_events,
    "delete events before": lambda _: delete(schema.events).where(_E.at < bindparam("before")),
    # -- forgetting
    "machines of CMIDs": lambda _: select(schema.machine_cmids.c.machine).where(
        schema.machine_cmids.c.cmid.in_(several("its_names"))
    ),
    "places of records with names": lambda _: select(_R.seq).where(named(schema.records, "its_names")),
    "places of records without a name from addresses": lambda _: select(_R.seq).where(
        from_address(several("its_names"))
    ),
    "delete records": lambda _: delete(schema.records).where(_R.seq.in_(several("seqs"))),
    "delete events with names or CMIDs": lambda _: delete(schema.events).where(
        or_(named(schema.events, "its_names"), _E.cmid.in_(several("cmid_names")))
    ),
    "machines known by addresses": lambda _: (
        select(_M.machine).where(_M.machine.in_(several("its_names"))).order_by(_M.machine).limit(bindparam("number"))
    ),
    "machines at addresses": lambda _: (
        select(_M.machine)
        .where(_M.address.in_(several("its_names")))
        .distinct()
        .order_by(_M.machine)
        .limit(bindparam("number"))
    ),
}
