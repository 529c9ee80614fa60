"""The listening protocol on a transport in memory and a clock that the test sets."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address as IPv4
from ipaddress import IPv6Address as IPv6
from typing import Any
from uuid import UUID

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from kmstwist import logevents
from kmstwist.addresses import plain_address
from kmstwist.admission.admission import Admission
from kmstwist.admission.settings import AdmissionSettings
from kmstwist.audit.plain.faults import AuditUnavailable
from kmstwist.audit.records import Recorder, RecordIds, RecordMaker, Told
from kmstwist.conversation.conversation import CONVERSATION
from kmstwist.conversation.factory import KmsFactory
from kmstwist.conversation.protocol import TAKEN, KmsProtocol
from kmstwist.conversation.settings import TimeoutSettings
from kmstwist.conversation.states import Input, State
from kmstwist.kms import interface
from kmstwist.kms.activation import ActivationAnswer, ActivationCall, ActivationFault
from kmstwist.kms.interface import KMS_INTERFACE, WINDOWS_CONTEXTS
from kmstwist.reasons import Reason
from kmstwist.rpc import (
    CONC_MPX,
    FIRST_FRAG,
    LAST_FRAG,
    MGMT_INTERFACE,
    NDR32,
    WHOLE,
    Bind,
    BindAck,
    BindNak,
    Bound,
    ClientAssociation,
    CoCancel,
    Fault,
    FaultReceived,
    FaultStatus,
    Interface,
    Orphaned,
    PresentationContext,
    Request,
    ResponseReceived,
    RpcServer,
    SyntaxId,
    decode,
    encode,
)
from tests.kinds import of_kind
from tests.logs import logger

#: A load balancer, and a network that may not ask.
ADMISSION = {"proxy_from": ["10.0.0.5"], "deny": ["10.66.0.0/16"]}
MESSAGE = b"\0\0\6\0" + os.urandom(256)


class Transport(StringTransport):
    """A StringTransport that can be aborted and half-closed as TCP's can."""

    aborted = False
    half_closed = False
    bufferSize = 65536

    def abortConnection(self) -> None:
        self.aborted = True

    def loseWriteConnection(self) -> None:
        self.half_closed = True


class Activator:
    """Answers as the test says."""

    def __init__(self) -> None:
        self.calls: list[ActivationCall] = []
        self.answer: Callable[[], Deferred[ActivationAnswer]] = lambda: succeed(ActivationAnswer(0, b"answer"))

    def activate(self, call: ActivationCall) -> Deferred[ActivationAnswer]:
        self.calls.append(call)
        return self.answer()


def postponed(waiting: list[Deferred[ActivationAnswer]]) -> Callable[[], Deferred[ActivationAnswer]]:
    """Answers that come when the test fires what is put into `waiting`."""

    def answer() -> Deferred[ActivationAnswer]:
        waiting.append(Deferred())
        return waiting[-1]

    return answer


class Conversation:
    """A client association at one end of a memory transport, the server's protocol at the other."""

    def __init__(self, factory: KmsFactory, client: str = "10.0.0.7") -> None:
        self.protocol: KmsProtocol = factory.buildProtocol(IPv4Address("TCP", client, 50000))
        self.transport = Transport(
            hostAddress=IPv4Address("TCP", "10.0.0.1", 1688), peerAddress=IPv4Address("TCP", client, 50000)
        )
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
        self.association.bind(WINDOWS_CONTEXTS)
        [bound] = self.send(self.association.data_to_send())
        assert isinstance(bound, Bound)
        return bound

    def call(self, stub: bytes = interface.encode_request(MESSAGE)) -> list[Any]:
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
    log = logger(lambda event: lines.append(event["kms_fields"]))
    admission = Admission(AdmissionSettings.model_validate(ADMISSION), clock, connections=3)
    timeouts = TimeoutSettings(first_byte=10, request=20, idle=30, total=100)
    made = KmsFactory(RpcServer((Interface(KMS_INTERFACE, 1),)), clock, admission, timeouts=timeouts, log=log)
    made.activator = activator
    made.doStart()
    yield made
    made.doStop()


def test_a_call_goes_to_the_activator_and_its_answer_back(factory: KmsFactory, activator: Activator) -> None:
    conversation = Conversation(factory)
    conversation.bind()
    [response] = conversation.call()
    assert isinstance(response, ResponseReceived)
    assert interface.decode_response(response.stub) == (0, b"answer")
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
    assert list(line) == list(logevents.CONVERSATION.fields), "the order in which a parser finds them"
    assert (round(line["bind_ms"], 3), line["call_ms"], round(line["total_ms"], 3)) == (10.0, 0.0, 15.0)
    assert (line["bytes_in"], line["bytes_out"]) == (160 + 24 + 8 + 260, 108 + 24 + 12 + 6 + 2 + 4)


def test_the_line_of_a_call_waits_no_longer_than_a_second(
    factory: KmsFactory, clock: Clock, lines: list[dict[str, Any]]
) -> None:
    conversation = Conversation(factory)
    conversation.bind()
    conversation.call()
    clock.advance(0.9)
    assert lines == []
    clock.advance(0.1)
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


