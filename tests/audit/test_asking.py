"""The questions' text for SQLite, and asking by it."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from kmstwist.audit.asking.generate import texts
from kmstwist.audit.asking.limits import Condition, like
from kmstwist.audit.asking.plain_sqlite import TEXTS, PlainConnection, reading
from kmstwist.audit.asking.prepared import each
from kmstwist.audit.asking.questions import ask, column, value
from kmstwist.audit.engine import sqlite_path
from kmstwist.audit.store import insert_batch
from tests.audit.making import START, known


def test_the_text_that_ships_is_what_the_statements_say() -> None:
    assert TEXTS.read_text(encoding="utf-8") == texts(), "run: python -m kmstwist.audit.asking.generate"


def test_a_file_is_only_read(store: Engine) -> None:
    with reading(sqlite_path(store), 1) as reader, pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.connection.execute("DELETE FROM facts")


def test_a_missing_store_is_not_made(tmp_path: Path) -> None:
    path = tmp_path / "none.sqlite"
    with pytest.raises(sqlite3.OperationalError, match="unable to open"), reading(path, 1):
        pass
    assert not path.exists()


def test_a_pattern_ignores_the_case_of_any_letter_and_takes_signs_as_they_are(store: Engine) -> None:
    insert_batch(store, [known(START + at, name, f"10.0.0.{at}") for at, name in enumerate(("PCÄ", "a%b", "axb"))])
    for pattern, fits in (("pcä", ["pcä"]), ("*Ä", ["pcä"]), ("A%B", ["a%b"]), ("a*b", ["a%b", "axb"]), ("_cä", [])):
        wanted = [like("machines", "name", pattern)]
        with reading(sqlite_path(store), 1) as reader, store.connect() as connection:
            for each in (reader, connection):
                assert list(column(each, "completed machines", wanted)) == fits


def test_a_list_may_be_empty_and_a_product_without_a_name(store: Engine) -> None:
    insert_batch(store, [known(START, "pc-1", "10.0.0.1")])
    nowhere = Condition("machines", "networks", {"networks": []})
    with reading(sqlite_path(store), 1) as reader:
        assert value(reader, "number of machines") == 1
        assert value(reader, "number of machines", [nowhere]) == 0
        answer = ask(reader, "machines by product", active_after=0, called={}, applications={})
        ((called, _, application, number, *_),) = answer
        assert (called, application, number) == ("Windows 10 Enterprise", None, 1)


def test_rows_that_are_not_read_to_the_end_may_outlive_their_connection(store: Engine) -> None:
    insert_batch(store, [known(START + at, f"pc-{at}") for at in range(3)])
    with reading(sqlite_path(store), 1) as reader:
        left = each(reader, "machines: all")
        assert isinstance(left, Generator)
        next(left)
    left.close()


class Noting(sqlite3.Connection):
    """Notes the parameters of each statement."""

    noted: list[object]

    def execute(self, statement: str, parameters: Any = ()) -> sqlite3.Cursor:
        self.noted.append(parameters)
        return super().execute(statement, parameters)


def test_the_values_of_a_list_have_no_names() -> None:
    # SQLite compares a name with all those before it: 40,000 of them took seconds.
    with closing(sqlite3.connect(":memory:", factory=Noting)) as connection:
        connection.noted = []
        connection.execute("CREATE TABLE machine_cmids (machine, cmid)")
        connection.execute("INSERT INTO machine_cmids VALUES ('pc1', 'one'), ('pc2', 'two'), ('pc3', 'three')")
        found = PlainConnection(connection).run("machines of CMIDs", {"its_names": ["one", "three"]}).fetchall()
        assert found == [("pc1",), ("pc3",)]
        assert connection.noted[-1] == ["one", "three"]
