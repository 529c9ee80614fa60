"""A connection to a KMS host, over a transport in memory."""

from __future__ import annotations

import gc
from collections.abc import Callable, Coroutine
from typing import Any
from weakref import ref

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import tcp
from twisted.internet.base import BaseConnector
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.protocol import Factory, Protocol, ServerFactory
from twisted.internet.task import deferLater
from twisted.internet.testing import StringTransport

from kmstwist.kms.interface import KMS_INTERFACE, MANAGEMENT_CONTEXTS
from kmstwist.rpc import (
    FIRST_FRAG,
    NDR32,
    AlterContextResp,
    BindAck,
    ContextOutcome,
    Fault,
    Pdu,
    Request,
    Response,
    Shutdown,
    decode,
    encode,
)
from kmstwist.transport.connection import RpcConnection, connect
from kmstwist.transport.endpoints import address_endpoint, endpoint_for
from kmstwist.transport.errors import ConnectError, FaultError, LostError, UpstreamError
from tests.reactors import listen, port_of, reactor
from tests.rpc.peer import split

ACCEPTED = ContextOutcome(0, 0, NDR32)
ACK = BindAck(2, (ACCEPTED, ContextOutcome(2, 2), ContextOutcome(3, 3)), 4280, 4280, 77, b"1688")
ALTERED = AlterContextResp(2, (ACCEPTED,), 4280, 4280, 77, b"")
RESPONSE = Response(2, 0, b"answer")
FAULT = Fault(2, 0, 5)


class Conversation:
    """A connection and the host at its other end. `told` has each caller's result, and whether it was alive then."""

    def __init__(self) -> None:
        self.connection = RpcConnection()
        self.transport = StringTransport()
        self.connection.makeConnection(self.transport)
        self.told: list[tuple[Any, bool]] = []
        self.connection.bound.addBoth(lambda _: None)
        self.host_says(ACK)

    def host_says(self, *pdus: Pdu) -> None:
        self.connection.dataReceived(b"".join(map(encode, pdus)))

    def call(self) -> None:
        context = self.connection.association.context_for(KMS_INTERFACE)
        assert context is not None
        self.connection.call(context, 0, b"question").addBoth(self._hear)

    def alter(self) -> None:
        self.connection.alter(MANAGEMENT_CONTEXTS).addBoth(self._hear)

    def requests(self) -> int:
        return sum(isinstance(decode(piece), Request) for piece in split(self.transport.value()))

    def _hear(self, result: Any) -> None:
        self.told.append((type(getattr(result, "value", result)), self.connection.alive))


@pytest.fixture
def conversation() -> Conversation:
    return Conversation()


@pytest.mark.parametrize("answer", [RESPONSE, FAULT])
@pytest.mark.parametrize("together", [False, True])
def test_a_shutdown_during_a_call_closes_the_connection_before_the_answer_is_handed_out(
    conversation: Conversation, answer: Pdu, together: bool
) -> None:
    conversation.call()
    if together:
        conversation.host_says(answer, Shutdown(0))
    else:
        conversation.host_says(Shutdown(0))
        assert (conversation.connection.alive, conversation.transport.disconnecting) == (True, False)
        conversation.host_says(answer)
    [(heard, alive)] = conversation.told
    assert heard.__name__ == ("ResponseReceived" if answer is RESPONSE else FaultError.__name__)
    assert (alive, conversation.transport.disconnecting) == (False, True)


def test_a_shutdown_while_contexts_are_added_closes_the_connection_when_they_are(conversation: Conversation) -> None:
    conversation.alter()
    conversation.host_says(Shutdown(0))
    assert conversation.told == []
    conversation.host_says(ALTERED)
    assert [alive for _, alive in conversation.told] == [False]
    assert conversation.transport.disconnecting


def test_a_shutdown_waits_for_the_last_of_several_calls(conversation: Conversation) -> None:
    conversation.call()
    conversation.call()
    conversation.host_says(Shutdown(0), RESPONSE)
    assert ([alive for _, alive in conversation.told], conversation.transport.disconnecting) == ([True], False)
    conversation.host_says(Response(3, 0, b"answer"))
    assert ([alive for _, alive in conversation.told], conversation.transport.disconnecting) == ([True, False], True)


def test_nothing_more_is_asked_on_a_connection_that_the_host_has_shut_down(conversation: Conversation) -> None:
    conversation.host_says(Shutdown(0))
    assert conversation.transport.disconnecting
    conversation.call()
    assert conversation.told == [(LostError, False)]
    assert conversation.requests() == 0


def test_without_a_shutdown_the_connection_is_there_for_the_next_call(conversation: Conversation) -> None:
    conversation.call()
    conversation.host_says(RESPONSE)
    assert [alive for _, alive in conversation.told] == [True]
    assert not conversation.transport.disconnecting


FIRST, MORE = Response(2, 0, b"x", flags=FIRST_FRAG), Response(2, 0, b"x", flags=0)


