from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, func, inspect, select
from sqlalchemy.exc import OperationalError

from kmstwist.audit import schema
from kmstwist.audit.engine import open_engine, open_reader, reading, sqlite_path, store_url, writing
from kmstwist.audit.migrate import check, current_revision, migrate
from kmstwist.audit.plain.faults import StoreError
from kmstwist.audit.plain.revision import MIGRATIONS
from kmstwist.audit.plain.start_check import HEAD
from kmstwist.audit.records import Phases, Record
from kmstwist.audit.store import insert_batch, insert_new, is_data_fault, read_records
from kmstwist.audit.upkeep.backup import backup
from kmstwist.audit.upkeep.verify import verify
from tests.audit.making import (
    DAY,
    HOUR,
    OFFICE,
    START,
    WINDOWS,
    at_first_release,
    known,
    new_store,
    opaque,
    refusal,
    uuid,
)


def rows(store: Engine, table: str) -> list[dict[str, object]]:
    with reading(store) as connection:
        return [dict(row._mapping) for row in connection.execute(select(schema.metadata.tables[table]))]


def differences(engine: Engine) -> list[object]:
    """What the tables have that those of the code do not, or the other way round."""
    # Each database has indexes of its own.
    others = ("client_at", "machine") if engine.dialect.name == "sqlite" else ("block_client", "block_machine")

    def wanted(_object: object, name: str | None, kind: str, reflected: bool, _there: object) -> bool:
        return reflected or kind != "index" or name not in {f"ix_records_{other}" for other in others}

    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_object": wanted})
        return list(compare_metadata(context, schema.metadata))


def test_a_new_store_has_the_tables_the_code_works_with(store: Engine) -> None:
    assert differences(store) == []
    with store.connect() as connection:
        assert current_revision(connection) == HEAD


def test_the_last_migration_is_the_one_that_the_code_knows() -> None:
    assert ScriptDirectory(str(MIGRATIONS)).get_heads() == [HEAD]


def upgraded(engine: Engine) -> None:
    """Bring a store of the first release up to date, and check that what was known is known, and more can come."""
    at_first_release(engine)
    migrate(engine)
    assert differences(engine) == []
    machines = {str(row["app"]): row for row in rows(engine, "machines")}
    assert {app: row["slot"] for app, row in machines.items()} == {WINDOWS: "", OFFICE: uuid("o21"), "": ""}
    for row in (*machines.values(), *rows(engine, "machine_cmids")):
        assert (row["first_seen"], row["last_seen"], row["last_answered"], row["calls"]) == (
            START,
            START + 5,
            START + 5,
            3,
        )
    [failure] = rows(engine, "hourly_failures")
    assert (failure["machine"], failure["calls"]) == ("pc-1", 2)
    insert_batch(engine, [known(START + DAY, "PC9"), known(START + DAY, "PC9", hresult=0xC004F06C)])
    assert len(rows(engine, "machines")) == 4
    assert verify(engine) == []


def shape(engine: Engine) -> dict[str, object]:
    """Every table with its columns and its key, and every index, whatever order the columns came in."""
    found = inspect(engine)
    tables: dict[str, object] = {}
    for table in found.get_table_names():
        columns = {each["name"]: (str(each["type"]), each["nullable"]) for each in found.get_columns(table)}
        indexes = {str(each["name"]): (each["column_names"], each["unique"]) for each in found.get_indexes(table)}
        tables[table] = (columns, found.get_pk_constraint(table), indexes)
    with engine.connect() as connection:
        statements = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'index'")
        tables["indexes"] = {tuple(row) for row in statements}
    return tables


def test_a_store_of_the_first_release_keeps_what_it_knows_and_becomes_as_a_new_one(
    tmp_path: Path, told: list[str]
) -> None:
    engine = open_engine(str(tmp_path / "audit.sqlite"))
    upgraded(engine)
    assert told == ["audit-store-upgraded"]
    migrate(engine)
    assert shape(engine) == shape(new_store(tmp_path, "new.sqlite"))
    # Neither one that is up to date nor a new one is upgraded.
    assert told == ["audit-store-upgraded"]


