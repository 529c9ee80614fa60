"""If no thread can be started, nothing ends with a traceback, and a message says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from kmstwist.audit.plain.settings import AuditSettings
from kmstwist.audit.service import AuditService
from kmstwist.startup import StartupError
from kmstwist.system.threads import PatientThread, Threads
from tests.reactors import reactor


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