def test_bytes_that_are_not_rpc_end_the_connection_after_the_client_could_read_why(
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


def raw_call(number: int, opnum: int, flags: int = WHOLE) -> bytes:
    return encode(Request(number, 0, opnum, b"", 0, flags=flags))


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (encode(Request(9, 0, 0, b"x", 1, flags=WHOLE)), "rpc-not-multiplexed"),
        (b"GET / HTTP/1.1\r\nHost: kms\r\n\r\n", "rpc-not-rpc"),
    ],
)
def test_what_ends_a_connection_in_mid_call_is_in_the_line_of_the_call(
    factory: KmsFactory, activator: Activator, lines: list[dict[str, Any]], wrong: bytes, reason: str
) -> None:
    cancelled: list[object] = []
    activator.answer = lambda: Deferred(cancelled.append)
    conversation = Conversation(factory)
    conversation.bind()
    conversation.call()
    conversation.send(wrong)
    # Nobody waits for the answer now.
    assert len(cancelled) == 1
    conversation.close(ConnectionLost)
    assert [(line["reason"], line["result"], line["phase"], line["end"]) for line in lines] == [
        (reason, "none", "call", "server")
    ]


@pytest.mark.parametrize(
    ("wrong", "reason", "end"),
    [
        (raw_call(9, 0, LAST_FRAG), "rpc-fragment-order", "server"),
        (raw_call(9, 77), "rpc-unknown-operation", "client"),
        (b"GET / HTTP/1.1\r\nHost: kms\r\n\r\n", "rpc-not-rpc", "server"),
    ],
)
def test_a_refusal_after_an_answered_call_has_a_line_of_its_own(
    factory: KmsFactory, lines: list[dict[str, Any]], wrong: bytes, reason: str, end: str
) -> None:
    conversation = Conversation(factory)
    conversation.bind()
    conversation.call()
    conversation.send(wrong)
    conversation.close()
    assert [(line["reason"], line["result"], line["end"]) for line in lines] == [
        ("ok", "answered", "open"),
        (reason, "none", end),
    ]
    assert lines[1]["bytes_in"] == len(wrong)


def test_a_call_cut_at_the_end_of_the_drain_time_says_that_the_server_stops(
    factory: KmsFactory, activator: Activator, lines: list[dict[str, Any]]
) -> None:
    activator.answer = Deferred
    conversation = Conversation(factory)
    conversation.bind()
    conversation.call()
    conversation.protocol.conversation.cut(Reason.SERVER_STOPPING, "not finished within the drain time")
    assert conversation.transport.aborted
    conversation.close(ConnectionLost)
    assert [(line["reason"], line["end"]) for line in lines] == [("server-stopping", "server")]


# The client closes its side.


def test_a_client_that_closes_its_side_after_its_bind_gets_its_bind_ack_and_is_closed(
    factory: KmsFactory, lines: list[dict[str, Any]]
) -> None:
    conversation = Conversation(factory)
    conversation.bind()
    conversation.protocol.readConnectionLost()
    assert conversation.transport.disconnecting
    conversation.close()
    assert [(line["reason"], line["phase"], line["end"]) for line in lines] == [("client-closed", "bound", "client")]


def test_a_client_that_closes_its_side_after_its_request_gets_its_response_and_is_closed(
    factory: KmsFactory, activator: Activator, lines: list[dict[str, Any]]
) -> None:
    waiting: Deferred[ActivationAnswer] = Deferred()
    activator.answer = lambda: waiting
    conversation = Conversation(factory)
    conversation.bind()
    conversation.call()
    conversation.protocol.readConnectionLost()
    assert not conversation.transport.disconnecting
    waiting.callback(ActivationAnswer(0, b"late"))
    [response] = conversation.receive()
    assert interface.decode_response(response.stub) == (0, b"late")
    assert conversation.transport.disconnecting
    conversation.close()
    assert [(line["result"], line["reason"], line["end"]) for line in lines] == [("answered", "ok", "client")]


def test_a_refused_client_that_closes_its_side_is_not_waited_for(factory: KmsFactory, clock: Clock) -> None:
    conversation = Conversation(factory)
    conversation.send(b"GET / HTTP/1.1\r\nHost: kms\r\n\r\n")
    conversation.protocol.readConnectionLost()
    assert (conversation.transport.disconnecting, conversation.transport.aborted) == (True, False)


def test_only_inputs_that_some_states_cause_cannot_happen_in_the_others() -> None:
    assert {input for _, input in CONVERSATION.without_row()} == {
        *(Input.BYTES, Input.NAMED, Input.CALLED, Input.ANSWERED, Input.ALTERED, Input.REFUSED, Input.LATE),
    }
    # Bytes may come in every state except the one in which the client has closed its side.
    assert [state for state, input in CONVERSATION.without_row() if input is Input.BYTES] == [State.FINISHING]


# How long a client may take.


@pytest.mark.parametrize("opnum", [0, 77])
def test_after_a_fault_the_idle_timeout_counts_from_the_answer(
    factory: KmsFactory, clock: Clock, lines: list[dict[str, Any]], opnum: int
) -> None:
    conversation = Conversation(factory)
    conversation.bind()
    for number in range(3):
        # An operation without its arguments, or an unknown one: both are answered with a fault.
        conversation.protocol.dataReceived(raw_call(2 + number, opnum))
        assert isinstance(decode(conversation.transport.value()), Fault)
        conversation.transport.clear()
        clock.advance(19.0)
        assert not conversation.transport.aborted
    clock.advance(12.0)
    assert conversation.transport.aborted
    conversation.close(ConnectionLost)
    assert {line["reason"] for line in lines} == {"rpc-bad-stub" if opnum == 0 else "rpc-unknown-operation"}