def test_a_start_with_a_store_that_is_new_or_up_to_date_does_not_load_alembic(tmp_path: Path) -> None:
    path = str(tmp_path / "audit.sqlite")
    program = (
        "import sys; from kmstwist.audit.engine import open_engine; from kmstwist.audit.migrate import check, migrate\n"
        f"engine = open_engine({path!r}); migrate(engine); check(engine); migrate(engine)\n"
        "print('alembic' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "False\n"


def test_a_record_comes_back_as_it_was_stored(store: Engine) -> None:
    records: list[Record] = [
        known(START, "PC1", phases=Phases(0.5, 20.25), peer="10.9.9.9", detail="é"),
        opaque(START + 1),
        refusal(START + 2, fault=0x1C010002),
    ]
    insert_batch(store, records)
    with reading(store) as connection:
        assert read_records(connection) == list(enumerate(records, 1))
        assert read_records(connection, after_seq=1, limit=1) == [(2, records[1])]


def test_a_batch_tried_again_after_a_lost_commit_changes_nothing(store: Engine) -> None:
    batch = [known(START, "pc1"), opaque(START)]
    assert insert_batch(store, batch) == 2
    before = rows(store, "machines"), rows(store, "hourly_activity")
    assert insert_batch(store, [*batch, opaque(START, "10.0.0.8")], again=True) == 1
    assert insert_batch(store, batch, again=True) == 0
    assert insert_new(store, batch) == 0
    assert len(rows(store, "records")) == 3
    assert rows(store, "machines")[:2] == before[0]


def test_a_batch_with_one_bad_record_stores_nothing_of_it(store: Engine) -> None:
    for bad in (opaque(START, bytes_in=2**70), opaque(START, machine="\ud800")):
        with pytest.raises(Exception) as caught:
            insert_batch(store, [opaque(START), bad])
        assert is_data_fault(caught.value)
    assert rows(store, "records") == rows(store, "machines") == []


def test_a_locked_store_is_not_the_data_s_fault(store: Engine, tmp_path: Path) -> None:
    impatient = open_engine(str(tmp_path / "audit.sqlite"), busy_timeout=0.01)
    with writing(store), pytest.raises(OperationalError) as caught:
        insert_batch(impatient, [opaque(START)])
    assert not is_data_fault(caught.value)
    impatient.dispose()


def test_machines_keep_their_first_last_and_successful_calls(store: Engine) -> None:
    insert_batch(store, [known(START + HOUR, "PC1"), known(START + 2 * HOUR, "pc1", hresult=0xC004F06C)])
    insert_batch(store, [known(START, "pc1", "10.0.0.99"), known(START + 3 * HOUR, "pc1", "10.0.5.1", count=3)])
    (machine,) = rows(store, "machines")
    assert (machine["machine"], machine["address"], machine["network"]) == ("pc1", "10.0.5.1", "10.0.5.0/24")
    assert (machine["first_seen"], machine["last_seen"]) == (START, START + 3 * HOUR)
    assert (machine["last_success"], machine["calls"], machine["successes"]) == (START + HOUR, 4, 2)
    assert machine["last_status"] == 0xC004F038


@st.composite
def some_records(draw: st.DrawFn) -> list[Record]:
    """Records of few machines and hours, in any order of time, so that their sums meet."""
    found = []
    for _ in range(draw(st.integers(1, 12))):
        at = START + draw(st.integers(0, 3)) * HOUR + draw(st.integers(0, 2))
        client = draw(st.sampled_from(["10.0.0.1", "10.0.1.2"]))
        phases = Phases(answer=draw(st.sampled_from([None, 1.0, 2.0])))
        hresult = draw(st.sampled_from([0, 0, 0xC004F06C]))
        match draw(st.integers(0, 2)):
            case 0:
                found.append(opaque(at, client, hresult=hresult, phases=phases))
            case 1:
                name, count = draw(st.sampled_from(["pc1", "PC1", "pc2"])), draw(st.sampled_from([3, 50]))
                cmid = draw(st.sampled_from(["a", "b"]))
                found.append(known(at, name, client, hresult=hresult, phases=phases, count=count, cmid=cmid))
            case _:
                found.append(refusal(at, client))
    return found


SUMS = ("machines", "machine_cmids", "hourly_activity", "hourly_failures")


@pytest.mark.long
@given(some_records(), st.integers(1, 5))
@settings(max_examples=30, deadline=None)
def test_the_sums_are_the_same_however_records_fall_into_batches(records: list[Record], size: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        whole, parts = new_store(Path(folder), "whole"), new_store(Path(folder), "parts")
        insert_batch(whole, records)
        for at in range(0, len(records), size):
            insert_batch(parts, records[at : at + size])
        for table in SUMS:
            assert sorted(rows(parts, table), key=repr) == sorted(rows(whole, table), key=repr)
        assert verify(parts) == []
        whole.dispose()
        parts.dispose()


def test_a_peer_that_was_turned_away_is_not_a_machine(store: Engine) -> None:
    insert_batch(store, [refusal(START)])
    assert rows(store, "machines") == rows(store, "hourly_activity") == []
    assert rows(store, "hourly_failures")[0]["calls"] == 1


def test_hours_are_added_up_across_batches(store: Engine) -> None:
    insert_batch(store, [opaque(START, phases=Phases(answer=10.0)), opaque(START + HOUR - 1)])
    insert_batch(store, [opaque(START + 5, phases=Phases(answer=30.0)), opaque(START + HOUR)])
    first, second = rows(store, "hourly_activity")
    assert (first["hour"], first["calls"], first["answer_ms"], first["answer_calls"]) == (START // HOUR, 3, 40.0, 2)
    assert (first["bytes_in"], first["bytes_out"]) == (780, 540)
    assert (second["hour"], second["calls"]) == (START // HOUR + 1, 1)


def _migrate(path: str) -> None:
    migrate(open_engine(path))


def test_processes_that_start_together_on_a_new_store_all_find_it_ready(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("fork")
    path = str(tmp_path / "audit.sqlite")
    starting = [spawn.Process(target=_migrate, args=(path,)) for _ in range(6)]
    for process in starting:
        process.start()
    for process in starting:
        process.join()
    assert [process.exitcode for process in starting] == [0] * 6
    store = open_engine(path)
    assert verify(store) == []
    store.dispose()


def test_a_store_of_a_later_version_is_left_alone(store: Engine) -> None:
    with writing(store) as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    for look in (migrate, check):
        with pytest.raises(StoreError, match="another version"):
            look(store)


def test_a_file_that_is_not_a_store_is_named_in_the_error(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("Dear Sir or Madam, " * 100)
    with pytest.raises(StoreError, match=r"letter\.txt is not a database; name another file, or move this one away"):
        migrate(open_engine(str(path)))


@pytest.mark.parametrize("url", ["mysql://x/y", "http://example.com", "://"])
def test_a_url_that_is_not_a_store_is_refused(url: str) -> None:
    with pytest.raises(StoreError):
        store_url(url)


def test_a_backup_of_a_live_store_is_a_sound_store(store: Engine, tmp_path: Path) -> None:
    insert_batch(store, [known(START + at, f"pc{at}") for at in range(50)])
    target = tmp_path / "copy.sqlite"
    backup(sqlite_path(store), target)
    assert target.stat().st_mode & 0o777 == 0o600
    copy = open_engine(str(target))
    assert verify(copy) == []
    with reading(copy) as connection:
        assert connection.scalar(select(func.count()).select_from(schema.records)) == 50
    copy.dispose()
    with pytest.raises(StoreError, match="exists already"):
        backup(sqlite_path(store), target)


def test_a_backup_ends_while_a_server_commits(store: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kmstwist.audit.upkeep.backup.PAGES", 5)
    insert_batch(store, [known(START + at, f"pc{at}") for at in range(500)])
    left: list[int] = []

    def commit(remaining: int, total: int) -> None:
        # A copy that is started over never comes to its end.
        left.append(remaining)
        assert len(left) <= total
        insert_batch(store, [opaque(START + DAY + len(left))])

    target = tmp_path / "copy.sqlite"
    backup(sqlite_path(store), target, commit)
    assert len(left) > 5
    assert left == sorted(left, reverse=True)
    copy = open_engine(str(target))
    with reading(copy) as connection:
        # As of the moment in which it began.
        assert connection.scalar(select(func.count()).select_from(schema.records)) == 500
    assert verify(copy) == []
    copy.dispose()


def test_a_backup_that_fails_leaves_no_file_behind(store: Engine, tmp_path: Path) -> None:
    insert_batch(store, [opaque(START)])
    with pytest.raises(StoreError, match="cannot be made: No such file or directory"):
        backup(sqlite_path(store), tmp_path / "missing" / "copy.sqlite")

    def interrupted(_remaining: int, _total: int) -> None:
        raise KeyboardInterrupt

    target = tmp_path / "copy.sqlite"
    with pytest.raises(KeyboardInterrupt):
        backup(sqlite_path(store), target, interrupted)
    assert not target.exists()


def test_a_store_is_read_where_nothing_can_be_written(
    store: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert_batch(store, [opaque(START)])
    store.dispose()
    folder = tmp_path / "read-only"
    folder.mkdir()
    (folder / "audit.sqlite").write_bytes((tmp_path / "audit.sqlite").read_bytes())
    folder.chmod(0o555)
    # Root may write into that folder all the same.
    monkeypatch.setattr(os, "access", lambda path, _mode: Path(path) != folder)
    reader = open_reader(folder / "audit.sqlite")
    assert sqlite_path(reader) == folder / "audit.sqlite"
    with reading(reader) as connection:
        assert len(read_records(connection)) == 1
        assert [path.name for path in folder.iterdir()] == ["audit.sqlite"]


def test_verify_finds_sums_that_do_not_agree_with_the_records(store: Engine) -> None:
    insert_batch(store, [opaque(START), opaque(START + HOUR), opaque(START + 2 * HOUR)])
    assert verify(store) == []
    with writing(store) as connection:
        connection.execute(schema.records.delete().where(schema.records.c.at == START + HOUR))
    (fault,) = verify(store)
    assert "has 0 records and a sum of 1 call" in fault


def test_verify_names_tables_of_another_version(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    with writing(store) as connection:
        connection.exec_driver_sql("DELETE FROM alembic_version")
    assert "none of the audit's tables" in verify(store)[0]
    store.dispose()
