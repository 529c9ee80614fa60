"""Writes `sqlite.sql`, the text of all statements and conditions: python -m kmstwist.audit.asking.generate"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from sqlalchemy import ClauseElement
from sqlalchemy.dialects import sqlite
from sqlalchemy.sql.dml import Insert

from kmstwist.audit.asking.conditions import CONDITIONS, written
from kmstwist.audit.asking.expressions import Parameters
from kmstwist.audit.asking.plain_sqlite import NAME, TEXTS, condition_name
from kmstwist.audit.asking.prepared_statements import PREPARED
from kmstwist.audit.asking.statements import STATEMENTS

_HEAD = (
    "-- `statements`, `conditions` and `prepared_statements` in SQLite's SQL.\n"
    "-- Written by `python -m kmstwist.audit.asking.generate`.\n"
)


def texts() -> str:
    """The file's contents."""
    found: dict[str, str] = {}
    for name, text in _named():
        assert name not in found, f"two texts are called {name!r}"
        found[name] = text
    return _HEAD + "".join(f"\n{NAME}{name}\n{text};\n" for name, text in found.items())


def _named() -> Iterator[tuple[str, str]]:
    for question, made in STATEMENTS.items():
        yield question, _text(made(Parameters()))
    for table, conditions in CONDITIONS.items():
        for name in conditions:
            yield condition_name(table, name), _text(written(table, name))
    for name, prepared in PREPARED.items():
        statement = prepared("sqlite")
        assert isinstance(statement, ClauseElement)
        yield name, _text(statement)


def _text(element: ClauseElement) -> str:
    # An insert has a parameter for each column but the one that SQLite counts up.
    columns = [each.name for each in element.table.c if each.name != "seq"] if isinstance(element, Insert) else None
    compiled = element.compile(dialect=sqlite.dialect(paramstyle="named"), column_keys=columns)
    # What has no value is a parameter.
    constants = {name: value for name, value in compiled.params.items() if type(value) in (int, str)}
    text = re.sub(r":(\w+)", lambda found: _written(constants, found), str(compiled))
    return "\n".join(line.rstrip() for line in text.splitlines())


def _written(constants: dict[str, Any], found: re.Match[str]) -> str:
    """A constant of the statement in place of its parameter, and any other parameter as it is."""
    if found[1] not in constants:
        return found[0]
    constant = constants[found[1]]
    return str(constant) if isinstance(constant, int) else "'" + str(constant).replace("'", "''") + "'"


def main() -> None:
    """Write it."""
    TEXTS.write_text(texts(), encoding="utf-8")


if __name__ == "__main__":
    main()