def test_after_an_alter_context_the_request_timeout_starts_again(factory: KmsFactory, clock: Clock) -> None:
    conversation = Conversation(factory)
    conversation.bind()
    for number in range(3):
        clock.advance(19.0)
        assert not conversation.transport.aborted
        conversation.association.alter((PresentationContext(7 + number, MGMT_INTERFACE, (NDR32,)),))
        conversation.send(conversation.association.data_to_send())
        assert not conversation.protocol.conversation.answered
    clock.advance(20.5)
    assert conversation.transport.aborted


def test_a_client_that_does_not_read_is_not_read_from(factory: KmsFactory) -> None:
    conversation = Conversation(factory)
    protocol, transport = conversation.protocol, conversation.transport
    assert (transport.producer, transport.streaming) == (protocol, True)
    protocol.pauseProducing()
    assert transport.producerState == "paused"
    protocol.resumeProducing()
    assert transport.producerState == "producing"
    # Once it ends the connection, nothing more is produced, and the transport may close when it has sent all.
    conversation.send(b"GET / HTTP/1.1\r\nHost: kms\r\n\r\n")
    assert transport.producer is None


def test_a_client_that_says_nothing_is_closed_after_the_first_byte_s_timeout(
    factory: KmsFactory, clock: Clock, lines: list[dict[str, Any]]
) -> None:
    conversation = Conversation(factory)
    clock.advance(9.9)
    assert not conversation.transport.aborted
    clock.advance(0.2)
    assert conversation.transport.aborted
    conversation.close(ConnectionLost)
    assert [(line["reason"], line["phase"]) for line in lines] == [("client-idle", "connected")]


def test_a_client_that_feeds_a_byte_at_a_time_gains_no_time(
    factory: KmsFactory, clock: Clock, lines: list[dict[str, Any]]
) -> None:
    conversation = Conversation(factory)
    conversation.association.bind(WINDOWS_CONTEXTS)
    bind = conversation.association.data_to_send()
    for at in range(21):
        conversation.protocol.dataReceived(bind[at : at + 1])
        clock.advance(1.0)
    assert conversation.transport.aborted
    conversation.close(ConnectionLost)
    assert [line["reason"] for line in lines] == ["client-slow"]


def test_a_client_that_feeds_its_request_in_many_whole_fragments_gains_no_time(
    factory: KmsFactory, clock: Clock, lines: list[dict[str, Any]]
) -> None:
    conversation = Conversation(factory)
    conversation.bind()
    for at in range(21):
        flags = FIRST_FRAG if at == 0 else 0
        conversation.protocol.dataReceived(encode(Request(2, 0, 0, b"x", 1, flags=flags)))
        clock.advance(1.0)
    assert conversation.transport.aborted
    conversation.close(ConnectionLost)
    assert [line["reason"] for line in lines] == ["client-slow"]


def test_a_client_that_binds_and_does_not_ask_is_closed_as_idle(
    factory: KmsFactory, clock: Clock, lines: list[dict[str, Any]]
) -> None:
    conversation = Conversation(factory)
    conversation.bind()
    clock.advance(19.9)
    assert not conversation.transport.aborted
    clock.advance(0.2)
    conversation.close(ConnectionLost)
    assert [line["reason"] for line in lines] == ["client-reserve"]
    assert factory.counters.reasons == {}


def test_after_an_answer_the_idle_timeout_counts(factory: KmsFactory, clock: Clock) -> None:
    conversation = Conversation(factory)
    for _ in range(3):
        if conversation.association.context_for(KMS_INTERFACE) is None:
            conversation.bind()
        conversation.call()
        clock.advance(29.0)
        assert not conversation.transport.aborted
    clock.advance(1.5)
    assert conversation.transport.aborted


def test_a_connection_is_closed_after_its_total_however_busy_it_is(factory: KmsFactory, clock: Clock) -> None:
    conversation = Conversation(factory)
    conversation.bind()
    for _ in range(10):
        assert not conversation.transport.aborted
        conversation.call()
        clock.advance(10.0)
    assert conversation.transport.aborted


def test_a_call_under_way_at_the_total_is_finished_first(
    factory: KmsFactory, clock: Clock, activator: Activator
) -> None:
    waiting: Deferred[ActivationAnswer] = Deferred()
    activator.answer = lambda: waiting
    conversation = Conversation(factory)
    conversation.bind()
    conversation.call()
    clock.advance(150.0)
    assert not conversation.transport.aborted
    waiting.callback(ActivationAnswer(0, b"late"))
    [response] = conversation.receive()
    assert interface.decode_response(response.stub) == (0, b"late")
    clock.advance(0.1)
    assert conversation.transport.aborted


@pytest.mark.parametrize("stage", ["connected", "bound", "answered"])
def test_a_connection_that_ends_leaves_no_timer(factory: KmsFactory, clock: Clock, stage: str) -> None:
    # Deadlines of one length have one timer for all connections; it is there after the first.
    for _ in range(2):
        before = len(clock.getDelayedCalls())
        end_at(stage, factory)
    assert len(clock.getDelayedCalls()) == before
    assert factory.admission.open_connections == 0


def end_at(stage: str, factory: KmsFactory) -> None:
    conversation = Conversation(factory)
    if stage != "connected":
        conversation.bind()
    if stage == "answered":
        conversation.call()
    conversation.close()


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
    assert interface.decode_response(response.stub) == (0, b"late")


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
    activator.answer = postponed(waiting)
    conversation = Conversation(factory)
    conversation.bind()
    conversation.call()
    conversation.send(encode(Orphaned(2)))
    activator.answer = lambda: succeed(ActivationAnswer(0, b"second"))
    [response] = conversation.call()
    assert interface.decode_response(response.stub) == (0, b"second")
    conversation.close()
    assert [line["reason"] for line in lines] == ["client-orphaned", "ok"]


