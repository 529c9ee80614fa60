"""Values in an SQLite store that no version of kmstwist writes: of another type than their column's, or unknown.

SQLite keeps any value in any column, whatever the column's type.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import groupby
from operator import itemgetter
from typing import Final

from kmstwist.audit.plain.start_check import new_tables
from kmstwist.reasons import Reason
from kmstwist.shown import counted

_COLUMNS: Final = (
    "SELECT t.name, c.name, c.type FROM sqlite_master t, pragma_table_info(t.name) c WHERE t.type = 'table'"
    " AND t.name NOT LIKE 'sqlite_%'"
)
#: What SQLite calls the values that a column of a type may have, and what we do.
_NUMBERS: Final = dict.fromkeys(("BIGINT", "INTEGER", "SMALLINT"), (("integer",), "a number"))
_ALLOWED: Final = _NUMBERS | {"FLOAT": (("real", "integer"), "a number"), "BLOB": (("blob",), "an id")}
_TEXT: Final = (("text",), "a text")


def wrong_values(connection: sqlite3.Connection) -> Iterator[str]:
    """A sentence for each column that has such values. Raises `sqlite3.Error`."""
    with closing(sqlite3.connect(":memory:")) as new:
        for statement in new_tables():
            new.execute(statement)
        columns = new.execute(_COLUMNS).fetchall()
    for table, its in groupby(columns, itemgetter(0)):
        # The texts of the sums are compared with those of the records.
        allowed = {
            name: _TEXT if table == "records" and kind == "VARCHAR" else _ALLOWED.get(kind) for _, name, kind in its
        }
        checked = {name: each for name, each in allowed.items() if each is not None}
        asked = ", ".join(_number_of_others(name, types) for name, (types, _) in checked.items())
        if asked:
            numbers = connection.execute(f"SELECT {asked} FROM {table}").fetchone()  # noqa: S608 - our names
            for (name, (_, word)), number in zip(checked.items(), numbers, strict=True):
                if number:
                    yield f"{table}: {counted(number, 'row')} without {word} in {name}"
    reasons = [str(each.value) for each in Reason]
    unknown = f"SELECT count(*) FROM records WHERE reason NOT IN ({', '.join('?' * len(reasons))})"  # noqa: S608
    ((number,),) = connection.execute(unknown, reasons).fetchall()
    if number:
        yield f"records: {counted(number, 'row')} with an unknown reason"


def _number_of_others(name: str, types: tuple[str, ...]) -> str:
    these = ", ".join(f"'{each}'" for each in (*types, "null"))
    return f'count(CASE WHEN typeof("{name}") NOT IN ({these}) THEN 1 END)'
