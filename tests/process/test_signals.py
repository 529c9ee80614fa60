"""An administrator's signals, handled from the first moment at which there is something to shut down cleanly."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kmstwist.process.signals import Signals, waiting_in_children
from tests.reactors import in_place_of_one

TAKEN = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)


class Reactor:
    """Keeps its calls until it runs, as the real reactor does, and handles the signals itself when it starts."""

    def __init__(self) -> None:
        self.running = False
        self.stopped = 0
        self._later: list[Callable[[], Any]] = []
        self._started: list[Callable[[], Any]] = []

    def callFromThread(self, call: Callable[[], Any]) -> None:
        self._later.append(call)

    def addSystemEventTrigger(self, phase: str, event: str, call: Callable[[], Any]) -> None:
        assert (phase, event) == ("during", "startup")
        self._started.append(call)

    def stop(self) -> None:
        self.stopped += 1

    def start(self) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        self.running = True
        for call in self._started:
            call()
        self.iterate()

    def iterate(self) -> None:
        later, self._later = self._later, []
        for call in later:
            call()


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in TAKEN}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_end_before_the_reactor_runs_ends_it_in_order_when_it_does(number: signal.Signals) -> None:
    reactor = Reactor()
    signals = Signals(in_place_of_one(reactor), lambda: None)
    signals.privilegedStartService()
    os.kill(os.getpid(), number)
    signals.startService()
    reactor.start()
    assert reactor.stopped == 1


def test_a_signal_to_end_is_taken_from_the_reactor_once_it_runs() -> None:
    reactor = Reactor()
    signals = Signals(in_place_of_one(reactor), lambda: None)
    signals.privilegedStartService()
    signals.startService()
    reactor.start()
    os.kill(os.getpid(), signal.SIGTERM)
    assert reactor.stopped == 0
    reactor.iterate()
    assert reactor.stopped == 1


def test_a_hangup_before_the_reactor_runs_is_not_lost() -> None:
    reactor = Reactor()
    hangups: list[None] = []
    signals = Signals(in_place_of_one(reactor), lambda: hangups.append(None))
    os.kill(os.getpid(), signal.SIGHUP)
    signals.privilegedStartService()
    signals.startService()
    reactor.start()
    assert len(hangups) == 1


def test_a_rotation_is_announced_after_the_file_is_reopened() -> None:
    reactor = Reactor()
    order: list[str] = []
    signal.signal(signal.SIGUSR1, lambda number, frame: order.append("opened"))
    signals = Signals(in_place_of_one(reactor), lambda: None, lambda: order.append("told"))
    signals.privilegedStartService()
    signals.startService()
    reactor.start()
    os.kill(os.getpid(), signal.SIGUSR1)
    reactor.iterate()
    assert order == ["opened", "told"]


def test_what_is_passed_on_to_a_child_waits_until_it_handles_it() -> None:
    reactor = Reactor()
    came: list[str] = []
    # A process that is started has the mask of the one that started it.
    with waiting_in_children():
        for number in (signal.SIGHUP, signal.SIGUSR1):
            signal.signal(number, signal.SIG_DFL)
            # To this thread: others of the test runner do not wait.
            signal.pthread_kill(threading.get_ident(), number)
        signal.signal(signal.SIGUSR1, lambda number, frame: came.append("opened"))
        signals = Signals(in_place_of_one(reactor), lambda: came.append("hangup"))
        signals.privilegedStartService()
        signals.startService()
        assert came == []
        reactor.start()
        reactor.iterate()
        assert sorted(came) == ["hangup", "opened"]
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, []) & {signal.SIGHUP, signal.SIGUSR1}


def test_a_worker_leaves_ctrl_c_to_its_supervisor() -> None:
    reactor = Reactor()
    signals = Signals(in_place_of_one(reactor), lambda: None, interrupted=False)
    signals.privilegedStartService()
    signals.startService()
    reactor.start()
    os.kill(os.getpid(), signal.SIGINT)
    reactor.iterate()
    assert reactor.stopped == 0
    os.kill(os.getpid(), signal.SIGTERM)
    reactor.iterate()
    assert reactor.stopped == 1