def test_more_connections_than_allowed_are_closed_at_once_while_all_have_calls_under_way(
    factory: KmsFactory, activator: Activator, lines: list[dict[str, Any]]
) -> None:
    activator.answer = Deferred
    open_now = [Conversation(factory) for _ in range(3)]
    for conversation in open_now:
        conversation.bind()
        conversation.call()
    refused = Conversation(factory)
    assert refused.transport.aborted
    assert not any(conversation.transport.aborted for conversation in open_now)
    refused.close(ConnectionLost)
    assert [line["reason"] for line in lines] == ["server-connections"]
    open_now[0].close()
    assert not Conversation(factory).transport.aborted


def test_a_connection_that_has_nothing_under_way_makes_room_for_a_client_that_comes(
    factory: KmsFactory, activator: Activator, clock: Clock, lines: list[dict[str, Any]]
) -> None:
    asking, answered, silent = (Conversation(factory) for _ in range(3))
    asking.bind()
    answered.bind()
    answered.call()
    activator.answer = Deferred
    # Of those that have sent nothing the oldest goes first; then those with an answer; then those that do not ask.
    for going in (silent, answered, asking):
        clock.advance(1)
        came = Conversation(factory)
        assert going.transport.aborted
        came.bind()
        came.call()
        assert not came.transport.aborted
        going.close(ConnectionLost)
    assert [(line["client"], line["reason"]) for line in lines] == [
        ("10.0.0.7", "ok"),
        ("10.0.0.7", "server-connections"),
        ("10.0.0.7", "server-connections"),
    ]


def test_clients_that_come_at_once_each_have_the_place_of_another(factory: KmsFactory, clock: Clock) -> None:
    silent = [Conversation(factory) for _ in range(3)]
    # Twisted reports an aborted connection's end only in a later turn.
    came = [Conversation(factory) for _ in range(2)]
    assert [each.transport.aborted for each in silent] == [True, True, False]
    for each in silent[:2]:
        each.close(ConnectionLost)
    assert not any(each.transport.aborted for each in came)
    assert len(factory.connections) == 3


def test_a_client_with_too_many_connections_takes_nobodys_place(
    factory: KmsFactory, lines: list[dict[str, Any]]
) -> None:
    factory.admission.apply(AdmissionSettings.model_validate({**ADMISSION, "client_connections": 2}), connections=3)
    open_now = [Conversation(factory), Conversation(factory), Conversation(factory, "10.0.0.8")]
    refused = Conversation(factory)
    refused.close(ConnectionLost)
    assert [line["reason"] for line in lines] == ["admission-connections"]
    assert [each.transport.aborted for each in (*open_now, refused)] == [False, False, False, True]


def test_a_client_that_finds_no_known_interface_is_logged_as_such(
    factory: KmsFactory, lines: list[dict[str, Any]]
) -> None:
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


# Admission.


def test_a_denied_client_may_bind_and_its_call_is_answered_with_access_denied(
    factory: KmsFactory, activator: Activator, lines: list[dict[str, Any]]
) -> None:
    conversation = Conversation(factory, "10.66.0.7")
    conversation.bind()
    [fault] = conversation.call()
    assert fault.status == FaultStatus.ACCESS_DENIED
    assert activator.calls == []
    conversation.close()
    assert [(line["reason"], line["code"]) for line in lines] == [("admission-network", "0x00000005")]


def test_while_paused_a_call_is_answered_with_too_busy(factory: KmsFactory) -> None:
    factory.admission.paused = True
    conversation = Conversation(factory)
    conversation.bind()
    [fault] = conversation.call()
    assert fault.status == FaultStatus.SERVER_TOO_BUSY


# The PROXY protocol.

V2 = b"\r\n\r\n\x00\r\nQUIT\n"


def v2_header(source: str, port: int) -> bytes:
    addresses = IPv4(source).packed + IPv4("10.0.0.1").packed + struct.pack(">HH", port, 1688)
    return V2 + b"\x21\x11" + struct.pack(">H", len(addresses)) + addresses


def v2_header_ipv6(source: str, port: int) -> bytes:
    addresses = IPv6(source).packed + IPv6("fd00::1").packed + struct.pack(">HH", port, 1688)
    return V2 + b"\x21\x21" + struct.pack(">H", len(addresses)) + addresses


@pytest.mark.parametrize(
    ("header", "client"),
    [
        (b"PROXY TCP4 10.7.7.7 10.0.0.1 40000 1688\r\n", "10.7.7.7"),
        (b"PROXY TCP6 fd00::7 fd00::1 40000 1688\r\n", "fd00::7"),
        (b"PROXY TCP6 ::ffff:10.7.7.8 ::ffff:10.0.0.1 40000 1688\r\n", "10.7.7.8"),
        (v2_header("10.7.7.9", 40000), "10.7.7.9"),
        (v2_header_ipv6("fd00::9", 40000), "fd00::9"),
    ],
)
def test_a_named_balancer_s_header_tells_the_client_and_the_line_tells_both(
    factory: KmsFactory, activator: Activator, lines: list[dict[str, Any]], header: bytes, client: str
) -> None:
    conversation = Conversation(factory, "10.0.0.5")
    conversation.send(header)
    conversation.bind()
    conversation.call()
    assert activator.calls == [ActivationCall(MESSAGE, client, 40000, "10.0.0.5")]
    conversation.close()
    assert [(line["client"], line["port"], line["proxy"]) for line in lines] == [(client, 40000, "10.0.0.5")]


