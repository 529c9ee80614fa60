"""The listening protocol on a memory transport and a clock of the test's own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import Logger
from twisted.python.failure import Failure

from kmstwist.gateway.admission import Admission
from kmstwist.gateway.settings import AdmissionSettings
from kmstwist.kms.activation import ActivationAnswer, ActivationCall, ActivationFault
from kmstwist.reasons import Reason
from kmstwist.rpc import activation
from kmstwist.rpc.client import Bound, ClientAssociation, FaultReceived, ResponseReceived
from kmstwist.rpc.codec import encode
from kmstwist.rpc.negotiation import Interface
from kmstwist.rpc.pdu import Orphaned
from kmstwist.rpc.server import RpcServer
from kmstwist.rpc.status import FaultStatus
from kmstwist.rpc.syntax import KMS_INTERFACE
from kmstwist.server.config import TimeoutSettings
from kmstwist.server.protocol import KmsFactory, KmsProtocol, plain_address

MESSAGE = b"\0\0\6\0" + os.urandom(256)


class Transport(StringTransport):
    """A StringTransport that can be aborted and half-closed as TCP's can."""

    aborted = False
    half_closed = False

    def abortConnection(self) -> None:
        self.aborted = True

    def loseWriteConnection(self) -> None:
        self.half_closed = True


class Activator:
    """Answers as the test says."""

    def __init__(self) -> None:
        self.calls: list[ActivationCall] = []
        self.answer: Any = lambda: succeed(ActivationAnswer(0, b"answer"))

    def activate(self, call: ActivationCall) -> Deferred[ActivationAnswer]:
        self.calls.append(call)
        return self.answer()


class Conversation:
    """A client association at one end of a memory transport, the server's protocol at the other."""

    def __init__(self, factory: KmsFactory, client: str = "10.0.0.7") -> None:
        self.protocol: KmsProtocol = factory.buildProtocol(IPv4Address("TCP", client, 50000))
        self.transport = Transport(hostAddress=IPv4Address("TCP", "10.0.0.1", 1688))
        self.protocol.makeConnection(self.transport)
        self.association = ClientAssociation()

    def send(self, data: bytes) -> list[Any]:
        self.protocol.dataReceived(data)
        return self.receive()

    def receive(self) -> list[Any]:
        answer = self.transport.value()
        self.transport.clear()
        return self.association.receive_data(answer) if answer else []

    def bind(self) -> Bound:
        self.association.bind()
        [bound] = self.send(self.association.data_to_send())
        return bound

    def call(self, stub: bytes = activation.encode_request(MESSAGE)) -> list[Any]:
        context = self.association.context_for(KMS_INTERFACE)
        assert context is not None
        self.association.call(context, 0, stub)
        return self.send(self.association.data_to_send())

    def close(self, error: type[Exception] = ConnectionDone) -> None:
        self.protocol.connectionLost(Failure(error()))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lines() -> list[dict[str, Any]]:
    return []


@pytest.fixture
def activator() -> Activator:
    return Activator()


@pytest.fixture
def factory(clock: Clock, lines: list[dict[str, Any]], activator: Activator) -> Iterator[KmsFactory]:
    log = Logger(namespace="test", observer=lambda event: lines.append(event["kms_fields"]))
    made = KmsFactory(
        RpcServer((Interface(KMS_INTERFACE, 1),)),
        clock,
        Admission(AdmissionSettings(), clock, connections=3),
        timeouts=TimeoutSettings(first_byte=30.0, request=30.0, idle=30.0),
        log=log,
    )
    made.activator = activator
    made.doStart()
    yield made
    made.doStop()


def test_a_call_goes_to_the_activator_and_its_answer_back(factory: KmsFactory, activator: Activator) -> None:
    conversation = Conversation(factory)
    conversation.bind()
    [response] = conversation.call()
    assert isinstance(response, ResponseReceived)
    assert activation.decode_response(response.stub) == (0, b"answer")
    assert activator.calls == [ActivationCall(MESSAGE, "10.0.0.7", 50000)]


def test_the_line_of_a_call_is_written_when_its_connection_ends(
    factory: KmsFactory, clock: Clock, lines: list[dict[str, Any]]
) -> None:
    conversation = Conversation(factory)
    clock.advance(0.010)
    conversation.bind()
    conversation.call()
    clock.advance(0.005)
    assert lines == []
    conversation.close()
    [line] = lines
    assert (line["result"], line["reason"], line["end"], line["phase"]) == ("answered", "ok", "client", "answered")
    assert (line["version"], line["code"]) == ("6.0", "0x00000000")
    assert (round(line["bind_ms"], 3), line["call_ms"], round(line["total_ms"], 3)) == (10.0, 0.0, 15.0)
    assert (line["bytes_in"], line["bytes_out"]) == (160 + 24 + 8 + 260, 108 + 24 + 12 + 6 + 2 + 4)


