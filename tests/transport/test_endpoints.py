"""Endpoints of addresses and names: connecting, being refused, giving up, which address is tried when."""

from __future__ import annotations

from typing import Any, cast

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.error import ConnectingCancelledError, ConnectionRefusedError, DNSLookupError, NoProtocol
from twisted.internet.interfaces import IAddress, IHostnameResolver, IProtocol
from twisted.internet.protocol import Factory, Protocol, ServerFactory
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure

from kmstwist.reactor import Reactor
from kmstwist.transport.endpoints import Guarded, address_endpoint, endpoint_for
from tests.reactors import listen, port_of, reactor


class Said(Protocol):
    """Hears everything until the end."""

    def __init__(self) -> None:
        self.heard = b""
        self.ended = Deferred[bytes]()

    def dataReceived(self, data: bytes) -> None:
        self.heard += data

    def connectionLost(self, reason: object = None) -> None:
        self.ended.callback(self.heard)


class Clients(Factory):
    """Makes the given protocol, or none."""

    noisy = False

    def __init__(self, made: Protocol | None) -> None:
        self._made = made

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        return self._made


class Greeter(Protocol):
    """Says a word and ends."""

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(b"hello")
        self.transport.loseConnection()


class Host(ServerFactory):
    protocol = Greeter
    noisy = False


@ensureDeferred
async def test_a_protocol_is_connected_when_the_endpoint_fires_and_hears_all_after_that() -> None:
    listening = listen(Host())
    said = Said()
    connected = await address_endpoint(reactor, "127.0.0.1", port_of(listening), 5.0).connect(Clients(said))
    assert connected is said
    assert said.transport is not None
    assert await said.ended == b"hello"
    await maybeDeferred(listening.stopListening)


@ensureDeferred
async def test_the_source_is_the_address_asked_for() -> None:
    listening = listen(Host())
    said = Said()
    await address_endpoint(reactor, "127.0.0.1", port_of(listening), 5.0, "127.0.0.9").connect(Clients(said))
    assert said.transport is not None
    source = said.transport.getHost()
    assert isinstance(source, IPv4Address)
    assert source.host == "127.0.0.9"
    await said.ended
    await maybeDeferred(listening.stopListening)


@ensureDeferred
async def test_a_closed_port_refuses() -> None:
    listening = listen(Host())
    port = port_of(listening)
    await maybeDeferred(listening.stopListening)
    with pytest.raises(ConnectionRefusedError):
        await address_endpoint(reactor, "127.0.0.1", port, 5.0).connect(Clients(Said()))


@ensureDeferred
async def test_giving_up_ends_the_attempt() -> None:
    listening = listen(Host())
    attempt = address_endpoint(reactor, "127.0.0.1", port_of(listening), 5.0).connect(Clients(Said()))
    attempt.cancel()
    with pytest.raises(ConnectingCancelledError):
        await attempt
    await maybeDeferred(listening.stopListening)


@ensureDeferred
async def test_a_factory_may_refuse() -> None:
    listening = listen(Host())
    endpoint = address_endpoint(reactor, "127.0.0.1", port_of(listening), 5.0)
    with pytest.raises(NoProtocol):
        await endpoint.connect(Clients(None))

    def refuse(peer: object) -> None:
        raise CancelledError("not there")

    with pytest.raises(CancelledError, match="not there"):
        await Guarded(endpoint, refuse).connect(Clients(Said()))
    await maybeDeferred(listening.stopListening)


class Named(MemoryReactorClock):
    """A reactor in memory; every name has the given addresses."""

    def __init__(self, *addresses: str) -> None:
        super().__init__()
        self.nameResolver = cast(IHostnameResolver, self)
        self.addresses = addresses
        self.done: Deferred[IProtocol] = endpoint_for(cast(Reactor, self), "kms.test", 1688, 5.0).connect(
            Clients(Said())
        )

    def resolveHostName(self, receiver: Any, name: str, port: int) -> None:
        assert (name, port) == ("kms.test", 1688)
        for address in self.addresses:
            kind = IPv6Address if ":" in address else IPv4Address
            receiver.addressResolved(kind("TCP", address, port))
        receiver.resolutionComplete()

    @property
    def tried(self) -> list[str]:
        return [client[0] for client in self.tcpClients]

    def refuse(self, number: int) -> None:
        self.tcpClients[number][2].clientConnectionFailed(self.connectors[number], Failure(ConnectionRefusedError()))

    def accept(self, number: int) -> None:
        protocol = self.tcpClients[number][2].buildProtocol(IPv4Address("TCP", self.tried[number], 1688))
        assert protocol is not None
        protocol.makeConnection(StringTransport())


def test_an_address_of_a_name_has_a_head_start_and_the_first_that_is_connected_wins() -> None:
    named = Named("2001:db8::1", "192.0.2.1", "192.0.2.2")
    assert named.tried == ["2001:db8::1"]
    named.advance(0.2)
    assert named.tried == ["2001:db8::1"]
    named.advance(0.1)
    assert named.tried == ["2001:db8::1", "192.0.2.1"]
    named.accept(1)
    assert isinstance(successful(named.done), Said)
    assert named.connectors[0].stoppedConnecting
    assert named.getDelayedCalls() == []


def test_after_a_refusal_the_next_address_is_tried_at_once_and_the_last_refusal_is_told() -> None:
    named = Named("192.0.2.1", "192.0.2.2")
    named.refuse(0)
    assert named.tried == ["192.0.2.1", "192.0.2.2"]
    assert not named.done.called
    named.refuse(1)
    failed(named.done, ConnectionRefusedError)
    assert named.getDelayedCalls() == []


def test_a_refusal_is_not_told_while_another_address_may_still_answer() -> None:
    named = Named("192.0.2.1", "192.0.2.2")
    named.advance(0.3)
    named.refuse(1)
    assert not named.done.called
    named.accept(0)
    assert isinstance(successful(named.done), Said)


def test_a_name_without_an_address_is_not_found() -> None:
    failed(Named().done, DNSLookupError)


def test_who_gives_up_gives_up_every_attempt() -> None:
    named = Named("192.0.2.1", "192.0.2.2", "192.0.2.3")
    named.advance(0.3)
    named.done.cancel()
    failed(named.done, CancelledError)
    assert [connector.stoppedConnecting for connector in named.connectors] == [True, True]
    assert named.getDelayedCalls() == []


def successful(done: Deferred[IProtocol]) -> IProtocol:
    found: list[IProtocol] = []
    done.addCallback(found.append)
    return found[0]


def failed(done: Deferred[IProtocol], why: type[Exception]) -> None:
    found: list[Failure] = []
    done.addErrback(found.append)
    assert found[0].check(why)
