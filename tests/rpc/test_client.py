"""The client's side of an association."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmstwist.kms.interface import KMS_INTERFACE, MANAGEMENT_CONTEXTS, WINDOWS_CONTEXTS
from kmstwist.reasons import Reason
from kmstwist.rpc import (
    DID_NOT_EXECUTE,
    FIRST_FRAG,
    LAST_FRAG,
    MAX_RESPONSE,
    MGMT_INTERFACE,
    NDR32,
    NDR64,
    WHOLE,
    AcceptedContext,
    AlterContext,
    AlterContextResp,
    Auth3,
    Bind,
    BindAck,
    BindNak,
    BindRejected,
    Bound,
    ClientAssociation,
    ClientEvent,
    CoCancel,
    ContextOutcome,
    Fault,
    FaultReceived,
    Orphaned,
    OtherPdu,
    Pdu,
    Request,
    Response,
    ResponseReceived,
    ServerBroke,
    Shutdown,
    ShutdownRequested,
    decode,
    encode,
)
from tests.kinds import of_kind

from .peer import Peer, kms_context, split

ACCEPTED, REFUSED, FEATURES = ContextOutcome(0, 0, NDR32), ContextOutcome(2, 2), ContextOutcome(3, 3)
RESULTS = (ACCEPTED, REFUSED, FEATURES)
ACK = BindAck(2, RESULTS, 4280, 4280, 77, b"1688")


class Client:
    """A client association and what a server sends it."""

    def __init__(self) -> None:
        self.association = ClientAssociation()

    def sent(self) -> list[Pdu]:
        return [decode(piece) for piece in split(self.association.data_to_send())]

    def receives(self, *pdus: Pdu, little_endian: bool = True) -> list[ClientEvent]:
        return self.association.receive_data(b"".join(encode(pdu, little_endian=little_endian) for pdu in pdus))

    def call(self, stub: bytes = b"") -> int:
        return self.association.call(kms_context(self.association), 0, stub)


def bound_client(ack: BindAck = ACK) -> Client:
    client = Client()
    client.association.bind(WINDOWS_CONTEXTS)
    client.sent()
    client.receives(ack)
    return client


def broke(events: list[ClientEvent], why: str) -> None:
    [event] = events
    assert type(event) is ServerBroke
    assert event.reason is Reason.UPSTREAM_PROTOCOL
    assert why in event.detail


# Binding.


def test_it_binds_as_a_windows_client_does() -> None:
    client = Client()
    client.association.bind(WINDOWS_CONTEXTS)
    assert client.sent() == [Bind(2, WINDOWS_CONTEXTS)]


def test_what_the_server_acknowledged_is_noted() -> None:
    client = bound_client()
    association = client.association
    assert association.contexts == [AcceptedContext(WINDOWS_CONTEXTS[0], False)]
    assert (association.group, association.secondary_address, association.fragment_size) == (77, "1688", 4280)


def test_the_owner_is_told_the_results_in_the_order_proposed() -> None:
    client = Client()
    client.association.bind(WINDOWS_CONTEXTS)
    assert client.receives(ACK) == [Bound(WINDOWS_CONTEXTS, RESULTS)]


def test_a_server_that_takes_ndr64_is_called_in_ndr64() -> None:
    client = bound_client(BindAck(2, (REFUSED, ContextOutcome(0, 0, NDR64), FEATURES)))
    context = client.association.context_for(KMS_INTERFACE)
    assert context == AcceptedContext(WINDOWS_CONTEXTS[1], True)
    call_id = client.call(b"wide")
    assert client.sent() == [Request(call_id, 1, 0, b"wide", 4)]
    [answer] = client.receives(Response(call_id, 1, b"answer"))
    assert answer == ResponseReceived(call_id, b"answer", True, True)


def test_an_interface_that_was_not_accepted_has_no_context() -> None:
    assert bound_client(BindAck(2, (REFUSED, REFUSED, FEATURES))).association.context_for(KMS_INTERFACE) is None


def test_a_refused_bind_is_the_end() -> None:
    client = Client()
    client.association.bind(WINDOWS_CONTEXTS)
    assert client.receives(BindNak(2, 4), ACK) == [BindRejected(4)]
    assert client.receives(ACK) == []


@pytest.mark.parametrize("results", [(), RESULTS[:2], (*RESULTS, REFUSED)])
def test_a_bind_ack_with_another_number_of_results_is_a_violation(results: tuple[ContextOutcome, ...]) -> None:
    client = Client()
    client.association.bind(WINDOWS_CONTEXTS)
    broke(client.receives(BindAck(2, results)), f"{len(results)} results for 3 contexts")


def test_a_server_that_offers_tiny_fragments_is_taken_at_the_minimum() -> None:
    assert bound_client(BindAck(2, RESULTS, 16, 16)).association.fragment_size == 2048


def test_a_feature_accepted_as_a_transfer_syntax_is_not_a_context_for_calls() -> None:
    features = WINDOWS_CONTEXTS[2].transfers[0]
    client = Client()
    client.association.bind(WINDOWS_CONTEXTS)
    ack = BindAck(2, (REFUSED, REFUSED, ContextOutcome(0, 0, features)))
    assert client.receives(ack) == [Bound(WINDOWS_CONTEXTS, ack.results)]
    assert client.association.contexts == []
    assert client.association.context_for(KMS_INTERFACE) is None


@pytest.mark.parametrize(
    "results",
    [
        (ContextOutcome(0, 0, NDR64), REFUSED, FEATURES),
        (ACCEPTED, ContextOutcome(0, 0, NDR32), FEATURES),
        (ACCEPTED, REFUSED, ContextOutcome(0, 0, NDR32)),
        (ContextOutcome(0), REFUSED, FEATURES),
    ],
)
def test_a_transfer_syntax_that_was_not_proposed_for_its_context_is_the_servers_breach(
    results: tuple[ContextOutcome, ...],
) -> None:
    client = Client()
    client.association.bind(WINDOWS_CONTEXTS)
    broke(client.receives(BindAck(2, results)), "accepted with a transfer syntax that was not proposed")
    assert client.association.contexts == []


def test_a_garbled_secondary_address_is_not_an_error() -> None:
    assert bound_client(BindAck(2, RESULTS, secondary_address=b"\xff")).association.secondary_address == "\ufffd"


def test_further_contexts_can_be_added() -> None:
    client = bound_client()
    call_id = client.association.alter(MANAGEMENT_CONTEXTS)
    assert client.sent() == [AlterContext(call_id, MANAGEMENT_CONTEXTS, assoc_group=77)]
    assert client.receives(AlterContextResp(call_id, (ACCEPTED,))) == [Bound(MANAGEMENT_CONTEXTS, (ACCEPTED,))]
    assert client.association.context_for(MGMT_INTERFACE) == AcceptedContext(MANAGEMENT_CONTEXTS[0], False)


def test_an_alter_context_may_be_answered_with_a_fault() -> None:
    client = bound_client()
    call_id = client.association.alter(MANAGEMENT_CONTEXTS)
    assert client.receives(Fault(call_id, 0, 5)) == [FaultReceived(call_id, 5, False)]
    assert client.association.calls_under_way == 0


# Calls.


def test_calls_are_numbered_from_2_and_wrap_past_32_bits_without_0() -> None:
    client = bound_client()
    assert [client.call(), client.call()] == [2, 3]
    client.association.next_call_id = 0xFFFFFFFF
    assert [client.call(), client.call()] == [0xFFFFFFFF, 1]


def test_a_request_is_cut_to_what_the_server_takes() -> None:
    client = bound_client(BindAck(2, RESULTS, 2048, 2048))
    stub = bytes(i % 251 for i in range(5000))
    call_id = client.call(stub)
    requests = of_kind(Request, client.sent())
    assert b"".join(request.stub for request in requests) == stub
    assert [request.flags for request in requests] == [FIRST_FRAG, 0, LAST_FRAG]
    assert [request.alloc_hint for request in requests] == [5000, 5000 - 2024, 5000 - 4048]
    assert {request.call_id for request in requests} == {call_id}


def test_answers_may_come_in_any_order() -> None:
    client = bound_client()
    first, second = client.call(), client.call()
    assert client.association.calls_under_way == 2
    events = client.receives(Response(second, 0, b"2"), Fault(first, 0, 9, flags=WHOLE | DID_NOT_EXECUTE))
    assert events == [ResponseReceived(second, b"2", False, True), FaultReceived(first, 9, True)]
    assert client.association.calls_under_way == 0


def test_a_response_in_fragments_is_joined() -> None:
    client = bound_client()
    call_id = client.call()
    pieces = [(b"one ", FIRST_FRAG), (b"two ", 0), (b"three", LAST_FRAG)]
    events = client.receives(*[Response(call_id, 0, stub, flags=flags) for stub, flags in pieces])
    assert events == [ResponseReceived(call_id, b"one two three", False, True)]
    assert client.association.buffered == 0


def test_a_big_endian_servers_answers_are_read_as_such() -> None:
    client = Client()
    client.association.bind(WINDOWS_CONTEXTS)
    client.receives(ACK, little_endian=False)
    call_id = client.call()
    [answer] = client.receives(Response(call_id, 0, b"stub"), little_endian=False)
    assert answer == ResponseReceived(call_id, b"stub", False, False)


def test_half_a_response_is_waited_for() -> None:
    client = bound_client()
    call_id = client.call()
    data = encode(Response(call_id, 0, b"whole"))
    assert client.association.receive_data(data[:-1]) == []
    assert client.association.buffered == len(data) - 1
    assert len(client.association.receive_data(data[-1:])) == 1


def test_a_response_larger_than_anything_we_ask_for_is_a_violation() -> None:
    client = bound_client()
    call_id = client.call()
    events = client.receives(Response(call_id, 0, b"", flags=FIRST_FRAG))
    for _ in range(MAX_RESPONSE // 4000 + 1):
        assert events == []
        events = client.receives(Response(call_id, 0, bytes(4000), flags=0))
    broke(events, "more than 65536 bytes")
    assert client.association.buffered == 0


@pytest.mark.parametrize("flags", [0, LAST_FRAG])
def test_a_response_fragment_without_its_first_is_a_violation(flags: int) -> None:
    client = bound_client()
    broke(client.receives(Response(client.call(), 0, b"", flags=flags)), "not under way")


def test_a_response_begun_twice_is_a_violation() -> None:
    client = bound_client()
    call_id = client.call()
    begun = Response(call_id, 0, b"", flags=FIRST_FRAG)
    broke(client.receives(begun, begun), "not under way")


@pytest.mark.parametrize("answer", [Response(99, 0, b""), Fault(99, 0, 5), AlterContextResp(99, ())])
def test_an_answer_to_a_call_that_was_not_made_is_a_violation(answer: Pdu) -> None:
    client = bound_client()
    client.call()
    broke(client.receives(answer), "an answer to call 99")
    assert client.association.calls_under_way == 0


def test_an_answer_of_the_wrong_kind_is_a_violation() -> None:
    client = bound_client()
    broke(client.receives(AlterContextResp(client.call(), ())), "not under way")
    client = bound_client()
    call_id = client.association.alter(MANAGEMENT_CONTEXTS)
    broke(client.receives(Response(call_id, 0, b"")), "not under way")


def test_an_answer_is_taken_once() -> None:
    client = bound_client()
    call_id = client.call()
    client.receives(Response(call_id, 0, b""))
    broke(client.receives(Response(call_id, 0, b"")), "not under way")


def test_a_cancelled_call_is_reported_to_the_server_and_its_answer_dropped() -> None:
    client = bound_client()
    given_up, kept = client.call(), client.call()
    client.sent()
    client.association.orphan(given_up)
    assert client.sent() == [Orphaned(given_up)]
    assert client.association.calls_under_way == 1
    events = client.receives(Response(given_up, 0, b"", flags=FIRST_FRAG), Response(given_up, 0, b"", flags=LAST_FRAG))
    assert events == []
    assert client.receives(Response(kept, 0, b"kept")) == [ResponseReceived(kept, b"kept", False, True)]


def test_the_fault_of_a_call_given_up_is_dropped() -> None:
    client = bound_client()
    call_id = client.call()
    client.association.orphan(call_id)
    assert client.receives(Fault(call_id, 0, 5)) == []


def test_a_call_that_is_not_under_way_cannot_be_given_up() -> None:
    client = bound_client()
    client.association.orphan(99)
    assert client.sent() == []


# What no server sends.


@pytest.mark.parametrize(
    "pdu",
    [
        Bind(2, ()),
        AlterContext(2, ()),
        Request(2, 0, 0, b""),
        CoCancel(2),
        Orphaned(2),
        Auth3(2),
        OtherPdu(2, 1),
        OtherPdu(2, 77),
    ],
    ids=lambda pdu: type(pdu).__name__,
)
@pytest.mark.parametrize("state", ["idle", "binding", "bound"])
def test_a_pdu_that_no_server_sends_is_a_violation_at_any_time(pdu: Pdu, state: str) -> None:
    client = bound_client() if state == "bound" else Client()
    if state == "binding":
        client.association.bind(WINDOWS_CONTEXTS)
    broke(client.receives(pdu), f"a server may not send {type(pdu).__name__} here")


@pytest.mark.parametrize(
    ("state", "unexpected"),
    [
        ("idle", [ACK, BindNak(2, 0), AlterContextResp(2, ()), Response(2, 0, b""), Fault(2, 0, 5)]),
        ("binding", [AlterContextResp(2, ()), Response(2, 0, b""), Fault(2, 0, 5)]),
        ("bound", [ACK, BindNak(2, 0)]),
    ],
)
def test_an_answer_to_nothing_we_asked_is_a_violation(state: str, unexpected: list[Pdu]) -> None:
    for pdu in unexpected:
        client = bound_client() if state == "bound" else Client()
        if state == "binding":
            client.association.bind(WINDOWS_CONTEXTS)
        broke(client.receives(pdu), f"a server may not send {type(pdu).__name__} here")


@pytest.mark.parametrize("garbage", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\5\0\0\3\x10\0\0\0\xff\xff\0\0\0\0\0\0"])
def test_garbage_is_a_violation_and_the_end(garbage: bytes) -> None:
    client = bound_client()
    [event] = client.association.receive_data(garbage)
    assert type(event) is ServerBroke
    assert client.association.receive_data(garbage) == []
    assert client.association.buffered == 0


def test_a_shutdown_is_passed_on_at_any_time_and_ends_nothing() -> None:
    client = Client()
    assert client.receives(Shutdown(0)) == [ShutdownRequested()]
    client.association.bind(WINDOWS_CONTEXTS)
    assert client.receives(Shutdown(0), ACK) == [ShutdownRequested(), Bound(WINDOWS_CONTEXTS, RESULTS)]
    call_id = client.call()
    assert client.receives(Shutdown(0), Response(call_id, 0, b"")) == [
        ShutdownRequested(),
        ResponseReceived(call_id, b"", False, True),
    ]


# Both sides together.


@given(st.binary(max_size=9000), st.binary(max_size=9000), st.sampled_from([2048, 3000, 5840]))
def test_any_question_and_answer_pass_between_our_two_sides(question: bytes, answer: bytes, size: int) -> None:
    peer, client = Peer(), ClientAssociation()
    peer.send(Bind(2, WINDOWS_CONTEXTS, size, size))
    client.bind(WINDOWS_CONTEXTS)
    client.data_to_send()
    assert [type(event) for event in client.receive_data(peer.raw[0])] == [Bound]
    call_id = client.call(kms_context(client), 0, question)
    assert client.fragment_size == size & ~7
    peer.send_bytes(client.data_to_send())
    [call] = peer.calls
    assert call.stub == question
    peer.association.respond(call, answer)
    assert client.receive_data(peer.association.data_to_send()) == [ResponseReceived(call_id, answer, False, True)]