def test_the_line_of_a_call_waits_no_longer_than_two_seconds(
    factory: KmsFactory, clock: Clock, lines: list[dict[str, Any]]
) -> None:
    conversation = Conversation(factory)
    conversation.bind()
    conversation.call()
    clock.pump([1.0, 1.0])
    assert [(line["end"], line["total_ms"]) for line in lines] == [("open", 0.0)]
    conversation.close()
    assert len(lines) == 1


def test_each_call_of_a_connection_has_a_line_with_its_own_bytes(
    factory: KmsFactory, lines: list[dict[str, Any]]
) -> None:
    conversation = Conversation(factory)
    conversation.bind()
    conversation.call()
    conversation.call()
    conversation.close()
    assert [line["end"] for line in lines] == ["open", "client"]
    assert [line["bytes_in"] for line in lines] == [160 + 292, 292]
    assert [line["bind_ms"] is None for line in lines] == [False, True]


def test_a_connection_without_a_call_has_one_line(factory: KmsFactory, lines: list[dict[str, Any]]) -> None:
    conversation = Conversation(factory)
    conversation.bind()
    conversation.close(ConnectionLost)
    assert [(line["reason"], line["phase"], line["result"]) for line in lines] == [("client-lost", "bound", "none")]


def test_a_stub_whose_counts_lie_is_answered_with_bad_stub_data_and_the_connection_stays(
    factory: KmsFactory, activator: Activator, lines: list[dict[str, Any]]
) -> None:
    conversation = Conversation(factory)
    conversation.bind()
    [fault] = conversation.call(b"\xff\0\0\0\xff\0\0\0abc")
    assert isinstance(fault, FaultReceived)
    assert fault.status == FaultStatus.BAD_STUB_DATA
    assert activator.calls == []
    [response] = conversation.call()
    assert isinstance(response, ResponseReceived)
    conversation.close()
    assert [line["reason"] for line in lines] == ["rpc-bad-stub", "ok"]


def test_a_fault_of_the_activator_reaches_the_client_with_its_reason_in_the_line(
    factory: KmsFactory, activator: Activator, lines: list[dict[str, Any]]
) -> None:
    fault = ActivationFault(FaultStatus.SERVER_UNAVAILABLE, Reason.UPSTREAM_REFUSED, "kms1: refused", "kms1")
    activator.answer = lambda: fail(fault)
    conversation = Conversation(factory)
    conversation.bind()
    [received] = conversation.call()
    assert received.status == FaultStatus.SERVER_UNAVAILABLE
    conversation.close()
    [line] = lines
    assert (line["result"], line["code"], line["reason"], line["upstream"]) == (
        "fault",
        "0x000006BA",
        "upstream-refused",
        "kms1",
    )


def test_a_defect_is_logged_with_its_traceback_and_answered_with_call_failed(
    factory: KmsFactory, activator: Activator, lines: list[dict[str, Any]]
) -> None:
    activator.answer = lambda: fail(ZeroDivisionError("a defect"))
    conversation = Conversation(factory)
    conversation.bind()
    [received] = conversation.call()
    assert received.status == FaultStatus.CALL_FAILED
    conversation.close()
    assert "ZeroDivisionError" in lines[0]["traceback"]
    assert lines[1]["reason"] == "server-error"


def test_bytes_that_are_no_rpc_end_the_connection_after_it_could_read_why(
    factory: KmsFactory, clock: Clock, lines: list[dict[str, Any]]
) -> None:
    conversation = Conversation(factory)
    conversation.send(b"GET / HTTP/1.1\r\nHost: kms\r\n\r\n")
    assert conversation.transport.half_closed
    assert not conversation.transport.aborted
    conversation.send(b"more, which nobody reads")
    clock.advance(2.0)
    assert conversation.transport.aborted
    conversation.close(ConnectionLost)
    assert [(line["reason"], line["end"]) for line in lines] == [("rpc-not-rpc", "server")]


