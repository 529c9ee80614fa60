"""A server that is about to stop announces it first, in virtual time."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from twisted.internet.task import Clock

from kmstwist.admission.admission import Admission
from kmstwist.admission.settings import AdmissionSettings
from kmstwist.findings import Health, overall
from kmstwist.process.control_client import CommandError
from kmstwist.server import commands as commands_module
from kmstwist.server.commands import Commands
from kmstwist.server.parts import LameDuck
from kmstwist.server.switches import SwitchesFile
from kmstwist.telemetry.counters import Snapshot
from kmstwist.telemetry.server_health import judge


def commands() -> tuple[Clock, Admission, Commands]:
    clock = Clock()
    admission = Admission(AdmissionSettings(), clock, connections=10)
    nobody = cast(Any, None)
    return clock, admission, Commands(nobody, admission, None, nobody, clock)


@pytest.mark.parametrize("after", ["10", [10], None])
def test_a_pause_after_something_that_is_not_a_number_is_refused(after: object) -> None:
    clock, admission, does = commands()
    with pytest.raises(CommandError, match="must be a number of seconds"):
        does.pause({"after": after})
    assert not admission.paused
    assert clock.getDelayedCalls() == []


def test_a_delayed_pause_is_announced_at_once_and_comes_on_time() -> None:
    clock, admission, does = commands()
    assert does.pause({"after": 10}) == {"paused": False, "not_kept": ""}
    assert (admission.leaving, admission.paused) == (True, False)
    clock.advance(9.9)
    assert not admission.paused
    clock.advance(0.2)
    assert (admission.leaving, admission.paused) == (False, True)


def test_a_resume_cancels_a_pending_pause() -> None:
    clock, admission, does = commands()
    does.pause({"after": 10})
    does.resume({})
    clock.advance(20)
    assert (admission.leaving, admission.paused) == (False, False)


def test_a_second_pause_counts_in_place_of_the_first() -> None:
    clock, admission, does = commands()
    does.pause({"after": 10})
    does.pause({"after": 30})
    clock.advance(20)
    assert not admission.paused
    does.pause({})
    assert admission.paused
    assert not clock.getDelayedCalls()


def test_a_paused_server_stays_paused() -> None:
    _, admission, does = commands()
    does.pause({})
    assert does.pause({"after": 10})["paused"] is True
    assert (admission.leaving, admission.paused) == (False, True)


@pytest.mark.parametrize(("away", "remaining"), [(4, 6.0), (10, 0.0), (-7200, 3600.0)])
def test_a_pending_pause_is_taken_over_by_a_process_that_starts_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, away: int, remaining: float
) -> None:
    """A worker that replaces a dead one, or the server after a restart; also with a clock that was set back."""
    moment = 1_700_000_000.0
    monkeypatch.setattr(commands_module, "now", lambda: moment)
    _, _, first = commands()
    first.keep_switches(SwitchesFile(tmp_path, 1688))
    first.pause({"after": 10})
    moment += away
    clock, admission, does = commands()
    does.keep_switches(SwitchesFile(tmp_path, 1688))
    assert (admission.leaving, admission.paused) == (remaining > 0, remaining == 0)
    clock.advance(remaining - 0.1)
    assert admission.paused is (remaining == 0)
    clock.advance(0.2)
    assert (admission.leaving, admission.paused) == (False, True)
    _, resumed, after_resume = commands()
    does.resume({})
    after_resume.keep_switches(SwitchesFile(tmp_path, 1688))
    assert (resumed.leaving, resumed.paused) == (False, False)


def test_a_server_that_is_about_to_go_is_not_ready() -> None:
    assert overall(judge(Snapshot("lab", 0.0, leaving=True))) is Health.DOWN


def test_a_stop_waits_its_seconds_after_it_has_said_that_it_goes() -> None:
    clock, said = Clock(), list[str]()
    duck = LameDuck(10.0, lambda: said.append("leaving"), clock)
    duck.startService()
    stopped = duck.stopService()
    assert said == ["leaving"]
    assert stopped is not None
    clock.advance(9)
    assert not stopped.called
    clock.advance(1)
    assert stopped.called


def test_without_clients_to_wait_for_it_stops_at_once() -> None:
    said = list[str]()
    assert LameDuck(0, lambda: said.append("leaving"), Clock()).stopService() is None
    assert said == []
