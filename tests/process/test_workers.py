"""Workers that cannot be started: by the user that the server becomes, or for now."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.testing import MemoryReactorClock

from kmstwist.process.options import Options
from kmstwist.process.workers.startable import refuse_python_out_of_reach
from kmstwist.process.workers.supervisor import Supervisor
from kmstwist.startup import StartupError
from kmstwist.system.privileges import identity_of
from tests.logs import logger


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, which becomes another user")
def test_a_python_that_the_servers_user_cannot_read_is_reported_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "root"
    home.mkdir(mode=0o700)
    (home / "python").touch(0o755)
    (tmp_path / "python").symlink_to(home / "python")
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_mode & 0o007 == 0:
            folder.chmod(0o711)
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    nobody = identity_of(65534, otherwise=65534)
    with pytest.raises(
        StartupError, match=r"no worker could start as \w+, which has no access to .*root/python; install"
    ):
        refuse_python_out_of_reach(nobody)
    # Root has access, and so does a user who may read all of them.
    refuse_python_out_of_reach(None)
    home.chmod(0o711)
    for module in ("os", "twisted", "kmstwist"):
        monkeypatch.setattr(f"{module}.__file__", str(home / "python"))
    refuse_python_out_of_reach(nobody)


class Spawning(MemoryReactorClock):
    """Refuses this many processes, as a system without room does."""

    refused = 3

    def spawnProcess(self, *_arguments: Any, **_options: Any) -> SimpleNamespace:
        if self.refused:
            self.refused -= 1
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        return SimpleNamespace(pid=4711)


def test_a_worker_without_room_is_tried_again_and_again(tmp_path: Path) -> None:
    said: list[tuple[str, dict[str, Any]]] = []
    options = Options()
    options.parseOptions(["--workers=2", "--upstream=127.0.0.1:1", f"--state-dir={tmp_path}"])
    reactor: Any = Spawning()
    log = logger(lambda event: said.append((event["kms_event"], event["kms_fields"])))
    supervisor = Supervisor([], options, tmp_path, reactor, log)
    supervisor.startService()
    for worker in supervisor.workers:
        supervisor._start(worker)
    reactor.pump([0.5] * 4)
    assert [(event, fields["worker"], fields.get("again_s")) for event, fields in said] == [
        ("worker-not-started", 1, 0.5),
        ("worker-not-started", 2, 0.5),
        ("worker-not-started", 1, 1.0),
        ("worker-started", 2, None),
        ("worker-started", 1, None),
    ]
    assert said[0][1]["detail"] == "Resource temporarily unavailable"
