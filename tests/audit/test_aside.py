"""The process that commits batches while many records come: what it stores, and what happens to the rest."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import pytest
import pytest_twisted
from sqlalchemy.exc import DBAPIError
from twisted.internet.task import deferLater

from kmstwist.audit import service
from kmstwist.audit.aside import access, process
from kmstwist.audit.aside.access import MANY, STAYS
from kmstwist.audit.plain.settings import AuditSettings
from kmstwist.audit.rows import values_of
from kmstwist.audit.storage import StoreLost
from kmstwist.audit.store import is_data_fault
from kmstwist.audit.storefile import StoreFile
from kmstwist.audit.upkeep.verify import verify
from kmstwist.logevents import AUDIT_ASIDE_ENDED
from tests.audit.busy import BATCH, Busy
from tests.audit.making import START, opaque, recorded
from tests.audit.test_storage import copy_over, count, cut, delete, move, replace
from tests.reactors import reactor


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


@pytest_twisted.ensureDeferred
async def test_batches_are_stored_by_the_process_as_by_the_thread_and_it_goes_when_few_come(busy: Busy) -> None:
    await busy.store(busy.batch(MANY - 1))
    busy.access.tick()
    await busy.store(busy.batch(1))
    assert busy.access.pid is None, "no more than a few records in one second"
    pid = await busy.until_there()
    for number in (1, BATCH, 200):
        before = busy.access.stored_aside
        await busy.store(busy.batch(number))
        assert busy.access.stored_aside == before + number
    assert count(busy.path) == busy.stored
    assert busy.storage.engine is not None
    assert verify(busy.storage.engine) == []
    busy.access.tick()
    for _ in range(STAYS - 1):
        busy.access.tick()
    assert busy.access.pid == pid
    busy.access.tick()
    await busy.until_gone()
    assert not alive(pid)
    await busy.store()
    assert count(busy.path) == busy.stored


@pytest_twisted.ensureDeferred
async def test_the_store_is_one_file_again_once_it_is_closed(busy: Busy) -> None:
    pid = await busy.until_there()
    await busy.close()
    assert not alive(pid)
    assert sorted(each.name for each in busy.path.parent.iterdir()) == ["audit.sqlite", "audit.sqlite.lock"]
    assert count(busy.path) == busy.stored


@pytest.mark.parametrize("aside", [False, True])
@pytest_twisted.ensureDeferred
async def test_a_log_that_grew_while_somebody_read_is_cut_back_when_they_have_read(busy: Busy, aside: bool) -> None:
    if aside:
        await busy.until_there()
    else:
        await busy.store()
    log, limit = busy.path.with_name("audit.sqlite-wal"), 32 << 20
    with closing(sqlite3.connect(busy.path, isolation_level=None)) as other:
        other.execute("BEGIN")
        assert other.execute("SELECT count(*) FROM records").fetchone() == (busy.stored,)
        with closing(sqlite3.connect(busy.path)) as third:
            third.execute("CREATE TABLE filling AS SELECT zeroblob(?) AS bytes", (limit,))
            third.commit()
        await busy.store()
        assert log.stat().st_size > limit
        assert not busy.storage.keep()
        other.execute("COMMIT")
        before = busy.access.stored_aside
        # The first empties it into the store; the second begins it anew.
        await busy.store()
        await busy.store()
        assert (busy.access.stored_aside > before) is aside
        assert log.stat().st_size <= limit
        assert not busy.storage.keep()
    await busy.close()
    assert count(busy.path) == busy.stored


@pytest_twisted.ensureDeferred
async def test_what_is_on_its_way_when_the_process_is_killed_is_stored_once_all_the_same(
    busy: Busy, told: list[str]
) -> None:
    os.kill(await busy.until_there(), signal.SIGKILL)
    await busy.store()
    await busy.until_gone()
    await busy.store()
    assert told.count(AUDIT_ASIDE_ENDED.name) == 1
    assert count(busy.path) == busy.stored
    await busy.store(busy.batch(MANY))
    busy.access.tick()
    await busy.store()
    assert busy.access.pid is None, "the next one is a minute away"
    for _ in range(STAYS):
        busy.access.tick()
    await busy.until_there()
    assert count(busy.path) == busy.stored


@pytest_twisted.ensureDeferred
async def test_a_process_that_hangs_is_killed_and_its_batch_is_stored_once_all_the_same(
    busy: Busy, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = await busy.until_there()
    monkeypatch.setattr(access, "HANGS", -0.05)
    os.kill(pid, signal.SIGSTOP)
    stored = busy.committed(busy.batch())
    busy.access.end_hung()
    await stored
    assert not alive(pid)
    assert AUDIT_ASIDE_ENDED.name in told
    assert count(busy.path) == busy.stored


@pytest_twisted.ensureDeferred
async def test_a_process_that_hangs_before_it_is_ready_is_killed(
    busy: Busy, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    await busy.store(busy.batch(MANY))
    busy.access.tick()
    while busy.access.pid is None:
        await deferLater(reactor, 0)
    os.kill(busy.access.pid, signal.SIGSTOP)
    await busy.store()
    monkeypatch.setattr(access, "HANGS", -0.05)
    busy.access.end_hung()
    await busy.until_gone()
    assert told == [AUDIT_ASIDE_ENDED.name]
    assert count(busy.path) == busy.stored


@pytest_twisted.ensureDeferred
async def test_a_signal_to_the_whole_service_leaves_the_process_to_store_what_is_left(busy: Busy) -> None:
    pid = await busy.until_there()
    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(pid, each)
    before = busy.access.stored_aside
    await busy.store()
    assert busy.access.stored_aside == before + BATCH
    assert count(busy.path) == busy.stored


@pytest_twisted.ensureDeferred
async def test_a_batch_with_a_record_that_no_store_can_hold_is_refused_whole_and_says_why(busy: Busy) -> None:
    await busy.until_there()
    before = count(busy.path)
    broken = opaque(START)
    broken.detail = "\ud800"
    with pytest.raises(Exception, match="surrogates not allowed") as raised:
        await busy.store([*busy.batch(), broken])
    assert is_data_fault(raised.value)
    assert count(busy.path) == before
    await busy.store()
    assert count(busy.path) == before + BATCH


def test_the_process_looks_at_the_file_again_after_the_commit(busy: Busy, monkeypatch: pytest.MonkeyPatch) -> None:
    file = StoreFile(busy.path)
    identity = file.identity
    file.close()
    # At its start, before the batch, and after it.
    looks = iter([None, None, "was deleted or moved away"])
    with monkeypatch.context() as patched:
        patched.setattr(StoreFile, "fault", lambda _: next(looks))
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.sendall(access.message([]))
            ours.shutdown(socket.SHUT_WR)
            process.serve(theirs, busy.path, identity, 1.0)
            assert ours.recv(2) == process.READY + process.LOST


def test_of_a_batch_that_did_not_come_whole_nothing_is_stored(busy: Busy) -> None:
    file = StoreFile(busy.path)
    identity = file.identity
    file.close()
    whole, cut = busy.batch(2), busy.batch(2)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(access.message(list(map(values_of, whole))))
        ours.sendall(access.message(list(map(values_of, cut)))[:-1])
        ours.shutdown(socket.SHUT_WR)
        process.serve(theirs, busy.path, identity, 1.0)
        assert ours.recv(3) == process.READY + process.STORED
    assert count(busy.path) == len(whole)


@pytest_twisted.ensureDeferred
async def test_a_lock_that_another_process_holds_is_reported_and_the_batch_is_stored_later(busy: Busy) -> None:
    await busy.until_there()
    batch = busy.batch()
    with closing(sqlite3.connect(busy.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DBAPIError, match="locked"):
            await busy.store(batch)
    assert await busy.access.run(partial(busy.storage.insert, batch, again=True)) == BATCH
    assert count(busy.path) == busy.stored


@contextmanager
def turn_of_another(path: Path) -> Iterator[int]:
    """Have the turn, as another worker's process; its descriptor."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def waits_for_a_turn(pid: int) -> bool:
    """Whether the kernel says so: `1: -> FLOCK ADVISORY WRITE 123 ...`."""
    locks = map(str.split, Path("/proc/locks").read_text().splitlines())
    return any(each[1:3] == ["->", "FLOCK"] and each[5] == str(pid) for each in locks)