def test_an_association_group_belongs_to_the_client_that_the_header_names(factory: KmsFactory) -> None:
    def answer(client: str, group: int) -> Any:
        conversation = Conversation(factory, "10.0.0.5")
        bind = Bind(2, (PresentationContext(0, KMS_INTERFACE, (NDR32,)),), assoc_group=group)
        conversation.protocol.dataReceived(v2_header(client, 40000) + encode(bind))
        return decode(conversation.transport.value())

    group = answer("10.7.7.7", 0).assoc_group
    assert answer("10.7.7.7", group).assoc_group == group
    assert answer("10.7.7.8", group) == BindNak(2, 0)


def test_the_client_that_the_header_names_is_the_one_that_is_judged(factory: KmsFactory) -> None:
    conversation = Conversation(factory, "10.0.0.5")
    conversation.send(v2_header("10.66.0.7", 40000))
    conversation.bind()
    [fault] = conversation.call()
    assert fault.status == FaultStatus.ACCESS_DENIED


def test_a_header_in_one_piece_with_the_bind_is_read(factory: KmsFactory, activator: Activator) -> None:
    conversation = Conversation(factory, "10.0.0.5")
    conversation.association.bind(WINDOWS_CONTEXTS)
    conversation.send(v2_header("10.7.7.9", 40000) + conversation.association.data_to_send())
    conversation.call()
    assert [call.client for call in activator.calls] == ["10.7.7.9"]


@pytest.mark.parametrize("header", [b"PROXY TCP4 10.7.7.7 10.0.0.1 1 2\r\n", v2_header("10.7.7.7", 1)])
def test_a_header_from_anybody_else_is_refused(factory: KmsFactory, lines: list[dict[str, Any]], header: bytes) -> None:
    conversation = Conversation(factory, "10.0.0.6")
    conversation.send(header)
    assert conversation.transport.aborted
    conversation.close(ConnectionLost)
    assert [(line["client"], line["reason"]) for line in lines] == [("10.0.0.6", "admission-proxy")]


@pytest.mark.parametrize(
    "header",
    [
        b"PROXY UNKNOWN\r\n",
        b"PROXY UNKNOWN 10.7.7.7 10.0.0.1 40000 1688\r\n",
        b"PROXY UNKNOWN \xff\xff  what the sender likes\r\n",
        V2 + b"\x20\x00\x00\x00",
    ],
)
@pytest.mark.parametrize("pieces", [1, 2])
def test_if_the_balancer_cannot_name_the_client_its_own_address_counts(
    factory: KmsFactory, activator: Activator, header: bytes, pieces: int
) -> None:
    conversation = Conversation(factory, "10.0.0.5")
    conversation.association.bind(WINDOWS_CONTEXTS)
    bind = conversation.association.data_to_send()
    conversation.send(header + bind if pieces == 1 else header)
    if pieces == 2:
        conversation.send(bind)
    conversation.call()
    assert [(call.client, call.proxy) for call in activator.calls] == [("10.0.0.5", "10.0.0.5")]


@pytest.mark.parametrize(
    "start",
    [
        b"\x05\x00\x0b\x03" + b"\0" * 60,
        b"GET / HTTP/1.0\r\n\r\n",
        b"PROXY nonsense\r\n",
        b"PROXY TCP4 10.0.0.7 10.0.0.1 99999 x\r\n",
        b"PROXY TCP4 10.0.0.7 10.0.0.1 1 65536\r\n",
        b"PROXY TCP4 10.0.0.7 10.0.0.1 +1 2\r\n",
        b"PROXY TCP4 8.8.8.999 10.0.0.1 1 2\r\n",
        b"PROXY TCP4 10.0.0.7 here 1 2\r\n",
        b"PROXY TCP4 fd00::7 fd00::1 1 2\r\n",
        b"PROXY TCP6 10.0.0.7 10.0.0.1 1 2\r\n",
        b"PROXY TCP6 fe80::7%eth0 fe80::1 1 2\r\n",
        b"PROXY TCP4 10.0.0.7 10.0.0.1 1 2 3\r\n",
        b"PROXY TCP4 \xff.0.0.7 10.0.0.1 1 2\r\n",
    ],
)
def test_a_balancer_without_a_header_is_refused(factory: KmsFactory, lines: list[dict[str, Any]], start: bytes) -> None:
    conversation = Conversation(factory, "10.0.0.5")
    conversation.send(start)
    assert conversation.transport.disconnecting
    conversation.close()
    assert [(line["client"], line["reason"], line["end"]) for line in lines] == [
        ("10.0.0.5", "admission-proxy", "server")
    ]


def test_a_balancer_s_health_check_has_one_line(factory: KmsFactory, lines: list[dict[str, Any]]) -> None:
    conversation = Conversation(factory, "10.0.0.5")
    conversation.close()
    assert [(line["client"], line["reason"]) for line in lines] == [("10.0.0.5", "client-check")]
    assert factory.counters.reasons == {}
    assert factory.admission.open_connections == 0


