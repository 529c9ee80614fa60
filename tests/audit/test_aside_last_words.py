"""What the process aside says when it ends is told in the server's log, and nowhere else."""

from __future__ import annotations

import os
import re
import select
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet.task import deferLater
from twisted.logger import capturedLogs

from kmstwist.audit.aside import access, process
from kmstwist.audit.aside.access import MANY
from kmstwist.audit.aside.committer import Committer
from kmstwist.audit.rows import values_of
from kmstwist.logevents import AUDIT_ASIDE_ENDED
from tests.audit.busy import Busy
from tests.reactors import reactor
from tests.waiting import PATIENCE


@pytest_twisted.ensureDeferred
async def test_why_the_process_ended_is_in_the_log_and_nothing_beside_it(
    busy: Busy, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def elsewhere(path: Path, identity: tuple[int, int], patience: float) -> Committer:
        return Committer(path.with_name("none.sqlite"), identity, patience)

    monkeypatch.setattr("kmstwist.audit.storage.Committer", elsewhere)
    with capturedLogs() as events:
        await busy.store(busy.batch(MANY))
        busy.access.tick()
        while AUDIT_ASIDE_ENDED.name not in (names := [event.get("kms_event") for event in events]):
            await deferLater(reactor, 0.01)
    said = events[names.index(AUDIT_ASIDE_ENDED.name)]["kms_fields"]
    assert said["status"] == 1
    assert re.fullmatch(r"it could not use /.*none\.sqlite: .*No such file or directory.*", said["detail"])
    assert capfd.readouterr() == ("", "")


def test_a_process_whose_server_does_not_wait_for_its_answer_says_nothing(busy: Busy) -> None:
    there = os.stat(busy.path)
    committer = Committer(busy.path, (there.st_dev, there.st_ino), 1.0)
    select.select([committer.channel], [], [], PATIENCE)
    assert committer.channel.recv(1) == process.READY
    committer.channel.send(access.message([values_of(record) for record in busy.batch()]))
    committer.channel.close()
    assert committer.end() == 0
    assert committer.last_words == ""
