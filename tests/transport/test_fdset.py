"""A set of descriptors: many sockets that a reactor sees as one descriptor."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet import tcp
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from kmstwist.transport.fdset import AT_ONCE, DescriptorSet, join_set, set_of
from tests.waiting import PATIENCE


class Reactor(Clock):
    """Waits for one descriptor, as a reactor waits for all."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: list[Any] = []

    def addReader(self, reader: Any) -> None:
        self.readers.append(reader)

    def removeReader(self, reader: Any) -> None:
        self.readers.remove(reader)

    def turn(self) -> bool:
        """One turn of the loop. Returns whether something happened within a moment."""
        (fds,) = self.readers
        happened = bool(select.select([fds], [], [], 0)[0])
        if happened:
            fds.doRead()
        return happened

    def removeWriter(self, writer: Any) -> None:
        """The set is never written to."""


class End:
    """One socket of a pair, as a Twisted transport."""

    def __init__(self, skt: socket.socket, fds: Any) -> None:
        self.skt = skt
        self.fds = fds
        self.said: list[Any] = []
        self.why: Exception | None = None
        self.fault: Exception | None = None
        self.meanwhile: Any = None

    def fileno(self) -> int:
        return self.skt.fileno()

    def doRead(self) -> Exception | None:
        if self.fault is not None:
            raise self.fault
        try:
            data = self.skt.recv(100)
        except OSError as error:
            return CONNECTION_LOST if not isinstance(error, BlockingIOError) else None
        self.said.append(data)
        if self.meanwhile is not None:
            self.meanwhile()
        return None if data else CONNECTION_DONE

    def doWrite(self) -> Exception | None:
        self.said.append("write")
        return self.why

    def readConnectionLost(self, reason: Failure) -> None:
        self.said.append(("read lost", reason.type))

    def connectionLost(self, reason: Failure) -> None:
        self.said.append(("lost", reason.type))
        self.fds.removeReader(self)
        self.fds.removeWriter(self)
        self.skt.close()


class Scene:
    """A set with connections, each with its other end."""

    def __init__(self) -> None:
        self.reactor = Reactor()
        made: Any = self.reactor
        self.set: Any = DescriptorSet(made)
        self.others: list[socket.socket] = []
        self.ends: list[End] = []

    def connect(self, number: int = 1) -> tuple[End, socket.socket]:
        """Add this many connections to the set. Returns the last one, and its other end."""
        for _ in range(number):
            ours, other = socket.socketpair()
            ours.setblocking(False)
            other.settimeout(PATIENCE)
            self.others.append(other)
            self.ends.append(End(ours, self.set))
            self.set.addReader(self.ends[-1])
        return self.ends[-1], self.others[-1]


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene()
    yield made
    for skt in (*made.others, *(end.skt for end in made.ends)):
        skt.close()


def test_it_is_what_twisted_asks_of_a_reactor_and_of_a_descriptor(scene: Scene) -> None:
    assert verifyObject(IReactorFDSet, scene.set)
    assert verifyObject(IReadDescriptor, scene.set)


def test_bytes_are_read_from_those_that_have_some_and_nothing_else_happens(scene: Scene) -> None:
    quiet, _ = scene.connect()
    end, other = scene.connect()
    assert not scene.reactor.turn()
    other.sendall(b"bind")
    assert scene.reactor.turn()
    assert (quiet.said, end.said) == ([], [b"bind"])
    assert not scene.reactor.turn()


def test_a_paused_connection_keeps_its_bytes(scene: Scene) -> None:
    end, other = scene.connect()
    scene.set.removeReader(end)
    scene.set.removeReader(end)
    other.sendall(b"bind")
    assert not scene.reactor.turn()
    scene.set.addReader(end)
    scene.set.addReader(end)
    assert scene.set.getReaders() == [end]
    assert scene.reactor.turn()
    assert end.said == [b"bind"]


def test_it_writes_while_that_is_wanted_and_reads_as_well(scene: Scene) -> None:
    end, other = scene.connect()
    scene.set.addWriter(end)
    assert scene.set.getWriters() == [end]
    other.sendall(b"bind")
    assert scene.reactor.turn()
    assert end.said == [b"bind", "write"]
    scene.set.removeReader(end)
    other.sendall(b"request")
    assert scene.reactor.turn()
    assert end.said == [b"bind", "write", "write"]
    scene.set.addReader(end)
    scene.set.removeWriter(end)
    assert scene.reactor.turn()
    assert end.said[3:] == [b"request"]
    assert not scene.reactor.turn()


def test_a_half_close_is_reported_as_such_and_only_once(scene: Scene) -> None:
    end, other = scene.connect()
    other.shutdown(socket.SHUT_WR)
    assert scene.reactor.turn()
    assert end.said == [b"", ("read lost", ConnectionDone)]
    assert not scene.reactor.turn()
    # The answer may still be written.
    scene.set.addWriter(end)
    assert scene.reactor.turn()
    assert end.said[2:] == ["write"]