@pytest.mark.parametrize(
    ("first", "over_and_over", "most"),
    [
        ((), Response(99, 0, b"x"), 1),
        ((), Fault(99, 0, 5), 1),
        ((), ACK, 1),
        ((), ALTERED, 1),
        ((), Request(2, 0, 0, b"x"), 1),
        ((), Shutdown(0), 9),
        ((FIRST,), FIRST, 1),
        ((FIRST,), MORE, 2000),
        ((FIRST,), Response(2, 0, b"", flags=0), 2000),
        ((FIRST,), Response(2, 0, b"x" * 4000, flags=0), 20),
    ],
)
def test_a_host_that_repeats_itself_is_soon_cut_off(
    conversation: Conversation, first: tuple[Pdu, ...], over_and_over: Pdu, most: int
) -> None:
    conversation.call()
    conversation.host_says(*first)
    taken, kept = 0, 0
    while conversation.connection.alive:
        conversation.host_says(over_and_over)
        taken += 1
        assert taken <= most
        kept = max(kept, conversation.connection.association.buffered)
    assert kept <= 2**16
    assert conversation.told == [(UpstreamError, True)]
    assert conversation.transport.disconnecting


def test_little_is_read_from_each_host_at_a_time(conversation: Conversation) -> None:
    assert vars(conversation.transport)["bufferSize"] == 2048


class Host(Protocol):
    """Acknowledges any bind, and notices when its client has gone."""

    def __init__(self) -> None:
        self.ended = Deferred[None]()

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(encode(ACK))

    def connectionLost(self, reason: object = None) -> None:
        self.ended.callback(None)


class Hosts(ServerFactory):
    noisy = False

    def __init__(self) -> None:
        self.made: list[Host] = []

    def buildProtocol(self, addr: object) -> Host:
        self.made.append(Host())
        return self.made[-1]


@pytest.mark.parametrize("way", [RpcConnection.close, RpcConnection.abort])
@ensureDeferred
async def test_a_connection_that_is_over_is_freed_without_the_garbage_collector(
    way: Callable[[RpcConnection], None],
) -> None:
    hosts = Hosts()
    listening = listen(hosts)
    gc.disable()
    try:
        connection = await connect(reactor, address_endpoint(reactor, "127.0.0.1", port_of(listening), 5.0), 5.0)
        left = ref(connection)
        way(connection)
        del connection
        await hosts.made[0].ended
        assert left() is None
    finally:
        gc.enable()
    await maybeDeferred(listening.stopListening)


@pytest.mark.parametrize("way", [RpcConnection.close, RpcConnection.abort])
@ensureDeferred
async def test_nor_does_what_made_it_wait_for_the_garbage_collector(way: Callable[[RpcConnection], None]) -> None:
    hosts = Hosts()
    listening = listen(hosts)
    endpoint = address_endpoint(reactor, "127.0.0.1", port_of(listening), 5.0)

    async def converse() -> None:
        connection = await connect(reactor, endpoint, 5.0)
        way(connection)
        await hosts.made.pop().ended

    # The first one loads and makes what stays.
    await converse()
    assert await left_by(converse) == []
    await maybeDeferred(listening.stopListening)


@ensureDeferred
async def test_nor_does_a_protocol_for_a_connection_that_is_refused() -> None:
    listening = listen(Hosts())
    endpoint = address_endpoint(reactor, "127.0.0.1", port_of(listening), 5.0)
    await maybeDeferred(listening.stopListening)

    async def be_refused() -> None:
        with pytest.raises(ConnectError):
            await connect(reactor, endpoint, 5.0)

    assert RpcConnection not in map(type, await left_by(be_refused))


@ensureDeferred
async def test_nor_does_a_connection_to_a_name() -> None:
    hosts = Hosts()
    listening = listen(hosts)
    endpoint = endpoint_for(reactor, "localhost", port_of(listening), 5.0)

    async def converse() -> None:
        (await connect(reactor, endpoint, 5.0)).close()
        await hosts.made.pop().ended

    await converse()
    # An attempt at another address of the name may have been refused, and Twisted's transport holds itself then.
    assert {*map(type, await left_by(converse))} <= {tcp.Client}
    await maybeDeferred(listening.stopListening)


#: What is looked for: connections, what makes them, classes.
_OURS = RpcConnection | tcp.Client | BaseConnector | Factory | type


async def left_by(work: Callable[[], Coroutine[Any, Any, None]]) -> list[object]:
    """What only the garbage collector finds of connections after this work was done three times."""
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        for _ in range(3):
            await work()
        # What the last one left is still on the stack of the turn that told.
        await deferLater(reactor, 0, lambda: None)
        gc.collect()
        return [each for each in gc.garbage if isinstance(each, _OURS)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def test_bytes_sent_on_an_ended_connection_are_lost(conversation: Conversation) -> None:
    conversation.connection.connectionLost()
    conversation.alter()
    conversation.connection.close()
    conversation.connection.abort()
    assert conversation.transport.connected
