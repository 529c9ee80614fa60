"""The process that commits batches while many come: what it stores, and what becomes of the rest."""

from __future__ import annotations

import marshal
import os
import signal
import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy.exc import DBAPIError

from kmstwist.audit.aside import committer, process
from kmstwist.audit.aside.committer import LARGE, MANY, STAYS, Aside
from kmstwist.audit.records import Record
from kmstwist.audit.storage import Storage, StoreLost
from kmstwist.audit.store import is_data_fault
from kmstwist.audit.storefile import StoreFile
from kmstwist.audit.upkeep.verify import verify
from kmstwist.logevents import AUDIT_ASIDE_ENDED
from tests.audit.making import START, opaque
from tests.audit.test_storage import copy_over, count, cut, delete, move, replace


class Busy:
    """A store to which as many records come as have the process started."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "audit.sqlite"
        self.storage = Storage(str(self.path), 0.05, lambda _engine: None)
        self.storage.open()
        self.stored = 0

    @property
    def aside(self) -> Aside:
        return self.storage.aside

    def batch(self, number: int = LARGE) -> list[Record]:
        self.stored += number
        return [opaque(START + self.stored + at) for at in range(number)]

    def store(self, batch: list[Record] | None = None) -> int:
        """Have a batch stored as the server has."""
        return self.storage.prepared(self.batch() if batch is None else batch)()

    def until_there(self) -> int:
        """Store batches until the process does; its pid."""
        while not self.aside.committed:
            self.store()
        assert self.aside.pid is not None
        return self.aside.pid


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[Busy]:
    busy = Busy(tmp_path)
    yield busy
    busy.storage.close()


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_batches_are_stored_by_the_process_as_by_the_thread_and_it_goes_when_few_come(busy: Busy) -> None:
    for _ in range(MANY - 1):
        busy.store()
    busy.storage.keep()
    busy.store()
    assert busy.aside.pid is None, "no more than a few large batches in one second"
    pid = busy.until_there()
    for number in (1, LARGE, 200):
        assert busy.store(busy.batch(number)) == number
    assert count(busy.path) == busy.stored
    assert busy.storage.engine is not None
    assert verify(busy.storage.engine) == []
    for _ in range(STAYS - 1):
        busy.storage.keep()
    assert busy.aside.pid == pid
    busy.storage.keep()
    assert busy.aside.pid is None
    assert not alive(pid)


def test_the_store_is_one_file_again_once_it_is_closed(busy: Busy) -> None:
    pid = busy.until_there()
    busy.storage.close()
    assert not alive(pid)
    assert sorted(each.name for each in busy.path.parent.iterdir()) == ["audit.sqlite", "audit.sqlite.lock"]
    assert count(busy.path) == busy.stored


def test_what_is_on_its_way_when_the_process_is_killed_is_stored_once_all_the_same(busy: Busy, told: list[str]) -> None:
    os.kill(busy.until_there(), signal.SIGKILL)
    assert busy.store() == LARGE
    assert AUDIT_ASIDE_ENDED.name in told
    assert count(busy.path) == busy.stored
    for _ in range(MANY):
        busy.store()
    assert busy.aside.pid is None, "the next one is a minute away"
    for _ in range(STAYS):
        busy.storage.keep()
    busy.aside.committed = 0
    busy.until_there()
    assert count(busy.path) == busy.stored


def test_a_process_that_hangs_is_killed_and_its_batch_is_stored_once_all_the_same(
    busy: Busy, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = busy.until_there()
    monkeypatch.setattr(committer, "HANGS", 0.2)
    os.kill(pid, signal.SIGSTOP)
    assert busy.store() == LARGE
    assert not alive(pid)
    assert AUDIT_ASIDE_ENDED.name in told
    assert count(busy.path) == busy.stored


def test_a_signal_to_the_whole_service_leaves_the_process_to_store_what_is_left(busy: Busy) -> None:
    pid = busy.until_there()
    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(pid, each)
    before = busy.aside.committed
    busy.store()
    assert busy.aside.committed == before + 1
    assert count(busy.path) == busy.stored


def test_a_batch_with_a_record_that_no_store_can_hold_is_refused_whole_and_says_why(busy: Busy) -> None:
    busy.until_there()
    before = count(busy.path)
    broken = opaque(START)
    broken.detail = "\ud800"
    with pytest.raises(Exception, match="surrogates not allowed") as raised:
        busy.store([*busy.batch(), broken])
    assert is_data_fault(raised.value)
    assert count(busy.path) == before
    assert busy.store() == LARGE


def test_the_process_looks_at_the_file_again_after_the_commit(busy: Busy, monkeypatch: pytest.MonkeyPatch) -> None:
    file = StoreFile(busy.path)
    identity = file.identity
    file.close()
    # At its start, before the batch, and after it.
    looks = iter([None, None, "was deleted or moved away"])
    monkeypatch.setattr(StoreFile, "fault", lambda _: next(looks))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(marshal.dumps([]))
        ours.shutdown(socket.SHUT_WR)
        process.serve(theirs, busy.path, identity, 1.0)
        assert ours.recv(2) == process.READY + process.LOST


def test_a_lock_that_another_process_holds_is_reported_and_the_batch_is_stored_later(busy: Busy) -> None:
    busy.until_there()
    batch = busy.batch()
    with closing(sqlite3.connect(busy.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DBAPIError, match="locked"):
            busy.store(batch)
    assert busy.storage.insert(batch, again=True) == LARGE
    assert count(busy.path) == busy.stored


@pytest.mark.parametrize("harm", [delete, move, cut, copy_over, replace])
def test_the_process_takes_nothing_for_stored_in_a_file_that_is_not_the_store_any_more(
    busy: Busy, harm: Callable[[Path], None]
) -> None:
    pid = busy.until_there()
    with busy.storage.engine.connect() as connection:  # type: ignore[union-attr]
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    busy.store()
    before = busy.stored
    harm(busy.path)
    with pytest.raises(StoreLost, match=r"audit\.sqlite was "):
        busy.store()
    assert not alive(pid)
    if harm is move:
        assert count(busy.path.with_name("moved.sqlite")) == before
