"""A thread that does one piece of work after the other; what happens if no thread can be started."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from pytest_twisted import ensureDeferred

from kmstwist.audit.plain.settings import AuditSettings
from kmstwist.audit.service import AuditService
from kmstwist.audit.storage import Storage
from kmstwist.startup import StartupError
from kmstwist.system.threads import OneThread, PatientThread, in_own_thread
from tests.reactors import reactor
from tests.waiting import PATIENCE


@pytest.fixture
def no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when the limit of processes is reached."""

    def start(_thread: PatientThread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(PatientThread, "start", start)


def test_a_thread_that_could_not_be_started_can_be_stopped(no_room: None) -> None:
    one = OneThread("none", reactor)
    with pytest.raises(RuntimeError, match="can't start"):
        one.start()
    one.stop()


@ensureDeferred
async def test_one_thread_does_the_work_in_order_and_reports_each_result() -> None:
    one, order = OneThread("own", reactor), list[tuple[int, str]]()

    def work(number: int) -> int:
        order.append((number, threading.current_thread().name))
        if number == 2:
            raise OSError("the disk is gone")
        return 10 * number

    # Work given before the thread starts waits for it.
    first = one.run(work, 1)
    one.start()
    second, third = one.run(work, 2), one.run(work, 3)
    assert await first == 10
    with pytest.raises(OSError, match="the disk is gone"):
        await second
    assert await third == 30
    assert order == [(1, "own"), (2, "own"), (3, "own")]
    one.stop()


@ensureDeferred
async def test_stopping_waits_for_what_was_given_and_a_later_start_does_the_rest() -> None:
    one, done = OneThread("own", reactor), list[int]()
    one.start()
    for number in range(100):
        one.run(done.append, number)
    one.stop()
    assert done == list(range(100))
    later = one.run(len, done)
    assert [each for each in threading.enumerate() if each.name == "own"] == []
    one.start()
    assert await later == 100
    one.stop()


@ensureDeferred
async def test_work_in_the_thread_leaves_nothing_for_the_garbage_collector() -> None:
    one = OneThread("own", reactor)
    one.start()
    await one.run(int)
    gc.collect()
    gc.disable()
    try:
        for _ in range(50):
            await one.run(int)
        assert gc.collect() < 50
    finally:
        gc.enable()
        one.stop()


@ensureDeferred
async def test_nor_does_work_in_threads_of_their_own() -> None:
    assert await in_own_thread(divmod, 7, 2) == (3, 1)
    gc.collect()
    gc.disable()
    try:
        for _ in range(50):
            await in_own_thread(int)
        assert gc.collect() < 50
    finally:
        gc.enable()


@ensureDeferred
async def test_an_error_in_a_thread_of_its_own_is_the_result_s() -> None:
    with pytest.raises(ZeroDivisionError):
        await in_own_thread(divmod, 7, 0)


def test_work_that_no_thread_can_be_started_for_is_refused(no_room: None) -> None:
    with pytest.raises(RuntimeError, match="can't start new thread"):
        in_own_thread(int)


def test_a_server_does_not_start_without_a_thread_for_its_audit(no_room: None, tmp_path: Path) -> None:
    audit = AuditService(AuditSettings(store=str(tmp_path / "audit.sqlite")), reactor)
    with pytest.raises(StartupError, match="the audit cannot start: can't start new thread; have the system allow"):
        audit.startService()


def test_a_process_ends_even_if_a_thread_was_never_stopped() -> None:
    # As when another part of the server fails while it starts or stops.
    program = (
        "from twisted.internet import reactor; from kmstwist.system.threads import OneThread;"
        "OneThread('left', reactor).start(); raise SystemExit(7)"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=PATIENCE, check=False).returncode == 7


@ensureDeferred
async def test_the_audit_s_thread_ends_even_if_its_store_cannot_be_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit = AuditService(AuditSettings(store=str(tmp_path / "audit.sqlite")), reactor)
    audit.startService()

    def close(_storage: Storage) -> None:
        raise OSError("the disk is gone")

    with monkeypatch.context() as patched:
        patched.setattr(Storage, "close", close)
        with pytest.raises(OSError, match="the disk is gone"):
            await audit.stopService()
    assert [thread for thread in threading.enumerate() if "audit-write" in thread.name] == []
