"""Which of the stored records belong together in the summary tables: those of a machine, and those of an hour.

A machine is known by its own name if a request's body can be read (V4, the lab, an imported event), and by its address
if not (a genuine V5 or V6 message stays opaque).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Table, bindparam, func
from sqlalchemy.sql.elements import ColumnElement

from kmstwist.audit import schema
from kmstwist.audit.records import Record


def same_machine(record: Record) -> tuple[ColumnElement[bool], dict[str, Any]]:
    """The stored records of the machine that `record` is of: a condition, and the values of its parameters."""
    if record.machine:
        name = record.machine.lower()
        return _OF_THE_NAME if name.isascii() else _OF_ANY_NAME, {"its_name": name}
    return _OF_THE_ADDRESS, {"its_address": record.client}


def named(table: Table, names: Collection[str]) -> ColumnElement[bool]:
    """The rows of a table with the columns of a machine's name that have one of these names, in lower case."""
    # Because of the first half, SQLite reads only the index of names, and not all records.
    return table.c.machine.is_not(None) & func.lower(table.c.machine).in_(names)


_RECORDS = schema.records.c
IN_THE_HOUR = _RECORDS.at.between(bindparam("its_hour"), bindparam("hour_end"))


def the_hour_of(record: Record) -> dict[str, Any]:
    """The parameters of `IN_THE_HOUR`: the hour that `record` is in."""
    begin = record.at // schema.HOUR_MS * schema.HOUR_MS
    return {"its_hour": begin, "hour_end": begin + schema.HOUR_MS - 1}


_NAMED = _RECORDS.machine.is_not(None)
# By the index of names, which folds only A to Z, or by reading all of it.
_OF_THE_NAME = _NAMED & (schema.caseless(_RECORDS.machine) == bindparam("its_name"))
_OF_ANY_NAME = _NAMED & (func.lower(_RECORDS.machine) == bindparam("its_name"))
_OF_THE_ADDRESS = (_RECORDS.client == bindparam("its_address")) & _RECORDS.machine.is_(None)