def test_each_call_of_a_multiplexed_connection_has_its_own_line(
    factory: KmsFactory, activator: Activator, lines: list[dict[str, Any]]
) -> None:
    waiting: list[Deferred[ActivationAnswer]] = []

    def later() -> Deferred[ActivationAnswer]:
        waiting.append(Deferred())
        return waiting[-1]

    activator.answer = later
    conversation = Conversation(factory)
    context = PresentationContext(0, KMS_INTERFACE, (NDR32,))
    conversation.protocol.dataReceived(encode(Bind(1, (context,), flags=WHOLE | CONC_MPX)))
    for call_id in (1, 2, 3):
        conversation.protocol.dataReceived(encode(Request(call_id, 0, 0, interface.encode_request(MESSAGE))))
    waiting[1].callback(ActivationAnswer(0, b"second", upstream="kms-b"))
    waiting[0].callback(ActivationAnswer(0, b"first", upstream="kms-a"))
    conversation.close(ConnectionLost)
    assert [(line["upstream"], line["result"], line["reason"]) for line in lines] == [
        ("kms-b", "answered", "ok"),
        ("kms-a", "answered", "ok"),
        (None, "none", "client-lost"),
    ]


def test_a_reply_waits_for_its_record_and_is_refused_if_it_cannot_be_stored(
    factory: KmsFactory, lines: list[dict[str, Any]]
) -> None:
    committing: list[Told] = []

    class Audit:
        maker = RecordMaker("gateway", lambda: 1_700_000_000.0, RecordIds(os.urandom))
        records: list[Any] = []

        def take(self, record: Any, told: Told) -> None:
            self.records.append(record)
            committing.append(told)

    audit = Audit()
    factory.recorder = Recorder(audit)
    conversation = Conversation(factory)
    conversation.bind()
    assert conversation.call() == []
    committing[0](None)
    [response] = conversation.receive()
    assert isinstance(response, ResponseReceived)
    assert conversation.call() == []
    committing[1](AuditUnavailable("the disk is full"))
    [fault] = conversation.receive()
    assert fault.status == FaultStatus.SERVER_TOO_BUSY
    conversation.close()
    assert [line["reason"] for line in lines] == ["ok", "audit-unavailable"]
    assert [(record.client, record.hresult) for record in audit.records] == [("10.0.0.7", 0), ("10.0.0.7", 0)]


def test_a_client_that_leaves_in_mid_call_is_recorded_so(factory: KmsFactory, activator: Activator) -> None:
    class Audit:
        maker = RecordMaker("gateway", lambda: 1_700_000_000.0, RecordIds(os.urandom))
        records: list[Any] = []

        def take(self, record: Any, told: Told) -> None:
            self.records.append(record)
            told(None)

    audit = Audit()
    factory.recorder = Recorder(audit)
    activator.answer = lambda: Deferred()
    conversation = Conversation(factory)
    conversation.bind()
    conversation.call()
    conversation.close(ConnectionLost)
    [record] = audit.records
    assert (record.reason, record.version, record.hresult, record.fault) == (Reason.CLIENT_LOST, 6, None, None)


def test_a_monitor_that_keeps_asking_the_management_interface_stays_connected(
    factory: KmsFactory, clock: Clock
) -> None:
    conversation = Conversation(factory)
    management = PresentationContext(0, MGMT_INTERFACE, (NDR32,))
    conversation.protocol.dataReceived(encode(Bind(1, (management,))))
    for call_id in range(2, 7):
        clock.advance(15.0)
        conversation.protocol.dataReceived(encode(Request(call_id, 0, 2, b"")))
    assert not conversation.transport.aborted
    clock.advance(31.0)
    assert conversation.transport.aborted


def flood(number: int) -> bytes:
    """This many cancels, which get no answer."""
    return encode(CoCancel(7)) * number


def one_turn(clock: Clock) -> None:
    """Do what a reactor does in one turn: the calls that are due now, and none that these schedule."""
    for each in [call for call in clock.getDelayedCalls() if call.getTime() <= clock.seconds()]:
        call: Any = each
        function, arguments = call.func, call.args
        call.cancel()
        function(*arguments)


def test_a_flood_is_taken_a_few_pdus_a_turn_and_nothing_is_read_meanwhile(factory: KmsFactory, clock: Clock) -> None:
    taken = factory.rpc.statistics
    one, other = Conversation(factory), Conversation(factory, "10.0.0.8")
    one.bind()
    assert one.transport.bufferSize == 512
    before, turns = taken.packets_in, []
    one.protocol.dataReceived(flood(1000))
    while True:
        turns.append(taken.packets_in - before)
        before = taken.packets_in
        if len(turns) == 3:
            # The other has its turn in between, however much of the first one's bytes is left.
            assert other.bind() is not None
            before = taken.packets_in
        if one.transport.producerState == "producing":
            break
        one_turn(clock)
        assert len(turns) < 1000
    assert sum(turns) == 1000
    assert max(turns) <= 2048 // 16
    assert one.call() != []


def test_a_client_that_does_not_read_is_not_read_from_after_its_turn(factory: KmsFactory, clock: Clock) -> None:
    one = Conversation(factory)
    one.bind()
    one.protocol.dataReceived(flood(300))
    one.protocol.pauseProducing()
    clock.pump([0] * 10)
    assert one.transport.producerState == "paused"
    one.protocol.resumeProducing()
    assert one.transport.producerState == "producing"
    # The other way round: it reads again while its bytes still wait for their turn.
    one.protocol.dataReceived(flood(300))
    one.protocol.pauseProducing()
    one.protocol.resumeProducing()
    assert one.transport.producerState == "paused"
    clock.pump([0] * 10)
    assert one.transport.producerState == "producing"


