"""Freeing the space of a store's file by SQLite's own module."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from kmstwist.audit.asking.plain_sqlite import connect_to_write
from kmstwist.audit.plain.start_check import is_ready
from kmstwist.audit.upkeep.space import FREED_PAGES, hand_back
from kmstwist.system.sqlitefiles import log_of


def test_freed_pages_go_back_to_the_file_system_some_in_each_step(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    assert is_ready(path, make=True)
    with closing(connect_to_write(path, 1.0)) as store:
        store.execute("CREATE TABLE filled (bytes BLOB)")
        store.executemany("INSERT INTO filled VALUES (?)", [(bytes(4000),)] * (2 * FREED_PAGES))
        store.execute("DELETE FROM filled")
        ((free,),) = store.execute("PRAGMA freelist_count").fetchall()
        assert free > FREED_PAGES
        assert list(hand_back(store)) == [0] * -(-free // FREED_PAGES)
        assert store.execute("PRAGMA freelist_count").fetchall() == [(0,)]
        assert list(hand_back(store)) == []


def test_a_store_that_was_made_without_it_keeps_its_pages(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    with closing(sqlite3.connect(path)) as store:
        store.execute("CREATE TABLE filled (bytes BLOB)")
        store.executemany("INSERT INTO filled VALUES (?)", [(bytes(4000),)] * 10)
        store.execute("DELETE FROM filled")
        store.commit()
    with closing(connect_to_write(path, 1.0)) as store:
        # One step, which frees nothing, is enough.
        assert list(hand_back(store)) == [0]


def test_what_is_no_store_is_let_go(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    path.write_bytes(b"no store of SQLite's" * 100)
    with pytest.raises(sqlite3.DatabaseError, match="not a database"):
        connect_to_write(path, 1.0)


def test_connecting_to_a_store_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    assert is_ready(path, make=True)
    before = path.read_bytes()
    with closing(connect_to_write(path, 1.0)) as store:
        assert store.execute("SELECT count(*) FROM records").fetchall() == [(0,)]
        assert log_of(path).stat().st_size == 0
    assert path.read_bytes() == before