def test_bytes_sent_before_both_sides_end_are_read(scene: Scene) -> None:
    end, other = scene.connect()
    other.sendall(b"request")
    other.close()
    assert scene.reactor.turn()
    assert end.said == [b"request"]
    assert scene.reactor.turn()
    assert end.said[1:] == [b"", ("read lost", ConnectionDone)]


def test_a_connection_that_ends_while_nobody_reads_is_ended(scene: Scene) -> None:
    end, other = scene.connect()
    scene.set.addWriter(end)
    scene.set.removeReader(end)
    end.why = CONNECTION_LOST
    other.close()
    assert scene.reactor.turn()
    assert end.said == ["write", ("lost", ConnectionLost)]
    assert scene.set.getWriters() == []
    assert not scene.reactor.turn()


def test_a_reset_is_reported_as_a_lost_connection(scene: Scene) -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    other = socket.create_connection(listening.getsockname())
    ours, _ = listening.accept()
    listening.close()
    ours.setblocking(False)
    end = End(ours, scene.set)
    scene.ends.append(end)
    scene.set.addReader(end)
    other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    other.close()
    assert scene.reactor.turn()
    assert end.said == [("lost", ConnectionLost)]
    assert scene.set.getReaders() == []


def test_a_fault_ends_only_the_connection_it_happens_on(scene: Scene) -> None:
    end, other = scene.connect()
    second, second_other = scene.connect()
    end.fault = ZeroDivisionError("a defect")
    for skt in (other, second_other):
        skt.sendall(b"bind")
    assert scene.reactor.turn()
    assert end.said == [("lost", ZeroDivisionError)]
    assert second.said == [b"bind"]
    assert scene.set.getReaders() == [second]


def test_a_descriptor_removed_in_the_same_turn_is_not_called(scene: Scene) -> None:
    first, first_other = scene.connect()
    second, second_other = scene.connect()
    # The one called first removes the other.
    first.meanwhile = lambda: scene.set.removeReader(second)
    second.meanwhile = lambda: scene.set.removeReader(first)
    for skt in (first_other, second_other):
        skt.sendall(b"bind")
    assert scene.reactor.turn()
    assert sorted([first.said, second.said]) == [[], [b"bind"]]


def test_one_turn_calls_a_limited_number_and_the_next_turn_the_others(scene: Scene) -> None:
    scene.connect(AT_ONCE + 10)
    for other in scene.others:
        other.sendall(b"bind")
    assert scene.reactor.turn()
    assert len([end for end in scene.ends if end.said]) == AT_ONCE
    assert scene.reactor.turn()
    # One that always has more to read does not hold the others up for longer.
    assert all(end.said == [b"bind"] for end in scene.ends)


@pytest.mark.parametrize("reads", [True, False])
def test_a_descriptor_closed_without_being_removed_does_no_harm(scene: Scene, reads: bool) -> None:
    left, _ = scene.connect()
    scene.set.addWriter(left)
    if not reads:
        scene.set.removeReader(left)
    number = left.fileno()
    left.skt.close()
    end, other = scene.connect()
    # The kernel assigns the lowest free number.
    assert end.fileno() == number
    other.sendall(b"bind")
    assert scene.reactor.turn()
    assert end.said == [b"bind"]
    assert scene.set.getReaders() == [end]
    assert scene.set.getWriters() == []
    scene.set.removeReader(left)
    scene.set.removeWriter(left)
    assert scene.set.getReaders() == [end]


def test_all_end_with_the_reactor(scene: Scene) -> None:
    first, _ = scene.connect()
    second, _ = scene.connect()
    scene.set.addWriter(second)
    scene.set.connectionLost(Failure(CONNECTION_LOST))
    assert first.said == second.said == [("lost", ConnectionLost)]
    assert scene.set.getReaders() == scene.set.getWriters() == scene.set.removeAll() == []


def test_it_uses_the_reactor_s_clock(scene: Scene) -> None:
    called = SimpleNamespace(times=0)
    scene.set.callLater(2, lambda: setattr(called, "times", 1))
    scene.reactor.advance(2)
    assert called.times == 1


def test_a_connection_of_twisted_s_can_join_and_is_called_by_the_set_from_then_on() -> None:
    class Kept(Protocol):
        data = b""

        def dataReceived(self, data: bytes) -> None:
            self.data += data

    made: Any = Reactor()
    ours, other = socket.socketpair()
    protocol = Kept()
    connection = tcp.Connection(ours, protocol, made)
    connection.connected = 1
    connection.startReading()
    join_set(connection)
    assert made.readers == [set_of(made)]
    other.sendall(b"answer")
    assert made.turn()
    assert protocol.data == b"answer"
    connection.abortConnection()
    made.advance(0)
    assert set_of(made).getReaders() == []
    assert ours.fileno() == -1
    other.close()
