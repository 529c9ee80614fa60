"""If no thread can be started, nothing ends with a traceback, and a message says so."""

from __future__ import annotations

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
from kmstwist.system.threads import PatientThread, Threads
from tests.reactors import reactor
from tests.waiting import PATIENCE


@pytest.fixture
def no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with a limit of processes that is reached."""

    def start(_thread: PatientThread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(PatientThread, "start", start)


def test_a_pool_ends_even_if_none_of_its_threads_could_be_started(no_room: None) -> None:
    pool = Threads(minthreads=0, maxthreads=1)
    pool.start()
    with pytest.raises(RuntimeError, match="can't start"):
        pool.callInThread(list)
    assert pool.threads
    pool.stop()


def test_a_server_does_not_start_without_a_thread_for_its_audit(no_room: None, tmp_path: Path) -> None:
    audit = AuditService(AuditSettings(store=str(tmp_path / "audit.sqlite")), reactor)
    with pytest.raises(StartupError, match="the audit cannot start: can't start new thread; have the system allow"):
        audit.startService()


def test_a_process_ends_even_if_a_pool_was_never_stopped() -> None:
    # As when another part of the server fails while it starts or stops.
    program = (
        "from kmstwist.system.threads import Threads; pool = Threads(1, 1, 'left'); pool.start(); raise SystemExit(7)"
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
