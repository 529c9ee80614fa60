"""Reading an SQLite store with Python's own SQLite module, by the statements' text in `sqlite.sql`."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final

from kmstwist.audit.aside.pragmas import ANY
from kmstwist.system.sqlitefiles import uri_for_reading

#: The statements as they ship.
TEXTS: Final = Path(__file__).with_name("sqlite.sql")
#: Before each text stands what it is called.
NAME: Final = "-- "
#: Where a text takes conditions, a list of values, and pairs of a value and what stands for it.
WHERE: Final = "{where}"
#: The value that is no parameter of a text: how many rows are wanted, at most.
LIMIT: Final = "limit"
_LIST = re.compile(r"__\[POSTCOMPILE_(\w+)\]")
_PAIRS = re.compile(r"WHEN :(\w+)_when THEN :\w+_then")


class PlainReader:
    """A connection in a read transaction: one consistent view of the store."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def ask(self, question: str, where: Sequence[tuple[str, str]], values: Mapping[str, Any]) -> sqlite3.Cursor:
        """The answer to a question, under these conditions (each the table it is on, and its name).

        Raises `sqlite3.Error`.
        """
        texts = _texts()
        text, given = texts[question], dict(values)
        conditions = " AND ".join(texts[condition_name(*each)] for each in where)
        if conditions:
            text = text.replace(WHERE, conditions)
        else:
            # As nobody would have written it: alone, or after others.
            text = text.replace(f"\nWHERE {WHERE}", "").replace(f" AND {WHERE}", "")
        text = _LIST.sub(lambda found: _list(found[1], given), text)
        text = _PAIRS.sub(lambda found: _pairs(found[1], given), text)
        if given.get(LIMIT) is not None:
            text += f" LIMIT :{LIMIT}"
        return self.connection.execute(text, {name: each for name, each in given.items() if not _many(each)})


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
    uri = uri_for_reading(path.absolute())
    connection = sqlite3.connect(uri, uri=True, timeout=patience, isolation_level=None)
    for each in ANY:
        connection.execute(each)
    connection.create_function("lower", 1, lower, deterministic=True)
    return connection


@contextmanager
def reading(path: Path, patience: float) -> Iterator[PlainReader]:
    """Read the store at `path`, as `connect`."""
    with closing(connect(path, patience)) as connection:
        connection.execute("BEGIN")
        yield PlainReader(connection)
        connection.execute("ROLLBACK")


@cache
def _texts() -> dict[str, str]:
    found = {}
    for each in TEXTS.read_text(encoding="utf-8").split(f"\n{NAME}")[1:]:
        name, _, text = each.partition("\n")
        found[name] = text.strip().removesuffix(";")
    return found


def _many(value: object) -> bool:
    return isinstance(value, list | dict)


def _list(name: str, given: dict[str, Any]) -> str:
    return _named(name, given[name], given)


def _pairs(name: str, given: dict[str, Any]) -> str:
    pairs: dict[str, Any] = given[name]
    # SQL has no CASE without a WHEN: this one matches no value.
    if not pairs:
        return "WHEN NULL THEN NULL"
    _named(f"{name}_when", pairs.keys(), given)
    _named(f"{name}_then", pairs.values(), given)
    return " ".join(f"WHEN :{name}_when_{at} THEN :{name}_then_{at}" for at in range(len(pairs)))


def _named(name: str, values: Iterable[Any], given: dict[str, Any]) -> str:
    """Give each of the values a name; all the names, as a list in SQL."""
    each = {f"{name}_{at}": one for at, one in enumerate(values)}
    given |= each
    return ", ".join(f":{one}" for one in each)