@pytest_twisted.ensureDeferred
async def test_the_process_waits_for_its_turn_and_gives_it_back(tmp_path: Path) -> None:
    busy = Busy(tmp_path, patience=60)
    try:
        pid = await busy.until_there()
        with turn_of_another(busy.path) as descriptor:
            before = busy.access.stored_aside
            stored = busy.committed(busy.batch())
            while not waits_for_a_turn(pid):
                await deferLater(reactor, 0.01)
            assert count(busy.path) == busy.stored - BATCH
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            await stored
            assert busy.access.stored_aside == before + BATCH
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert count(busy.path) == busy.stored
    finally:
        await busy.close()
        busy.thread.stop()


@pytest_twisted.ensureDeferred
async def test_a_turn_that_another_never_gives_back_is_not_waited_for_and_the_thread_stores_the_batch(
    busy: Busy,
) -> None:
    await busy.until_there()
    before = busy.access.stored_aside
    with turn_of_another(busy.path):
        await busy.store()
    assert busy.access.stored_aside == before
    await busy.store()
    assert busy.access.stored_aside == before + BATCH
    assert count(busy.path) == busy.stored


@pytest.mark.parametrize("harm", [delete, move, cut, copy_over, replace])
@pytest_twisted.ensureDeferred
async def test_the_process_takes_nothing_for_stored_in_a_file_that_is_not_the_store_any_more(
    busy: Busy, harm: Callable[[Path], None]
) -> None:
    pid = await busy.until_there()
    with busy.storage.engine.connect() as connection:  # type: ignore[union-attr]
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    await busy.store()
    before = busy.stored
    harm(busy.path)
    with pytest.raises(StoreLost, match=r"audit\.sqlite was "):
        await busy.store()
    assert not alive(pid)
    if harm is move:
        assert count(busy.path.with_name("moved.sqlite")) == before


@pytest_twisted.ensureDeferred
async def test_a_process_that_cannot_be_started_is_reported_and_the_thread_goes_on(
    busy: Busy, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("kmstwist.audit.storage.Committer", full)
    await busy.store(busy.batch(MANY))
    busy.access.tick()
    await busy.store()
    assert busy.access.pid is None
    assert told == [AUDIT_ASIDE_ENDED.name]
    assert count(busy.path) == busy.stored


@pytest_twisted.ensureDeferred
async def test_a_server_whose_process_hangs_ends_it_although_its_own_look_at_the_store_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "WATCH_EVERY", 0.02)
    monkeypatch.setattr(access, "MANY", 1)
    monkeypatch.setattr(access, "HANGS", 0.2)
    audit = service.AuditService(AuditSettings(store=str(tmp_path / "a.sqlite"), busy_timeout=0.1), reactor)
    audit.startService()
    number = 0
    while audit._access is None or not audit._access.stored_aside:
        await recorded(audit, opaque(START + number))
        number += 1
    pid = audit._access.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    waiting = recorded(audit, opaque(START + number))
    # Within which it looks at the store.
    await deferLater(reactor, 0.05)
    await waiting
    assert not alive(pid)
    await audit.stopService()
    assert count(tmp_path / "a.sqlite") == number + 1
