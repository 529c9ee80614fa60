"""Endpoints of addresses: connecting, being refused, giving up."""

from __future__ import annotations

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.error import ConnectingCancelledError, ConnectionRefusedError, NoProtocol
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol, ServerFactory

from kmstwist.transport.endpoints import Guarded, address_endpoint
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
async def test_who_does_not_listen_refuses() -> None:
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