def test_a_flood_of_pdus_that_are_not_calls_is_limited_by_the_rate_of_calls(
    factory: KmsFactory, clock: Clock, lines: list[dict[str, Any]]
) -> None:
    settings = AdmissionSettings(client_rate=60, client_burst=2)
    factory.admission.apply(settings, connections=3)
    one = Conversation(factory)
    one.bind()
    one.send(flood(18))
    assert not one.transport.aborted
    one.send(flood(2))
    assert one.transport.aborted
    one.close()
    assert lines[-1]["reason"] == "admission-rate"
    assert "PDUs a minute" in lines[-1]["detail"]


def test_a_denied_client_is_answered_and_may_not_flood_either(factory: KmsFactory, lines: list[dict[str, Any]]) -> None:
    one = Conversation(factory, "192.0.2.7")
    one.bind()
    [fault] = one.call()
    assert fault.status == FaultStatus.ACCESS_DENIED
    one.send(flood(97))
    assert not one.transport.aborted
    one.send(flood(2))
    assert one.transport.aborted
    one.close()
    again = Conversation(factory, "192.0.2.7")
    again.bind()
    again.send(flood(1))
    assert again.transport.aborted
    again.close()
    assert lines[-1]["reason"] == "admission-network"


def test_a_request_in_tiny_fragments_is_refused(factory: KmsFactory, lines: list[dict[str, Any]]) -> None:
    one = Conversation(factory)
    one.bind()
    first = Request(2, 0, 0, b"", 0, flags=FIRST_FRAG)
    crumb = Request(2, 0, 0, b"", 0, flags=0)
    one.send(encode(first))
    answers = []
    for _ in range(60):
        answers += one.send(encode(crumb) * 20)
        if answers:
            break
    assert answers
    one.close()
    assert lines[-1]["reason"] == "rpc-request-too-large"
    assert "fragments for 0 bytes" in lines[-1]["detail"]


def test_connections_that_send_much_and_ask_nothing_take_turns_and_others_do_not_wait(
    factory: KmsFactory, clock: Clock
) -> None:
    factory.admission.apply(AdmissionSettings(), connections=100)
    noisy = [Conversation(factory, f"10.0.1.{number}") for number in range(7)]
    for one in noisy:
        one.bind()
        one.send(flood(40))

    def read_from() -> list[int]:
        return [number for number, one in enumerate(noisy) if one.transport.producerState == "producing"]

    assert read_from() == []
    good = Conversation(factory)
    good.bind()
    assert good.call() != []
    assert good.transport.producerState == "producing"
    clock.advance(0.002)
    assert read_from() == [0, 1]
    # One goes on sending and queues again; the other has sent all, and is read from when it sends more.
    noisy[0].send(flood(40))
    clock.advance(0.002)
    assert read_from() == [1, 2, 3]
    clock.pump([0.002] * 3)
    assert read_from() == list(range(7))
    # A connection that asks is no longer one of them.
    assert noisy[2].call() != []
    noisy[2].send(flood(3))
    assert noisy[2].transport.producerState == "producing"
    for one in noisy:
        one.close()
    good.close()


def test_a_stub_that_does_not_unmarshal_is_answered_once_its_record_is_stored(
    factory: KmsFactory, activator: Activator
) -> None:
    waiting: list[Told] = []
    factory.recorder.record = lambda account, told: waiting.append(told)  # type: ignore[method-assign]
    conversation = Conversation(factory)
    conversation.bind()
    assert conversation.call(b"\xff" * 8) == []
    # The writer counts the failure; the fault is sent nevertheless, for it grants nothing.
    waiting[0](AuditUnavailable("the store is full"))
    [fault] = conversation.receive()
    assert isinstance(fault, FaultReceived)
    assert fault.status == FaultStatus.BAD_STUB_DATA
    assert activator.calls == []


def test_an_answer_that_cannot_be_recorded_for_a_defect_of_ours_is_a_fault(
    factory: KmsFactory, lines: list[dict[str, Any]]
) -> None:
    waiting: list[Told] = []
    factory.recorder.record = lambda account, told: waiting.append(told)  # type: ignore[method-assign]
    conversation = Conversation(factory)
    conversation.bind()
    assert conversation.call() == []
    waiting[0](ZeroDivisionError("a defect"))
    [fault] = conversation.receive()
    assert isinstance(fault, FaultReceived)
    assert fault.status == FaultStatus.CALL_FAILED
    assert [line["detail"] for line in lines if "traceback" in line] == ["recording a call"]


@pytest.mark.parametrize("stored_well", [True, False], ids=["stored", "not-stored"])
def test_a_client_that_leaves_while_its_record_is_written_is_sent_nothing(
    factory: KmsFactory, stored_well: bool
) -> None:
    waiting: list[Told] = []
    factory.recorder.record = lambda account, told: waiting.append(told)  # type: ignore[method-assign]
    conversation = Conversation(factory)
    conversation.bind()
    assert conversation.call() == []
    conversation.close()
    written = conversation.transport.value()
    if stored_well:
        waiting[0](None)
    else:
        waiting[0](AuditUnavailable("the store is full"))
    assert conversation.transport.value() == written


