"""Damage that somebody else writes into a store, or into its log, while a server has it open."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from kmstwist.audit.plain.faults import StoreUnavailable
from kmstwist.audit.storage import OTHERS_NOTICE, Storage, StoreLost
from kmstwist.audit.upkeep import integrity
from kmstwist.audit.upkeep.integrity import Inside
from kmstwist.audit.upkeep.verify import verify
from tests.audit.making import DAY, START, opaque
from tests.audit.test_storage import count


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    storage = Storage(str(tmp_path / "audit.sqlite"), 0.05, lambda _engine: None)
    storage.open()
    storage.insert([opaque(START + at) for at in range(2000)])
    with storage.engine.connect() as connection:  # type: ignore[union-attr]
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    storage.insert([opaque(START + DAY + at) for at in range(20)])
    storage.keep()
    yield storage
    storage.close()


def look(storage: Storage, times: int = 4) -> None:
    """As the server does once a second; each examination has ended by the next look."""
    for _ in range(times):
        storage.keep()
        wait_for_examination(storage)


def wait_for_examination(storage: Storage) -> None:
    examination = storage._inside and storage._inside._examination
    if examination:
        examination.join()


def write(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def page_of_records(path: Path) -> int:
    """Where a page begins that has a record of the middle in it."""
    data = path.read_bytes()
    return data.index(b"gw1", len(data) // 2) // 4096 * 4096


@pytest.mark.parametrize("what", [b"\xff" * 4096, bytes(4096), Random(14).randbytes(4096)])
def test_a_page_that_somebody_wrote_over_is_found_and_the_policy_holds_until_it_is_moved_away(
    storage: Storage, tmp_path: Path, what: bytes
) -> None:
    path = tmp_path / "audit.sqlite"
    write(path, page_of_records(path), what)
    with pytest.raises(StoreUnavailable, match=r"audit\.sqlite is damaged: .*; move it away") as caught:
        look(storage)
    assert not isinstance(caught.value, StoreLost)
    with pytest.raises(StoreUnavailable, match="is damaged"):
        storage.insert([opaque(START + 2 * DAY)])
    path.rename(tmp_path / "damaged.sqlite")
    assert storage.keep()
    assert storage.insert([opaque(START + 2 * DAY)]) == 1
    # The log's contents remain in the damaged file, for anyone who can read it.
    assert not (tmp_path / "audit.sqlite-wal.lost").exists()


def test_a_page_that_was_written_over_is_found_while_records_come(storage: Storage, tmp_path: Path) -> None:
    path = tmp_path / "audit.sqlite"
    write(path, page_of_records(path), bytes(4096))
    storage.insert([opaque(START + 2 * DAY)])
    storage.keep()
    wait_for_examination(storage)
    with pytest.raises(StoreUnavailable, match="is damaged"):
        storage.keep()


def test_an_overwritten_log_is_not_saved_into_the_store(storage: Storage, tmp_path: Path) -> None:
    log = tmp_path / "audit.sqlite-wal"
    for frame in range((log.stat().st_size - 32) // 4120):
        write(log, 32 + frame * 4120 + 24, Random(14).randbytes(4096))
    look(storage)
    assert storage.insert([opaque(START + 2 * DAY)]) == 1
    # The store is as it was when its log was emptied last.
    assert count(tmp_path / "audit.sqlite") == 2001
    assert (tmp_path / "audit.sqlite-wal.lost").exists()


def test_a_log_whose_order_somebody_broke_is_emptied_into_the_store(storage: Storage, tmp_path: Path) -> None:
    path, log = tmp_path / "audit.sqlite", tmp_path / "audit.sqlite-wal"
    write(log, 0, Random(14).randbytes(56))
    look(storage)
    assert log.stat().st_size == 0
    storage.insert([opaque(START + 2 * DAY)])
    assert count(path) == 2021


def test_a_truncated_log_is_found_and_what_is_whole_is_gone_on_with(storage: Storage, tmp_path: Path) -> None:
    path, log = tmp_path / "audit.sqlite", tmp_path / "audit.sqlite-wal"
    os.truncate(log, 0)
    assert storage.keep()
    assert storage.insert([opaque(START + 2 * DAY)]) == 1
    assert count(path) == 2001
    assert storage.engine is not None
    assert verify(storage.engine) == []


def test_a_truncated_index_is_made_again_and_ends_no_process(storage: Storage, tmp_path: Path) -> None:
    os.truncate(tmp_path / "audit.sqlite-shm", 0)
    assert storage.insert([opaque(START + 2 * DAY)]) == 1
    assert count(tmp_path / "audit.sqlite") == 2021
    assert storage.engine is not None
    assert verify(storage.engine) == []


def delete(path: Path) -> None:
    path.unlink()


def replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(path.read_bytes()[: -4120 * 2])
    other.rename(path)


@pytest.mark.parametrize("which", ["audit.sqlite-wal", "audit.sqlite-shm"])
@pytest.mark.parametrize("harm", [delete, replace])
def test_a_log_or_index_that_was_removed_is_made_again_and_no_record_is_lost(
    storage: Storage, tmp_path: Path, harm: Callable[[Path], None], which: str
) -> None:
    path = tmp_path / "audit.sqlite"
    harm(tmp_path / which)
    with pytest.raises(StoreLost, match=rf"lost {which}, which was deleted, moved away or replaced"):
        storage.insert([opaque(START + 2 * DAY)])
    # Others that have the store open have time to notice it, too.
    with pytest.raises(StoreUnavailable, match="in a moment"):
        storage.insert([opaque(START + 2 * DAY)])
    for _ in range(OTHERS_NOTICE - 1):
        with pytest.raises(StoreUnavailable):
            storage.keep()
    assert storage.keep()
    assert storage.insert([opaque(START + 2 * DAY)], again=True) == 1
    assert count(path) == 2021
    assert storage.engine is not None
    assert verify(storage.engine) == []


def test_a_log_that_was_taken_away_is_not_let_go_while_somebody_reads(storage: Storage, tmp_path: Path) -> None:
    assert storage.engine is not None
    with storage.engine.connect() as reader, reader.begin():
        reader.exec_driver_sql("SELECT count(*) FROM records")
        storage.insert([opaque(START + 2 * DAY)])
        delete(tmp_path / "audit.sqlite-wal")
        with pytest.raises(StoreUnavailable, match="when nobody reads the store"):
            storage.keep()
    with pytest.raises(StoreUnavailable, match="in a moment"):
        storage.keep()
    assert count(tmp_path / "audit.sqlite") == 2021


def test_sqlite_s_own_writes_are_not_suspected(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(integrity, "_Examination", None)
    assert storage.engine is not None
    for at in range(5):
        storage.insert([opaque(START + 2 * DAY + at)])
        storage.keep()
        with storage.engine.connect() as connection:
            connection.exec_driver_sql(f"PRAGMA wal_checkpoint({'TRUNCATE' if at % 2 else 'FULL'})")
        storage.keep()
        storage.keep()


def test_unsuspected_changes_are_examined_at_leisure(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path / "audit.sqlite"), 0.05, lambda _engine: None)
    storage.open()
    now = 0.0
    watched = Inside(tmp_path / "audit.sqlite", seconds=lambda: now)
    other = Inside(tmp_path / "audit.sqlite", at_leisure=False, seconds=lambda: now)
    assert watched.look() is other.look() is None
    assert watched._examination is None
    now = 61.0
    watched.look()
    other.look()
    assert watched._examination is not None
    assert other._examination is None
    storage.close()
    watched.close()
    other.close()