def test_a_silent_client_is_closed_after_the_idle_timeout(
    factory: KmsFactory, clock: Clock, lines: list[dict[str, Any]]
) -> None:
    conversation = Conversation(factory)
    clock.advance(29.9)
    assert not conversation.transport.aborted
    clock.advance(0.2)
    assert conversation.transport.aborted
    conversation.close(ConnectionLost)
    assert [(line["reason"], line["phase"]) for line in lines] == [("client-idle", "connected")]


def test_a_client_that_feeds_a_byte_at_a_time_gains_no_time(factory: KmsFactory, clock: Clock) -> None:
    conversation = Conversation(factory)
    conversation.association.bind()
    bind = conversation.association.data_to_send()
    for at in range(31):
        conversation.protocol.dataReceived(bind[at : at + 1])
        clock.advance(1.0)
    assert conversation.transport.aborted


def test_a_whole_pdu_buys_the_idle_timeout_anew(factory: KmsFactory, clock: Clock) -> None:
    conversation = Conversation(factory)
    clock.advance(29.0)
    conversation.bind()
    clock.advance(29.0)
    assert not conversation.transport.aborted


def test_the_idle_timeout_does_not_cut_a_call_that_is_being_executed(
    factory: KmsFactory, clock: Clock, activator: Activator
) -> None:
    waiting: Deferred[ActivationAnswer] = Deferred()
    activator.answer = lambda: waiting
    conversation = Conversation(factory)
    conversation.bind()
    assert conversation.call() == []
    clock.advance(45.0)
    assert not conversation.transport.aborted
    waiting.callback(ActivationAnswer(0, b"late"))
    [response] = conversation.receive()
    assert activation.decode_response(response.stub) == (0, b"late")


def test_a_client_that_leaves_in_mid_call_has_its_call_cancelled(
    factory: KmsFactory, activator: Activator, lines: list[dict[str, Any]]
) -> None:
    cancelled: list[object] = []
    activator.answer = lambda: Deferred(cancelled.append)
    conversation = Conversation(factory)
    conversation.bind()
    conversation.call()
    conversation.close(ConnectionLost)
    assert len(cancelled) == 1
    assert [(line["reason"], line["phase"], line["result"]) for line in lines] == [("client-lost", "call", "none")]


def test_an_orphaned_call_is_cancelled_and_the_connection_goes_on(
    factory: KmsFactory, activator: Activator, lines: list[dict[str, Any]]
) -> None:
    waiting: list[Deferred[ActivationAnswer]] = []
    activator.answer = lambda: waiting.append(Deferred()) or waiting[-1]  # type: ignore[func-returns-value]
    conversation = Conversation(factory)
    conversation.bind()
    conversation.call()
    conversation.send(encode(Orphaned(2)))
    activator.answer = lambda: succeed(ActivationAnswer(0, b"second"))
    [response] = conversation.call()
    assert activation.decode_response(response.stub) == (0, b"second")
    conversation.close()
    assert [line["reason"] for line in lines] == ["client-orphaned", "ok"]


def test_more_connections_than_allowed_are_closed_at_once(factory: KmsFactory, lines: list[dict[str, Any]]) -> None:
    open_now = [Conversation(factory) for _ in range(3)]
    refused = Conversation(factory)
    assert refused.transport.aborted
    assert not any(conversation.transport.aborted for conversation in open_now)
    refused.close(ConnectionLost)
    assert [line["reason"] for line in lines] == ["server-connections"]
    open_now[0].close()
    assert not Conversation(factory).transport.aborted


def test_a_client_that_finds_no_interface_of_its_own_is_named_so(
    factory: KmsFactory, lines: list[dict[str, Any]]
) -> None:
    from kmstwist.rpc.pdu import PresentationContext
    from kmstwist.rpc.syntax import NDR32, SyntaxId

    conversation = Conversation(factory)
    epmapper = SyntaxId.make(str(UUID("e1af8308-5d1f-11c9-91a4-08002b14a0fa")), 3)
    conversation.association.bind([PresentationContext(0, epmapper, (NDR32,))])
    conversation.send(conversation.association.data_to_send())
    conversation.close()
    assert [line["reason"] for line in lines] == ["rpc-no-interface"]


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("::ffff:10.0.0.7", "10.0.0.7"),
        ("10.0.0.7", "10.0.0.7"),
        ("2001:db8::7", "2001:db8::7"),
        ("::ffff:a00:7", "10.0.0.7"),
    ],
)
def test_a_mapped_address_is_shown_as_the_ipv4_address_it_is(given: str, shown: str) -> None:
    assert plain_address(given) == shown
