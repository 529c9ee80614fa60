"""A store that is moved away, replaced or damaged while the server has it open."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sqlite3
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from sqlalchemy import Engine, event
from twisted.internet.defer import Deferred

from kmstwist.audit import schema
from kmstwist.audit.engine import open_engine, reading, writing
from kmstwist.audit.migrate import migrate
from kmstwist.audit.plain.defaults import OnFailure
from kmstwist.audit.plain.faults import AuditUnavailable, StoreError, StoreUnavailable
from kmstwist.audit.plain.settings import AuditSettings
from kmstwist.audit.service import AuditService
from kmstwist.audit.settings import AuditSection
from kmstwist.audit.storage import Storage, StoreLost
from kmstwist.audit.store import insert_batch
from kmstwist.audit.upkeep.retention import rewrite
from kmstwist.audit.upkeep.verify import verify
from kmstwist.logevents import AUDIT_FAILING
from kmstwist.server.monitoring import store_of_workers
from tests.audit.making import DAY, START, driver_of, known, new_store, opaque, recorded
from tests.reactors import reactor
from tests.waiting import PATIENCE


def count(path: Path) -> int:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as store:
        number: int = store.execute("SELECT count(*) FROM records").fetchone()[0]
        return number


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    storage = Storage(str(tmp_path / "audit.sqlite"), 0.05, lambda _engine: None)
    storage.open()
    storage.insert([opaque(START + at) for at in range(200)])
    yield storage
    storage.close()


def delete(path: Path) -> None:
    path.unlink()


def move(path: Path) -> None:
    path.rename(path.with_name("moved.sqlite"))


def empty(path: Path) -> None:
    os.truncate(path, 0)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def overwrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"not what it was " * 1000)


def copy_over(path: Path) -> None:
    """As `cp other.sqlite audit.sqlite`: the same inode with the bytes of another store."""
    other = new_store(path.parent, "other.sqlite")
    insert_batch(other, [known(START + at, f"pc{at}") for at in range(400)])
    with other.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    other.dispose()
    shutil.copyfile(path.with_name("other.sqlite"), path)


def replace(path: Path) -> None:
    new_store(path.parent, "new.sqlite").dispose()
    path.with_name("new.sqlite").rename(path)


@pytest.mark.parametrize("harm", [delete, move, empty, cut, overwrite, copy_over, replace])
def test_nothing_is_stored_in_a_file_that_is_not_the_store_any_more(
    storage: Storage, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    with storage.engine.connect() as connection:  # type: ignore[union-attr]
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    storage.look()
    harm(tmp_path / "audit.sqlite")
    with pytest.raises(StoreLost, match=r"audit\.sqlite was "):
        storage.insert([opaque(START + DAY)])
    assert storage.engine is None


@pytest.mark.parametrize("harm", [delete, move, replace])
def test_a_store_that_was_moved_away_is_made_again(
    storage: Storage, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    path = tmp_path / "audit.sqlite"
    harm(path)
    assert storage.keep()
    assert storage.insert([opaque(START + DAY)]) == 1
    assert count(path) == 1
    assert path.stat().st_mode & 0o077 == 0
    assert storage.engine is not None
    assert verify(storage.engine) == []


@pytest.mark.parametrize("harm", [delete, move, replace])
def test_a_store_that_is_moved_away_during_a_commit_gives_none_of_its_answers(
    storage: Storage, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    path = tmp_path / "audit.sqlite"
    assert storage.engine is not None
    # After the look before the batch, and before its commit.
    event.listen(storage.engine, "checkout", lambda *_: harm(path), once=True)
    batch = [opaque(START + DAY)]
    with pytest.raises(StoreLost):
        storage.insert(batch)
    assert storage.insert(batch, again=True) == 1
    assert count(path) == 1


def test_a_store_that_was_moved_has_all_that_was_committed(storage: Storage, tmp_path: Path) -> None:
    move(tmp_path / "audit.sqlite")
    assert storage.keep()
    assert count(tmp_path / "moved.sqlite") == 200


def another_process(end: Connection) -> None:
    """A worker; it is told a store's path, a record's time, and whether it has not seen yet that the store is lost."""
    storages: dict[Path, Storage] = {}
    while (told := end.recv()) is not None:
        path, at, unseen = told
        storage = storages.setdefault(path, Storage(str(path), 5.0, lambda _engine: None))
        if unseen:
            assert storage.engine is not None
            insert_batch(storage.engine, [opaque(at)])
        else:
            store_in(storage, at)
        end.send("stored")


def store_in(storage: Storage, at: int) -> None:
    """As the writer does: again, where the store was lost."""
    try:
        storage.insert([opaque(at)])
    except StoreLost:
        storage.insert([opaque(at)], again=True)


def test_a_store_that_one_worker_makes_again_shares_nothing_with_the_one_another_still_has(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    worker = context.Process(target=another_process, args=(theirs,), daemon=True)
    worker.start()

    def there(path: Path, at: int, *, unseen: bool = False) -> None:
        ours.send((path, START + at, unseen))
        assert ours.poll(PATIENCE)
        assert ours.recv() == "stored"

    for harm in (delete, move, replace):
        path = tmp_path / harm.__name__ / "audit.sqlite"
        path.parent.mkdir()
        here = Storage(str(path), 5.0, lambda _engine: None)
        store_in(here, START)
        there(path, 1)
        harm(path)
        for at in range(10, 15):
            store_in(here, START + at)
            # Into the old file, as a batch does that is under way.
            there(path, 100 + at, unseen=True)
        for at in range(20, 25):
            there(path, at)
            store_in(here, START + 100 + at)
        assert here.engine is not None
        assert verify(here.engine) == []
        with closing(sqlite3.connect(path)) as store:
            stored = [at - START for (at,) in store.execute("SELECT at FROM records ORDER BY at")]
            assert store.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert stored == [*range(10, 15), *range(20, 25), *range(120, 125)]
        here.close()
    # What both had stored until they saw it is in the file that was moved.
    assert count(tmp_path / "move" / "moved.sqlite") == 7
    ours.send(None)
    worker.join(PATIENCE)
    assert worker.exitcode == 0


def test_each_of_a_servers_connections_keeps_at_most_8_mib_of_pages(storage: Storage, tmp_path: Path) -> None:
    readers = store_of_workers(AuditSection(), tmp_path)
    assert storage.engine is not None
    assert readers is not None
    for engine in (storage.engine, readers()):
        with engine.connect() as one, engine.connect() as other:
            assert [driver_of(each).execute("PRAGMA cache_size").fetchone() for each in (one, other)] == [
                (-8192,),
                (-8192,),
            ]
    readers().dispose()


@pytest.mark.parametrize("harm", [empty, cut, overwrite, copy_over])
def test_a_damaged_store_waits_for_somebody_to_move_it_away(
    storage: Storage, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    path = tmp_path / "audit.sqlite"
    with storage.engine.connect() as connection:  # type: ignore[union-attr]
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    storage.look()
    harm(path)
    with pytest.raises(StoreLost):
        storage.look()
    if harm in (cut, overwrite):
        with pytest.raises(StoreUnavailable):
            storage.keep()
    path.rename(tmp_path / "damaged")
    assert storage.keep()
    assert storage.insert([opaque(START + DAY)]) == 1
    assert count(path) == 1


def test_a_log_is_not_written_into_a_sound_store_that_was_copied_over_its_own(storage: Storage, tmp_path: Path) -> None:
    path = tmp_path / "audit.sqlite"
    assert storage.engine is not None
    with storage.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    storage.insert([opaque(START + DAY + at) for at in range(300)])
    copy_over(path)
    assert storage.keep()
    assert storage.engine is not None
    assert verify(storage.engine) == []
    assert count(path) == 400
    assert (tmp_path / "audit.sqlite-wal.lost").stat().st_size > 0


def test_a_store_that_its_own_tools_make_smaller_is_not_damaged(storage: Storage) -> None:
    assert storage.engine is not None
    with writing(storage.engine) as connection:
        connection.execute(schema.records.delete())
    other = open_engine(str(storage.engine.url.database))
    rewrite(other)
    storage.look()
    assert storage.insert([opaque(START + DAY)]) == 1
    other.dispose()


def test_an_engine_of_a_lost_store_does_not_open_what_is_there_now(storage: Storage, tmp_path: Path) -> None:
    engine = storage.engine
    assert engine is not None
    move(tmp_path / "audit.sqlite")
    storage.keep()
    with pytest.raises(StoreError, match="try again"), reading(engine):
        pass


# -- the service


def service(path: Path, **options: Any) -> AuditService:
    return AuditService(AuditSettings(store=str(path), **{"busy_timeout": 0.01, **options}), reactor)


def until(true: Callable[[], bool]) -> Deferred[None]:
    """Fires once `true()` is; fails where it never is."""
    done: Deferred[None] = Deferred()
    give_up = reactor.seconds() + PATIENCE

    def look() -> None:
        if true():
            done.callback(None)
        elif reactor.seconds() > give_up:
            done.errback(AssertionError("it does not come"))
        else:
            reactor.callLater(0.02, look)

    look()
    return done


@pytest_twisted.inlineCallbacks
def test_every_record_that_was_answered_after_its_store_was_deleted_is_in_the_new_one(
    tmp_path: Path,
) -> Generator[Any, Any, None]:
    path = tmp_path / "audit.sqlite"
    audit = service(path)
    audit.startService()
    yield recorded(audit, opaque(START))
    path.unlink()
    yield recorded(audit, opaque(START + 1))
    yield until(lambda: not audit.writer.failing)
    yield recorded(audit, opaque(START + 2))
    yield audit.stopService()
    assert count(path) == 2


@pytest_twisted.inlineCallbacks
def test_a_lost_store_is_noticed_and_made_again_without_a_call(tmp_path: Path) -> Generator[Any, Any, None]:
    path = tmp_path / "audit.sqlite"
    audit = service(path)
    audit.startService()
    path.unlink()
    yield until(path.exists)
    yield audit.stopService()
    assert count(path) == 0


@pytest_twisted.inlineCallbacks
def test_a_lost_store_refuses_calls_where_that_is_the_policy(tmp_path: Path) -> Generator[Any, Any, None]:
    path = tmp_path / "audit.sqlite"
    audit = service(path, on_failure=OnFailure.REFUSE)
    audit.startService()
    yield recorded(audit, opaque(START))
    os.truncate(path, 0)
    # What is empty may be made a store again; a folder in its place may not.
    path.unlink()
    path.mkdir()
    with pytest.raises(AuditUnavailable):
        yield recorded(audit, opaque(START + 1))
    yield audit.stopService()


def locked(path: Path) -> Callable[[], None]:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")

    def free() -> None:
        other.execute("ROLLBACK")
        other.close()

    return free


def corrupt(path: Path) -> Callable[[], None]:
    sound = path.read_bytes()
    path.write_bytes(b"overwritten " * 5000)

    def restore() -> None:
        path.unlink()
        path.write_bytes(sound)

    return restore


def folder_in_its_place(path: Path) -> Callable[[], None]:
    path.unlink()
    path.mkdir()
    return path.rmdir


@pytest_twisted.inlineCallbacks
@pytest.mark.parametrize("harm", [locked, corrupt, folder_in_its_place])
def test_a_server_that_serves_starts_without_a_store_and_takes_it_when_it_can(
    tmp_path: Path, harm: Callable[[Path], Callable[[], None]], told: list[str]
) -> Generator[Any, Any, None]:
    path = tmp_path / "audit.sqlite"
    new_store(tmp_path).dispose()
    mend = harm(path)
    with pytest.raises(StoreUnavailable):
        service(path, on_failure=OnFailure.REFUSE).startService()
    audit = service(path)
    audit.startService()
    assert audit.writer.failing
    assert told == [AUDIT_FAILING.name]
    yield recorded(audit, opaque(START))
    with pytest.raises(StoreError, match="not open at present"):
        _ = audit.engine
    mend()
    yield until(lambda: audit.writer.committed == 1)
    assert not audit.writer.failing
    yield audit.stopService()
    assert count(path) == 1


@pytest_twisted.inlineCallbacks
def test_records_that_wait_at_the_end_are_tried_again_until_the_drain_time_is_over(
    tmp_path: Path,
) -> Generator[Any, Any, None]:
    path = tmp_path / "audit.sqlite"
    audit = service(path, drain=60.0)
    audit.startService()
    free = locked(path)
    yield recorded(audit, opaque(START))
    stopped = audit.stopService()
    yield until(lambda: audit.writer.failures > 1)
    free()
    yield stopped
    assert audit.writer.dropped == 0
    assert count(path) == 1


# -- files that are not stores of this version


def tables_without_a_revision(engine: Engine) -> None:
    with writing(engine) as connection:
        connection.exec_driver_sql("DROP TABLE alembic_version")


def a_column_less(engine: Engine) -> None:
    with writing(engine) as connection:
        connection.exec_driver_sql("ALTER TABLE machines DROP COLUMN gateway")


def a_table_less(engine: Engine) -> None:
    with writing(engine) as connection:
        connection.exec_driver_sql("DROP TABLE strangers")


def an_older_one_with_a_table_less(engine: Engine) -> None:
    with writing(engine) as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0004'")
        for name in ("client", "machine"):
            connection.exec_driver_sql(f"DROP INDEX ix_records_block_{name}")
        connection.exec_driver_sql("CREATE INDEX ix_records_client_at ON records (client, at)")
        connection.exec_driver_sql("CREATE INDEX ix_records_machine ON records (machine, at)")
        connection.exec_driver_sql("DROP TABLE strangers")


def another_programs(engine: Engine) -> None:
    with writing(engine) as connection:
        for table in (*schema.metadata.tables, "alembic_version"):
            connection.exec_driver_sql(f"DROP TABLE {table}")
        connection.exec_driver_sql("CREATE TABLE letters (text VARCHAR)")


def a_later_revision(engine: Engine) -> None:
    with writing(engine) as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (tables_without_a_revision, "has tables and no revision: a version under development made it"),
        (a_column_less, "its table machines has no gateway: a version under development made it; move it away"),
        (a_table_less, "has no table strangers: a version under development made it; move it away"),
        (an_older_one_with_a_table_less, "has no table strangers: a version under development made it; move it away"),
        (another_programs, "is another program's database; name another file, or move this one away"),
        (a_later_revision, "made by another version of kmstwist"),
    ],
)
def test_a_store_of_another_version_is_refused_with_a_sentence_whatever_the_policy(
    store: Engine, change: Callable[[Engine], None], said: str
) -> None:
    change(store)
    with reading(store) as connection:
        before = connection.exec_driver_sql("SELECT sql FROM sqlite_master").all()
    with pytest.raises(StoreError, match=said) as caught:
        migrate(store)
    assert not isinstance(caught.value, StoreUnavailable)
    with reading(store) as connection:
        assert connection.exec_driver_sql("SELECT sql FROM sqlite_master").all() == before


def test_a_file_that_never_was_a_store_is_refused_whatever_the_policy(tmp_path: Path) -> None:
    path = tmp_path / "audit.sqlite"
    path.write_text("a letter to somebody")
    for _ in range(2):
        with pytest.raises(StoreError, match="is not a database; name another file") as caught:
            service(path).startService()
        assert not isinstance(caught.value, StoreUnavailable)
    assert path.read_text() == "a letter to somebody"


def test_a_pipe_in_the_stores_place_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "audit.sqlite"
    os.mkfifo(path)
    with pytest.raises(StoreError, match="is not a database; name another file"):
        service(path).startService()
