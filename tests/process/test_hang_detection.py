"""Workers that hang are found, whether they answered before or never could."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from kmstwist.process.control_client import CommandError, NoAnswer, NobodyThere
from kmstwist.process.workers.hang_detection import HEAR_EVERY, Hearing, Progress, progress_of
from tests.logs import logger
from tests.waiting import wait_until

NEVER = NobodyThere("nobody")
SILENT = NoAnswer("silence")


class Worker:
    """One worker, as the hang detection sees it."""

    number = 1
    started = 0.0

    def __init__(self) -> None:
        self.pid: int | None = 100
        self.failures = 0


class Scene:
    """A worker, what it answers next, and what was done to it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.worker = Worker()
        self.answer: dict[str, Any] | CommandError | RuntimeError = NEVER
        self.progress: Iterator[Progress] | Progress = ()
        self.sent: list[tuple[float, signal.Signals]] = []
        self.events: list[str] = []
        self.hearing = Hearing(
            [self.worker],
            lambda worker: Path("/nowhere"),
            lambda worker, number: self.sent.append((self.clock.seconds(), number)),
            lambda: 10.0,
            lambda worker, pid, answer: None,
            self.clock,
            logger(lambda event: self.events.append(event["kms_event"])),
            progress=self._progress,
            in_thread=self._ask,
        )
        self.hearing.start()

    def _ask(self, *_: object) -> Deferred[Any]:
        if isinstance(self.answer, RuntimeError):
            # As Twisted's pool does: at once.
            raise self.answer
        return fail(self.answer) if isinstance(self.answer, CommandError) else succeed(self.answer)

    def _progress(self, pid: int) -> Progress:
        return self.progress if isinstance(self.progress, tuple) else next(self.progress)

    def go_on(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.pump([0.5] * int(seconds * 2))


@pytest.fixture
def scene() -> Scene:
    return Scene()


def moving() -> Iterator[Progress]:
    """A process that works all the time."""
    count = 0
    while True:
        count += 1
        yield (str(count),)


def test_a_worker_is_not_blamed_if_no_thread_can_ask_it(scene: Scene) -> None:
    scene.answer = RuntimeError("can't start new thread")
    scene.go_on(10 * HEAR_EVERY)
    assert scene.sent == scene.events == []
    scene.answer = SILENT
    scene.go_on(10 * HEAR_EVERY)
    assert scene.sent


def test_a_start_in_which_nothing_happens_is_killed_soon_and_said(scene: Scene) -> None:
    scene.go_on(20)
    when, number = scene.sent[0]
    assert number == signal.SIGKILL
    assert 10 <= when <= 10 + 2 * HEAR_EVERY
    assert scene.events[0] == "worker-stuck"


def test_a_start_that_works_is_given_longer_and_longer_with_each_attempt(scene: Scene) -> None:
    scene.progress = moving()
    scene.go_on(600 - HEAR_EVERY)
    assert scene.sent == []
    scene.go_on(HEAR_EVERY)
    assert [number for _, number in scene.sent] == [signal.SIGKILL]
    # The next one.
    scene.worker.pid, scene.worker.failures, scene.worker.started = 101, 1, scene.clock.seconds()
    scene.go_on(1200 - HEAR_EVERY)
    assert len(scene.sent) == 1
    scene.answer = {}
    scene.go_on(600)
    assert len(scene.sent) == 1
    assert scene.hearing.has_heard(scene.worker, 101)
    assert not scene.hearing.has_heard(scene.worker, 100)


def test_a_worker_that_falls_silent_is_killed_unless_it_answers_late(scene: Scene) -> None:
    scene.answer = {}
    scene.go_on(HEAR_EVERY)
    scene.answer = SILENT
    scene.go_on(3 * HEAR_EVERY)
    scene.answer = {}
    scene.go_on(HEAR_EVERY)
    scene.answer = SILENT
    scene.go_on(3 * HEAR_EVERY)
    assert scene.sent == []
    scene.go_on(HEAR_EVERY)
    assert [number for _, number in scene.sent] == [signal.SIGKILL]
    assert scene.events == ["worker-silent"]


def test_a_worker_whose_socket_was_removed_is_asked_to_end_before_it_is_killed(scene: Scene) -> None:
    scene.answer = {}
    scene.go_on(HEAR_EVERY)
    scene.answer = NEVER
    scene.go_on(4 * HEAR_EVERY)
    assert [number for _, number in scene.sent] == [signal.SIGTERM]
    scene.go_on(16)
    assert [number for _, number in scene.sent] == [signal.SIGTERM, signal.SIGKILL]
    assert scene.events == ["worker-unreachable"]


@pytest.mark.parametrize(("stuck", "killed"), [(True, [signal.SIGKILL]), (False, [])])
def test_at_the_end_a_start_that_hangs_is_not_waited_for(scene: Scene, stuck: bool, killed: list[object]) -> None:
    if not stuck:
        scene.progress = moving()
    scene.hearing.stop()
    scene.go_on(2.5)
    assert [number for _, number in scene.sent] == killed


def test_the_kernel_distinguishes_a_working_process_from_a_stopped_one() -> None:
    text = "import time\nwhile True: time.sleep(0.01)"
    with subprocess.Popen([sys.executable, "-c", text]) as process:
        try:
            before = progress_of(process.pid)
            wait_until(lambda: progress_of(process.pid) != before)
            process.send_signal(signal.SIGSTOP)
            wait_until(lambda: ") T " in Path(f"/proc/{process.pid}/stat").read_text())
            stopped = progress_of(process.pid)
            assert stopped == progress_of(process.pid) != ()
        finally:
            process.kill()
    assert progress_of(process.pid) == ()
