"""systemd is told when the server is ready and that it is alive; without systemd nothing is sent."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.testing import MemoryReactorClock

from kmstwist.process.readiness import Notifier, one_listens
from tests.logs import logger
from tests.reactors import in_place_of_one


class Reactor(MemoryReactorClock):
    """A reactor whose time is set, and which is either not yet running or running."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: list[Any] = []

    def callWhenRunning(self, callable: Any, *args: Any, **kwargs: Any) -> None:
        self._waiting.append(callable)

    def begin(self) -> None:
        for one in self._waiting:
            one()


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify") if request.param == "path" else f"\0kmstwist-test-{os.getpid()}")
        manager.setblocking(False)
        yield manager


def environ(manager: socket.socket, **more: str) -> dict[str, str]:
    name = manager.getsockname()
    return {"NOTIFY_SOCKET": name if isinstance(name, str) else "@" + name[1:].decode(), **more}


def told(manager: socket.socket) -> list[bytes]:
    messages = []
    while True:
        try:
            messages.append(manager.recv(4096))
        except BlockingIOError:
            return messages


def test_it_is_ready_when_the_reactor_runs_and_not_before(manager: socket.socket) -> None:
    reactor = Reactor()
    notifier = Notifier(in_place_of_one(reactor), environ(manager))
    notifier.startService()
    assert told(manager) == []
    reactor.begin()
    assert told(manager) == [b"READY=1"]
    reactor.advance(3600)
    assert told(manager) == []


def test_a_supervisor_is_ready_when_one_of_its_workers_answers(manager: socket.socket, tmp_path: Path) -> None:
    reactor, paths = Reactor(), [tmp_path / "worker1", tmp_path / "worker2"]
    Notifier(in_place_of_one(reactor), environ(manager), answers=lambda: one_listens(paths)).startService()
    reactor.begin()
    # A socket that a dead worker left.
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(paths[0]))
    reactor.pump([0.1] * 10)
    assert told(manager) == []
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as worker:
        worker.bind(str(paths[1]))
        worker.listen()
        reactor.pump([0.1] * 10)
    assert told(manager) == [b"READY=1"]


def test_a_supervisor_that_stops_before_a_worker_answers_asks_no_more(manager: socket.socket) -> None:
    reactor = Reactor()
    notifier = Notifier(in_place_of_one(reactor), environ(manager), answers=lambda: False)
    notifier.startService()
    reactor.begin()
    notifier.stopService()
    reactor.pump([0.1] * 3)
    assert not reactor.getDelayedCalls()
    assert told(manager) == []


def test_it_gives_a_sign_of_life_twice_in_the_time_it_is_given_until_it_stops(manager: socket.socket) -> None:
    reactor = Reactor()
    notifier = Notifier(
        in_place_of_one(reactor), environ(manager, WATCHDOG_USEC="60000000", WATCHDOG_PID=str(os.getpid()))
    )
    notifier.startService()
    reactor.begin()
    assert told(manager) == [b"READY=1", b"WATCHDOG=1"]
    reactor.advance(29)
    assert told(manager) == []
    reactor.pump([1, 30, 30])
    assert told(manager) == [b"WATCHDOG=1"] * 3
    notifier.stopService()
    reactor.advance(60)
    assert told(manager) == []
    assert not reactor.getDelayedCalls()


@pytest.mark.parametrize("watchdog", [{"WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "soon"}, {"WATCHDOG_USEC": ""}])
def test_a_watchdog_that_is_not_for_this_process_is_left_alone(manager: socket.socket, watchdog: Any) -> None:
    reactor = Reactor()
    Notifier(in_place_of_one(reactor), environ(manager, **{"WATCHDOG_USEC": "2000000", **watchdog})).startService()
    reactor.begin()
    reactor.advance(10)
    assert told(manager) == [b"READY=1"]


def test_without_a_service_manager_nothing_waits_and_nothing_is_sent() -> None:
    reactor, events = Reactor(), list[Any]()
    Notifier(in_place_of_one(reactor), {"WATCHDOG_USEC": "2000000"}, logger(events.append)).startService()
    reactor.begin()
    assert not events
    assert not reactor.getDelayedCalls()


def test_a_manager_that_has_gone_is_in_the_log(tmp_path: Path) -> None:
    reactor, events = Reactor(), list[Any]()
    notifier = Notifier(in_place_of_one(reactor), {"NOTIFY_SOCKET": str(tmp_path / "gone")}, logger(events.append))
    notifier.startService()
    reactor.begin()
    assert [(event["kms_event"], event["kms_fields"]["message"]) for event in events] == [("manager-deaf", "READY=1")]
