from __future__ import annotations

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.protocol import ServerFactory

from kmstwist.addresses import HostPort
from kmstwist.discovery.lookup.exchange import NoAnswer, exchange
from tests.discovery.silent import Misbehaving, VirtualTime
from tests.ports import free_port
from tests.reactors import in_place_of_one, reactor

QUESTION = b"\x12\x34\x28\x00" + bytes(8)
ANSWER = b"\x12\x34\xa8\x00" + bytes(8)
TRUNCATED = b"\x12\x34\xaa\x00" + bytes(8)


@ensureDeferred
async def test_only_an_answer_with_our_id_is_taken() -> None:
    answers = iter([b"\x00\x01" + ANSWER[2:], QUESTION, b"short", ANSWER])
    server, time = Misbehaving(lambda datagram: next(answers)), VirtualTime()

    asking = Deferred.fromCoroutine(exchange(in_place_of_one(time), server.server, QUESTION, (2.0, 2.0, 2.0, 2.0)))
    for seconds in (0, 2, 2, 2):
        assert not asking.called
        time.advance(seconds)
        await server.hears()
    answer = await asking
    await server.stop()

    assert answer == ANSWER
    assert len(server.heard) == 4


@ensureDeferred
async def test_silence_is_reported_with_the_seconds_waited() -> None:
    server, time = Misbehaving(), VirtualTime()
    asking = Deferred.fromCoroutine(exchange(in_place_of_one(time), server.server, QUESTION, (1.5, 2)))
    time.advance(0)
    await server.hears()
    time.advance(1.5)
    await server.hears()
    assert not asking.called
    time.advance(2)
    with pytest.raises(NoAnswer, match=r"no answer within 3.5 seconds\.") as caught:
        await asking
    await server.stop()
    assert not caught.value.refused
    assert len(server.heard) == 2


@ensureDeferred
async def test_a_closed_port_is_reported_at_once() -> None:
    with pytest.raises(NoAnswer, match="is a DNS server running there") as caught:
        await exchange(reactor, HostPort("127.0.0.1", free_port()), QUESTION, (30.0,))
    assert caught.value.refused


@ensureDeferred
async def test_a_server_that_this_machine_cannot_send_to_is_reported_at_once() -> None:
    with pytest.raises(NoAnswer, match="has no route to the DNS server"):
        await exchange(reactor, HostPort("255.255.255.255", 53), QUESTION, (30.0,))


@ensureDeferred
async def test_a_truncated_answer_is_asked_for_over_tcp() -> None:
    from twisted.protocols.basic import Int16StringReceiver

    class Server(Int16StringReceiver):
        def stringReceived(self, string: bytes) -> None:
            self.sendString(ANSWER + b"whole" if string == QUESTION else b"")

    factory = ServerFactory()
    factory.protocol = Server
    udp = Misbehaving(lambda datagram: TRUNCATED)
    tcp = reactor.listenTCP(udp.server.port, factory, interface="127.0.0.1")

    answer = await exchange(reactor, udp.server, QUESTION, (30.0,))
    await udp.stop()
    await maybeDeferred(tcp.stopListening)

    assert answer == ANSWER + b"whole"


@ensureDeferred
async def test_a_cancelled_question_leaves_no_socket_behind() -> None:
    server = Misbehaving()
    asked: Deferred[bytes] = Deferred.fromCoroutine(exchange(reactor, server.server, QUESTION, (30.0,)))
    before = len(reactor.getReaders())

    asked.cancel()
    asked.addErrback(lambda failure: None)
    await asked
    await server.stop()

    assert len(reactor.getReaders()) == before - 2
