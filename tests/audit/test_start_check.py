"""A store at a server's start: SQLite's own module judges it as `migrate` would."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from sqlalchemy import create_mock_engine
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import ExecutableDDLElement

from kmstwist.audit import schema
from kmstwist.audit.engine import open_engine
from kmstwist.audit.migrate import check, migrate
from kmstwist.audit.plain import start_check
from kmstwist.audit.plain.defaults import OnFailure
from kmstwist.audit.plain.faults import AuditUnavailable, StoreError
from kmstwist.audit.plain.settings import AuditSettings
from kmstwist.audit.plain.start_check import HEAD, is_ready, new_tables
from kmstwist.audit.service import AuditService
from kmstwist.audit.upkeep.limits import Limits
from kmstwist.system.sqlitefiles import MAGIC
from tests.audit.making import DAY, START, opaque, recorded
from tests.journals import leave_journal
from tests.reactors import reactor


def test_a_new_store_s_tables_are_those_of_the_schema() -> None:
    wanted: list[str] = []

    def make(statement: ExecutableDDLElement, *_: object) -> None:
        wanted.append(str(statement.compile(dialect=sqlite.dialect())))

    engine = create_mock_engine("sqlite://", make)
    schema.metadata.create_all(engine, checkfirst=False)
    *made, revisions, revision = [" ".join(each.split()) for each in new_tables()]
    made[0] = made[0][made[0].index("CREATE") :]
    assert sorted(made) == sorted(" ".join(each.split()) for each in wanted)
    assert revisions.startswith("CREATE TABLE alembic_version (")
    assert revision == f"INSERT INTO alembic_version (version_num) VALUES ('{HEAD}')"


def dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as store:
        return list(store.iterdump())


def pragma(path: Path, name: str) -> object:
    with closing(sqlite3.connect(path)) as store:
        value: object = store.execute(f"PRAGMA {name}").fetchone()[0]
    return value


def is_ready_to_make(path: Path) -> None:
    assert is_ready(path, make=True)


def migrated(path: Path) -> None:
    engine = open_engine(str(path))
    migrate(engine)
    engine.dispose()


@pytest.mark.parametrize("in_memory", [True, False], ids=["in memory", "in its place"])
def test_a_store_that_a_look_makes_is_one_that_migrate_makes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_memory: bool
) -> None:
    monkeypatch.setattr(start_check, "MAKES_IN_MEMORY", in_memory)
    looked_at, migrated = tmp_path / "folder" / "a.sqlite", tmp_path / "b.sqlite"
    assert is_ready(looked_at, make=True)
    engine = open_engine(str(migrated))
    migrate(engine)
    engine.dispose()
    assert dump(looked_at) == dump(migrated)
    for name in ("auto_vacuum", "journal_mode", "page_size", "encoding", "schema_version", "integrity_check"):
        assert pragma(looked_at, name) == pragma(migrated, name)
    # Each has a different number.
    assert 0 != pragma(looked_at, "user_version") != pragma(migrated, "user_version") != 0
    assert looked_at.stat().st_mode & 0o777 == 0o600
    assert is_ready(looked_at, make=True)
    assert is_ready(migrated, make=True)


@pytest.mark.parametrize("make_store", [is_ready_to_make, migrated], ids=["a start", "a command"])
def test_a_new_store_s_folder_is_its_owner_s_alone(make_store: Callable[[Path], None], tmp_path: Path) -> None:
    for folder, mode in ((tmp_path / "new", 0o700), (tmp_path / "there", 0o755)):
        if folder.name == "there":
            folder.mkdir()
            folder.chmod(0o755)
        umask = os.umask(0o022)
        try:
            make_store(folder / "a.sqlite")
        finally:
            os.umask(umask)
        assert folder.stat().st_mode & 0o777 == mode


@pytest.mark.parametrize("make", [True, False])
def test_a_look_at_a_store_that_is_up_to_date_writes_nothing(tmp_path: Path, make: bool) -> None:
    path = tmp_path / "a.sqlite"
    assert is_ready(path, make=True)
    before = path.read_bytes()
    assert is_ready(path, make=make)
    assert path.read_bytes() == before


def test_the_log_of_a_store_that_is_gone_does_not_come_into_a_new_one(tmp_path: Path) -> None:
    path, log = tmp_path / "a.sqlite", tmp_path / "a.sqlite-wal"
    assert is_ready(path, make=True)
    with closing(sqlite3.connect(path)) as store:
        store.execute("UPDATE alembic_version SET version_num = '9999'")
        store.commit()
        written = log.read_bytes()
    path.unlink()
    log.write_bytes(written)
    assert is_ready(path, make=True)
    assert is_ready(path, make=True)


def test_the_journal_of_a_file_that_is_gone_does_not_come_into_a_new_store(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    journal = leave_journal(path)
    assert is_ready(path, make=True)
    assert is_ready(path, make=False)
    assert not journal.exists()
    assert not any("others" in line for line in dump(path))


def test_a_look_that_makes_nothing_leaves_a_store_without_tables(tmp_path: Path) -> None:
    assert is_ready(tmp_path / "a.sqlite", make=False)
    assert dump(tmp_path / "a.sqlite") == ["BEGIN TRANSACTION;", "COMMIT;"]


def run(statement: str) -> Callable[[Path], None]:
    def do(path: Path) -> None:
        with closing(sqlite3.connect(path)) as store:
            store.execute(statement)
            store.commit()

    return do


def be_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


#: What a look leaves to `migrate`: it puts these right, or says what is wrong.
OTHERS = {
    "a later version's": run("UPDATE alembic_version SET version_num = '9999'"),
    "an earlier version's": run("UPDATE alembic_version SET version_num = '0003'"),
    "without a revision": run("DELETE FROM alembic_version"),
    "without the table of revisions": run("DROP TABLE alembic_version"),
    "without a table": run("DROP TABLE strangers"),
    "without a column": run("ALTER TABLE records DROP COLUMN detail"),
    "overwritten": lambda path: path.write_bytes(b"something else" * 1000) and None,
    "a folder": be_a_folder,
}


def contents(path: Path) -> list[str] | bytes:
    """What a store has, or what lies in its place."""
    if path.is_dir():
        return b"a folder"
    return dump(path) if path.read_bytes().startswith(MAGIC) else path.read_bytes()


@pytest.mark.parametrize("spoil", OTHERS.values(), ids=OTHERS)
@pytest.mark.parametrize("make", [True, False])
def test_a_store_that_is_not_up_to_date_is_left_as_it_is(
    tmp_path: Path, spoil: Callable[[Path], None], make: bool
) -> None:
    path = tmp_path / "a.sqlite"
    assert is_ready(path, make=True)
    spoil(path)
    before = contents(path)
    assert not is_ready(path, make=make)
    assert contents(path) == before


def test_a_file_of_another_kind_is_not_a_store_to_be_locked(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("Dear administrator")
    assert not is_ready(path, make=True)
    assert path.read_text() == "Dear administrator"
    assert os.listdir(tmp_path) == ["letter.txt"]


def test_a_store_that_another_has_locked_is_not_ready(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    assert is_ready(path, make=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert not is_ready(path, make=True)
        other.execute("ROLLBACK")
    assert is_ready(path, make=True)


# -- the service that opens it later


def later(path: Path, **options: Any) -> AuditService:
    return AuditService(AuditSettings(store=str(path), **options), reactor, later=True)


def count(path: Path) -> int:
    with closing(sqlite3.connect(path)) as store:
        number: int = store.execute("SELECT count(*) FROM records").fetchone()[0]
    return number


@pytest_twisted.inlineCallbacks
def test_records_that_come_before_the_store_is_open_are_stored_before_their_calls_are_answered(
    tmp_path: Path,
) -> Generator[Any, Any, None]:
    path = tmp_path / "a.sqlite"
    assert is_ready(path, make=True)
    audit = later(path)
    audit.startService()
    with pytest.raises(StoreError, match="not open at present"):
        _ = audit.engine
    stored = [recorded(audit, opaque(START + number)) for number in range(3)]
    assert not any(each.called for each in stored)
    for number, each in enumerate(stored, 1):
        yield each
        assert count(path) >= number
    yield audit.stopService()
    assert not audit.writer.failing
    check(open_engine(str(path)))


@pytest_twisted.inlineCallbacks
def test_a_server_that_stops_at_once_has_stored_what_came(tmp_path: Path) -> Generator[Any, Any, None]:
    path = tmp_path / "a.sqlite"
    assert is_ready(path, make=True)
    audit = later(path)
    audit.startService()
    stored = recorded(audit, opaque(START))
    yield audit.stopService()
    yield stored
    assert count(path) == 1


@pytest_twisted.inlineCallbacks
def test_retention_begins_as_soon_as_the_store_is_open(tmp_path: Path) -> Generator[Any, Any, None]:
    path = tmp_path / "a.sqlite"
    now = int(reactor.seconds() * 1000)
    first = AuditService(AuditSettings(store=str(path)), reactor)
    first.startService()
    yield recorded(first, opaque(now - 31 * DAY))
    yield first.stopService()
    audit = later(path, limits=Limits(days=30))
    audit.startService()
    new = 0
    while new == 0 or count(path) > new:
        yield recorded(audit, opaque(now))
        new += 1
    yield audit.stopService()


@pytest.mark.parametrize("policy", OnFailure)
@pytest_twisted.inlineCallbacks
def test_a_store_that_went_away_before_it_was_opened_is_a_case_for_the_policy(
    tmp_path: Path, policy: OnFailure
) -> Generator[Any, Any, None]:
    path = tmp_path / "a.sqlite"
    assert is_ready(path, make=True)
    audit = later(path, on_failure=policy)
    path.unlink()
    path.mkdir()
    audit.startService()
    if policy is OnFailure.SERVE:
        yield recorded(audit, opaque(START))
        assert audit.writer.waiting == 1
        path.rmdir()
    else:
        with pytest.raises(AuditUnavailable):
            yield recorded(audit, opaque(START))
        path.rmdir()
        assert is_ready(path, make=True)
    yield audit.stopService()
    assert count(path) == (policy is OnFailure.SERVE)
