"""A slow link, second by second."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint, ITransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransportWithDisconnection
from twisted.python.failure import Failure
from zope.interface import implementer

from kmstwist.lab.fleet.slowlink import SlowLink


class Talker(Protocol):
    """Records what it receives."""

    def __init__(self) -> None:
        self.heard: list[bytes | str] = []

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(b"hello")

    def dataReceived(self, data: bytes) -> None:
        self.heard.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.heard.append("lost")


@implementer(IStreamClientEndpoint)
class Near:
    """An endpoint that connects at once."""

    transport: Any

    def __init__(self) -> None:
        self.transport = StringTransportWithDisconnection()

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        protocol = protocolFactory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1688))
        assert protocol is not None
        self.transport.protocol = protocol
        protocol.makeConnection(self.transport)
        return succeed(protocol)


def connected(clock: Clock) -> tuple[Near, Deferred[Talker]]:
    near = Near()
    return near, SlowLink(near, clock, 2.0).connect(Factory.forProtocol(Talker))


def talking(connecting: Deferred[Talker]) -> tuple[Talker, ITransport]:
    """The connected protocol and its transport."""
    connected: list[Talker] = []
    connecting.addCallback(connected.append)
    [talker] = connected
    assert talker.transport is not None
    return talker, talker.transport


def test_connecting_takes_a_round_trip_and_each_way_half_of_one() -> None:
    clock = Clock()
    near, connecting = connected(clock)
    clock.advance(1.9)
    assert not connecting.called
    clock.advance(0.1)
    talker, transport = talking(connecting)
    assert near.transport.value() == b""
    clock.advance(1.0)
    assert near.transport.value() == b"hello"
    near.transport.protocol.dataReceived(b"one")
    near.transport.protocol.dataReceived(b"two")
    transport.writeSequence([b", ", b"world"])
    clock.advance(0.9)
    assert talker.heard == []
    clock.advance(0.1)
    assert talker.heard == [b"one", b"two"]
    assert near.transport.value() == b"hello, world"


def test_the_end_comes_after_what_was_said_before_it() -> None:
    clock = Clock()
    near, connecting = connected(clock)
    clock.advance(2)
    talker, transport = talking(connecting)
    near.transport.protocol.dataReceived(b"last words")
    transport.loseConnection()
    assert near.transport.connected
    clock.advance(1)
    assert near.transport.value() == b"hello"
    assert not near.transport.connected
    assert talker.heard == [b"last words"]
    clock.advance(1)
    assert talker.heard == [b"last words", "lost"]
    assert clock.getDelayedCalls() == []


def test_giving_up_while_connecting_leaves_nothing_behind() -> None:
    clock = Clock()
    near, connecting = connected(clock)
    connecting.addErrback(lambda failure: None)
    connecting.cancel()
    assert clock.getDelayedCalls() == []
    assert not hasattr(near.transport, "protocol")