def test_a_client_that_leaves_before_the_answer_gets_none(factory: KmsFactory, activator: Activator) -> None:
    waiting: list[Deferred[ActivationAnswer]] = []

    def stubborn() -> Deferred[ActivationAnswer]:
        # Its canceller does nothing, so the answer still comes.
        waiting.append(Deferred(lambda cancelled: cancelled.callback(ActivationAnswer(0, b"late"))))
        return waiting[-1]

    activator.answer = stubborn
    conversation = Conversation(factory)
    conversation.bind()
    conversation.call()
    conversation.close()
    assert waiting[0].called
    assert conversation.transport.value() == b""


def test_the_server_is_told_when_its_last_connection_has_ended(factory: KmsFactory) -> None:
    idle: list[str] = []
    first, second = Conversation(factory), Conversation(factory)
    factory.when_idle = lambda: idle.append("idle")
    first.close()
    assert idle == []
    second.close()
    assert idle == ["idle"]


def test_a_status_is_a_response_and_no_activation(factory: KmsFactory, activator: Activator) -> None:
    activator.answer = lambda: succeed(ActivationAnswer(0xC004F042, b""))
    conversation = Conversation(factory)
    conversation.bind()
    [response] = conversation.call()
    assert interface.decode_response(response.stub) == (0xC004F042, b"")
    assert factory.activations == 0
    activator.answer = lambda: succeed(ActivationAnswer(0, b"answer"))
    conversation.call()
    assert factory.activations == 1


def test_a_header_that_comes_in_pieces_is_put_together(factory: KmsFactory, activator: Activator) -> None:
    conversation = Conversation(factory, "10.0.0.5")
    header = v2_header("10.7.7.7", 40000)
    for at in range(len(header)):
        assert conversation.send(header[at : at + 1]) == []
    conversation.bind()
    conversation.call()
    assert [call.client for call in activator.calls] == ["10.7.7.7"]


def test_a_refused_client_that_is_being_given_a_moment_is_cut_at_the_end_of_the_drain_time(
    factory: KmsFactory, lines: list[dict[str, Any]]
) -> None:
    conversation = Conversation(factory)
    conversation.protocol.dataReceived(b"GET / HTTP/1.1\r\n\r\n")
    conversation.protocol.conversation.cut(Reason.SERVER_STOPPING, "not finished within the drain time")
    assert conversation.transport.aborted
    conversation.close(ConnectionLost)
    # Its line still gives the reason for the refusal.
    assert [(line["reason"], line["end"]) for line in lines] == [("rpc-not-rpc", "server")]


def test_a_refused_client_that_leaves_while_its_record_is_written_is_sent_nothing(factory: KmsFactory) -> None:
    waiting: list[Told] = []
    factory.recorder.record = lambda account, told: waiting.append(told)  # type: ignore[method-assign]
    conversation = Conversation(factory, "10.66.0.1")
    conversation.bind()
    assert conversation.call() == []
    conversation.close()
    waiting[0](None)
    assert conversation.transport.value() == b""


def test_the_system_is_asked_once_for_the_port_that_clients_connect_to(
    factory: KmsFactory, activator: Activator
) -> None:
    asked: list[str] = []

    class Accepted(Transport):
        """A transport that says which port accepted it, as TCP's does."""

        server = Clock()  # Any object that lives as long as the port.

        def getHost(self) -> IPv4Address:
            asked.append("asked")
            return IPv4Address("TCP", "10.0.0.1", 1688)

    for port in (50001, 50002):
        protocol = factory.buildProtocol(IPv4Address("TCP", "10.0.0.7", port))
        protocol.makeConnection(Accepted(peerAddress=IPv4Address("TCP", "10.0.0.7", port)))
        protocol.dataReceived(encode(Bind(2, (PresentationContext(0, KMS_INTERFACE, (NDR32,)),))))
        [ack] = of_kind(BindAck, [decode(protocol.transport.value())])
        assert ack.secondary_address == b"1688"
    assert asked == ["asked"]


def test_a_client_that_sends_much_at_once_and_leaves_is_not_read_any_more(factory: KmsFactory, clock: Clock) -> None:
    conversation = Conversation(factory)
    conversation.bind()
    much = encode(CoCancel(9)) * (3 * TAKEN // 16)
    conversation.protocol.dataReceived(much)
    # More arrives before the rest has had its turn, and waits behind it.
    conversation.protocol.dataReceived(much)
    assert conversation.transport.producerState == "paused"
    conversation.close()
    received = conversation.protocol.conversation.log.bytes_in
    clock.advance(0)
    assert conversation.protocol.conversation.log.bytes_in == received


def test_each_step_of_a_connection_is_traced_if_asked_for(factory: KmsFactory, lines: list[dict[str, Any]]) -> None:
    Conversation(factory).bind()
    assert lines == []
    factory.tracing = True
    conversation = Conversation(factory)
    conversation.bind()
    conversation.call()
    assert {(line["client"], line["port"]) for line in lines} == {("10.0.0.7", 50000)}
    steps = [line["step"] for line in lines]
    assert steps[:2] == ["conversation: header, named: opening", "conversation: opening, bytes: asking"]
    assert "server association: bound, Request: bound" in steps
    assert {step.split(":")[0] for step in steps} == {"conversation", "server association"}


def test_a_connection_that_was_open_at_a_reload_is_forgotten_at_its_end(factory: KmsFactory) -> None:
    conversation = Conversation(factory)
    before = factory.times
    factory.timeouts = TimeoutSettings(total=50)
    conversation.close()
    assert not before.total
