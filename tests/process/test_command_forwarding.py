"""Commands for workers, some of them still starting: each worker gets the commands in order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from kmstwist.process.control_client import CommandError, NoAnswer, NobodyThere
from kmstwist.process.workers.command_forwarding import PassingOn


class Worker:
    """One worker, and the commands that it was told."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.pid: int | None = number
        self.told: list[str] = []
        self.requests: list[dict[str, Any]] = []
        self.fault: CommandError | None = None


class Scene:
    """Two workers behind their sockets."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.workers = {Path(name): Worker(number) for number, name in ((1, "a"), (2, "b"))}
        self.running = True
        #: Answers that are still under way.
        self.under_way: list[Deferred[dict[str, Any]]] = []
        self.hangs = False
        self.passing_on = PassingOn(
            list(self.workers.values()),
            lambda worker: next(path for path, one in self.workers.items() if one is worker),
            lambda number, pid, answer: answer,
            lambda: self.running,
            self.clock,
            in_thread=self._ask,
        )

    def _ask(self, _ask: object, *given: Any) -> Deferred[Any]:
        path, request, _timeout = given
        worker = self.workers[path]
        if worker.fault is not None:
            return fail(worker.fault)
        worker.told.append(request["command"])
        worker.requests.append(request)
        if self.hangs and worker.number == 2:
            self.under_way.append(Deferred())
            return self.under_way[-1]
        return succeed({"activations": 1})

    def command(self, name: str, **more: Any) -> list[dict[str, Any] | str]:
        """Give a command; its result is put into the list."""
        heard: list[dict[str, Any] | str] = []
        answer = self.passing_on.pass_on({"command": name, **more})
        answer.addCallbacks(heard.append, lambda failure: heard.append(failure.getErrorMessage()))
        return heard


ABSENT = NobodyThere("nobody")
LATER = "worker 2 does not answer yet; the others have done it, and this one will when it has started; the log says why"


def test_a_worker_that_is_started_within_two_seconds_is_waited_for() -> None:
    scene = Scene()
    second = scene.workers[Path("b")]
    second.fault = ABSENT
    heard = scene.command("drain")
    scene.clock.pump([0.2] * 5)
    assert heard == []
    second.fault = None
    scene.clock.pump([0.2])
    assert heard == [{"activations": 2}]
    assert second.told == ["drain"]
    assert scene.clock.getDelayedCalls() == []


def test_the_latest_switch_applies_to_a_starting_worker() -> None:
    scene = Scene()
    first, second = scene.workers.values()
    second.fault = ABSENT
    drained, undrained = scene.command("drain"), scene.command("undrain")
    scene.clock.pump([0.2] * 11)
    # Nobody waits for it longer than that, and both are told it later.
    assert (drained, undrained) == ([LATER], [LATER])
    assert first.told == ["drain", "undrain"]
    second.fault = None
    paused = scene.command("pause")
    scene.clock.pump([0.2])
    assert paused == [{"activations": 2}]
    assert second.told == ["drain", "undrain", "pause"]
    assert scene.clock.getDelayedCalls() == []


def test_a_question_does_not_wait_for_commands() -> None:
    scene = Scene()
    second = scene.workers[Path("b")]
    scene.hangs = True
    scene.command("drain")
    scene.hangs = False
    assert scene.command("status") == [{"activations": 2}]
    assert second.told == ["drain", "status"]


def test_one_worker_s_answer_is_passed_on_with_the_other_s_silence() -> None:
    scene = Scene()
    scene.workers[Path("b")].fault = ABSENT
    heard = scene.command("status")
    scene.clock.pump([0.2] * 11)
    assert heard == [{"activations": 1, "silent": "worker 2 does not answer yet; the log says why"}]
    assert scene.clock.getDelayedCalls() == []


def test_a_command_behind_one_that_a_hanging_worker_does_not_answer_waits_no_longer_than_that_one() -> None:
    scene = Scene()
    second = scene.workers[Path("b")]
    scene.hangs = True
    silent = "worker 2 gave no answer within 2 s; it is replaced if it hangs"
    drained = scene.command("drain")
    scene.clock.advance(1.5)
    undrained = scene.command("undrain")
    scene.under_way[0].errback(NoAnswer("silence"))
    assert drained == [silent]
    assert second.told == ["drain", "undrain"]
    scene.clock.advance(2)
    assert undrained == [silent]
    # Its answer does come, when nobody waits for it now.
    scene.under_way[1].callback({"activations": 1})
    assert undrained == [silent]
    assert scene.clock.getDelayedCalls() == []


def test_a_worker_that_is_no_longer_replaced_is_not_asked_again() -> None:
    scene = Scene()
    scene.running = False
    scene.workers[Path("b")].fault = ABSENT
    assert scene.command("drain") == [LATER]
    assert scene.clock.getDelayedCalls() == []


def test_a_worker_s_successor_gets_the_waiting_commands_then_the_last_of_each_kind() -> None:
    scene = Scene()
    second = scene.workers[Path("b")]
    for command, upstream in (("drain", "kms1"), ("drain", "kms2"), ("undrain", "kms1")):
        scene.command(command, upstream=upstream)
    scene.command("pause")
    second.fault = ABSENT
    scene.command("resume")
    scene.clock.pump([0.2] * 5)
    second.requests.clear()
    scene.passing_on.started(second)
    scene.passing_on.started(second)
    second.fault = None
    scene.clock.pump([0.2])
    assert second.requests == [
        {"command": "resume"},
        {"command": "undrain", "upstream": "kms1"},
        {"command": "drain", "upstream": "kms2"},
        {"command": "resume"},
    ]
    assert scene.workers[Path("a")].told == ["drain", "drain", "undrain", "pause", "resume"]


def test_a_refused_command_is_not_sent_again() -> None:
    scene = Scene()
    first, second = scene.workers.values()
    first.fault = second.fault = CommandError("no upstream is named so")
    scene.command("drain", upstream="kms9")
    first.fault = second.fault = None
    scene.passing_on.started(second)
    assert second.requests == []


def test_a_pause_announced_to_a_starting_worker_comes_at_its_time() -> None:
    scene = Scene()
    second = scene.workers[Path("b")]
    scene.command("pause", after=30.0)
    for seconds, left in ((10.0, 20.0), (40.0, 0.0)):
        scene.clock.advance(seconds)
        scene.passing_on.started(second)
        assert second.requests[-1] == {"command": "pause", "after": left}


def test_a_worker_that_gave_no_answer_gets_the_last_command_of_each_kind_again() -> None:
    scene = Scene()
    second = scene.workers[Path("b")]
    second.fault = NoAnswer("silent")
    scene.command("drain", upstream="kms1")
    second.fault = None
    scene.clock.advance(2)
    assert [request["command"] for request in second.requests] == ["drain"]
