"""Asking an SQLite store with Python's own SQLite module, by the statements' text in `sqlite.sql`."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final

from kmstwist.audit.aside.pragmas import ANY, LOGGED, WRITING
from kmstwist.system.sqlitefiles import uri_for_reading

#: The statements as they ship.
TEXTS: Final = Path(__file__).with_name("sqlite.sql")
#: Before each text stands what it is called.
NAME: Final = "-- "
#: Where a text takes conditions, a list of values, and pairs of a value and what stands for it.
WHERE: Final = "{where}"
#: The value that is no parameter of a text: how many rows are wanted, at most.
LIMIT: Final = "limit"
_TAKES_LIST = "__[POSTCOMPILE_"
_PARAMETER = re.compile(r"__\[POSTCOMPILE_(?P<list>\w+)\]|WHEN :(?P<pairs>\w+)_when THEN :\w+_then|:(?P<one>\w+)")


class PlainConnection:
    """A connection of Python's own module, in a transaction: one consistent view of the store."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def ask(self, question: str, where: Sequence[tuple[str, str]], values: Mapping[str, Any]) -> sqlite3.Cursor:
        """The answer to a question, under these conditions (each the table it is on, and its name).

        Raises `sqlite3.Error`.
        """
        texts = all_texts()
        text = texts[question]
        conditions = " AND ".join(texts[condition_name(*each)] for each in where)
        if conditions:
            text = text.replace(WHERE, conditions)
        else:
            # As nobody would have written it: alone, or after others.
            text = text.replace(f"\nWHERE {WHERE}", "").replace(f" AND {WHERE}", "")
        return self._execute(text, values)

    def run(self, statement: str, values: Mapping[str, Any]) -> sqlite3.Cursor:
        """Run a prepared statement, with the values of its parameters. Raises `sqlite3.Error`."""
        text = all_texts()[statement]
        return self._execute(text, values) if _TAKES_LIST in text else self.connection.execute(text, values)

    def run_for_each(self, statement: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Run a prepared statement that takes no list for each of the rows. Raises `sqlite3.Error`."""
        self.connection.executemany(all_texts()[statement], rows)

    def _execute(self, text: str, given: Mapping[str, Any]) -> sqlite3.Cursor:
        """Execute it with its values by their places: SQLite looks a name up in all those before it."""
        if given.get(LIMIT) is not None:
            text += f" LIMIT :{LIMIT}"
        values: list[Any] = []
        return self.connection.execute(_PARAMETER.sub(lambda found: _placed(found, given, values), text), values)


def condition_name(table: str, name: str) -> str:
    """What a condition's text is called."""
    return f"{table}: {name}"


def lower(text: Any) -> Any:
    """What `lower` does in a store: SQLite's own knows only A to Z; PostgreSQL and Windows also fold an Ä."""
    return text.lower() if isinstance(text, str) else text


def connect(path: Path, patience: float) -> sqlite3.Connection:
    """Connect to the store at `path` for reading only, even in a folder that cannot be written to.

    `patience` is how many seconds another process's lock is waited for. Raises `sqlite3.Error`.
    """
    return _prepared(
        sqlite3.connect(uri_for_reading(path.absolute()), uri=True, timeout=patience, isolation_level=None), ANY
    )


def connect_to_write(path: Path, patience: float) -> sqlite3.Connection:
    """Connect to the store at `path` for writing, outside any transaction; otherwise as `connect`."""
    return _prepared(sqlite3.connect(path, timeout=patience, isolation_level=None), (LOGGED, *WRITING, *ANY))


def _prepared(connection: sqlite3.Connection, pragmas: Iterable[str]) -> sqlite3.Connection:
    try:
        for each in pragmas:
            connection.execute(each)
        connection.create_function("lower", 1, lower, deterministic=True)
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def reading(path: Path, patience: float) -> Iterator[PlainConnection]:
    """Read the store at `path`, as `connect`."""
    with closing(connect(path, patience)) as connection:
        connection.execute("BEGIN")
        yield PlainConnection(connection)
        connection.execute("ROLLBACK")


@cache
def all_texts() -> Mapping[str, str]:
    """The text of every statement and condition, by its name."""
    found = {}
    for each in TEXTS.read_text(encoding="utf-8").split(f"\n\n{NAME}")[1:]:
        name, _, text = each.partition("\n")
        found[name] = text.strip().removesuffix(";")
    return found


def _placed(found: re.Match[str], given: Mapping[str, Any], values: list[Any]) -> str:
    """What stands in a text for a parameter, a list or pairs; their values are added to `values`."""
    if (name := found["list"]) is not None:
        several: list[Any] = given[name]
        values += several
        return ", ".join("?" * len(several))
    if (name := found["pairs"]) is not None:
        pairs: Mapping[str, Any] = given[name]
        for each in pairs.items():
            values += each
        # SQL has no CASE without a WHEN: this one matches no value.
        return " ".join(["WHEN ? THEN ?"] * len(pairs)) or "WHEN NULL THEN NULL"
    values.append(given[found["one"]])
    return "?"
