"""Writes `sqlite.sql`, the text of all questions and conditions: python -m kmstwist.audit.asking.generate"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from sqlalchemy import ClauseElement
from sqlalchemy.dialects import sqlite

from kmstwist.audit.asking.conditions import CONDITIONS, written
from kmstwist.audit.asking.expressions import Parameters
from kmstwist.audit.asking.sqlite_reader import NAME, TEXTS, condition_name
from kmstwist.audit.asking.statements import STATEMENTS

_HEAD = "-- `statements` and `conditions` in SQLite's SQL. Written by `python -m kmstwist.audit.asking.generate`.\n"


def texts() -> str:
    """The file's contents."""
    return _HEAD + "".join(f"\n{NAME}{name}\n{text};\n" for name, text in _named())


def _named() -> Iterator[tuple[str, str]]:
    for question, made in STATEMENTS.items():
        yield question, _text(made(Parameters()))
    for table, conditions in CONDITIONS.items():
        for name in conditions:
            yield condition_name(table, name), _text(written(table, name))


def _text(element: ClauseElement) -> str:
    compiled = element.compile(dialect=sqlite.dialect(paramstyle="named"))
    constants = {name: value for name, value in compiled.params.items() if value is not None}
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
