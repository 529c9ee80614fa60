from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from kmstwist.kms.catalogue import OFFICE, WINDOWS, Product
from kmstwist.lab import sqlitefile
from kmstwist.lab.errors import LabFileError
from kmstwist.lab.host import LabHost
from kmstwist.lab.host_memory import Memory
from kmstwist.lab.keys import LabKey
from kmstwist.lab.store import LabStore
from tests.journals import leave_journal
from tests.lab.conftest import Clock, changes_of

from .conftest import DAY, START, ask, machine


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "lab.sqlite"


def test_a_file_that_is_made_in_one_piece_is_the_one_that_is_made_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made(path: Path) -> tuple[list[str], list[tuple[object]]]:
        LabStore(path).close()
        assert path.stat().st_mode & 0o777 == 0o600
        with closing(sqlite3.connect(path)) as file:
            asked = ("user_version", "journal_mode", "page_size", "integrity_check")
            return list(file.iterdump()), [file.execute(f"PRAGMA {name}").fetchone() for name in asked]

    at_once = made(tmp_path / "a.sqlite")
    monkeypatch.setattr(sqlitefile, "MAKES_IN_MEMORY", False)
    assert at_once == made(tmp_path / "b.sqlite")
    assert at_once[1][1:] == [("wal",), (4096,), ("ok",)]


def test_the_journal_of_a_file_that_is_gone_does_not_come_into_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "lab.sqlite"
    leave_journal(path)
    LabStore(path).close()
    with closing(sqlite3.connect(path)) as file:
        assert not any("others" in line for line in file.iterdump())


def test_a_new_store_remembers_nothing(path: Path) -> None:
    store = LabStore(path)
    memory = store.load()
    store.close()
    assert memory.applications == {}
    assert memory.counters.total == 0


def test_a_host_counts_on_after_a_restart(
    path: Path,
    host: LabHost,
    key: LabKey,
    clock: Clock,
    random_bytes: Callable[[int], bytes],
    windows: Product,
    office: Product,
) -> None:
    for number in range(24):
        ask(host, machine(number, windows), START)
    ask(host, machine(1, office), START)
    store = LabStore(path)
    store.save(changes_of(host))
    store.close()

    store = LabStore(path)
    again = LabHost(key, now=clock, random=random_bytes, memory=store.load())
    store.close()
    assert again.clients(WINDOWS) == host.clients(WINDOWS)
    assert again.counters == host.counters
    assert again.count(OFFICE) == 1
    assert ask(again, machine(24, windows), START).activated


def test_a_restart_keeps_the_limit_of_50_when_only_servers_are_left(
    path: Path,
    host: LabHost,
    key: LabKey,
    clock: Clock,
    random_bytes: Callable[[int], bytes],
    windows: Product,
    server: Product,
) -> None:
    ask(host, machine(0, windows), START)
    for number in range(1, 61):
        ask(host, machine(number, server), START)
    store = LabStore(path)
    store.save(changes_of(host))
    again = LabHost(key, now=clock, random=random_bytes, memory=store.load())
    store.close()
    assert again.count(WINDOWS) == host.count(WINDOWS) == 50


def test_a_later_save_replaces_the_earlier_one_of_that_application_only(
    path: Path, host: LabHost, clock: Clock, windows: Product, office: Product
) -> None:
    store = LabStore(path)
    ask(host, machine(1, windows), START)
    ask(host, machine(1, office), START)
    store.save(changes_of(host))
    clock.now = START + 31 * DAY
    ask(host, machine(2, windows), clock.now)
    changes = changes_of(host)
    assert list(changes.applications) == [WINDOWS]
    store.save(changes)
    memory = store.load()
    store.close()
    assert [client.machine_name for client in memory.applications[WINDOWS].clients] == ["PC-00002"]
    assert [client.machine_name for client in memory.applications[OFFICE].clients] == ["PC-00001"]
    assert memory.counters.total == 3


def test_a_file_that_is_not_a_database_is_explained(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("this is not a database, but it is long enough to be taken for a header of one" * 20)
    with pytest.raises(LabFileError, match=r"not a database.*move it away"):
        LabStore(path)


def test_a_file_of_a_newer_schema_is_left_alone(path: Path) -> None:
    LabStore(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(LabFileError, match="newer kmstwist"):
        LabStore(path)


def test_a_folder_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LabFileError, match="--state-dir"):
        LabStore(tmp_path / "file" / "lab.sqlite")


def test_a_folder_in_the_files_place_is_explained(tmp_path: Path) -> None:
    (tmp_path / "lab.sqlite").mkdir()
    with pytest.raises(LabFileError, match="this user owns"):
        LabStore(tmp_path / "lab.sqlite")


def test_a_file_locked_by_another_process_is_explained_and_nothing_is_lost(
    path: Path, host: LabHost, windows: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlitefile, "_LOCK_TIMEOUT_SECONDS", 0)
    store = LabStore(path)
    ask(host, machine(1, windows), START)
    changes = changes_of(host)
    other = sqlite3.connect(path)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(LabFileError, match="another process holds it"):
        store.save(changes)
    other.rollback()
    other.close()
    host.return_changes(changes)
    store.save(changes_of(host))
    assert len(store.load().applications[WINDOWS].clients) == 1
    store.close()


def test_the_file_and_what_lies_beside_it_are_their_owners_also_where_an_earlier_version_made_them(
    tmp_path: Path,
) -> None:
    path = tmp_path / "lab.sqlite"
    path.touch(0o644)
    path.chmod(0o644)
    store = LabStore(path)
    store.save(Memory())
    for each in tmp_path.iterdir():
        assert each.stat().st_mode & 0o077 == 0, each
    store.close()
