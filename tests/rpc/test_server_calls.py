"""Requests on a bound association: fragments, interleaving, limits, cancels, orphans, answers."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmstwist.kms.interface import KMS_INTERFACE
from kmstwist.reasons import Reason
from kmstwist.rpc import (
    CONC_MPX,
    DID_NOT_EXECUTE,
    FIRST_FRAG,
    LAST_FRAG,
    MAYBE,
    NDR32,
    OBJECT_UUID,
    PENDING_CANCEL,
    WHOLE,
    CallOrphaned,
    CallReceived,
    CoCancel,
    Fault,
    Interface,
    Orphaned,
    PresentationContext,
    Refused,
    Request,
    Response,
    RpcServer,
)
from kmstwist.rpc.mgmt import MANAGEMENT
from tests.kinds import of_kind

from .peer import KMS64_CONTEXT, MGMT_CONTEXT, Peer, bound_peer, make_server

PROTOCOL_ERROR, NO_MEMORY, TOO_BUSY, DENIED = 0x1C01000B, 0x1C00001B, 0x1C010014, 5
UNKNOWN_INTERFACE, OP_RANGE, BAD_STUB, NO_CALL_ACTIVE = 0x1C010003, 0x1C010002, 0x6F7, 0x6BD
NOT_EXECUTED = WHOLE | DID_NOT_EXECUTE


def first(call_id: int, stub: bytes = b"", context_id: int = 0, opnum: int = 0, alloc_hint: int = 0) -> Request:
    return Request(call_id, context_id, opnum, stub, flags=FIRST_FRAG, alloc_hint=alloc_hint)


def middle(call_id: int, stub: bytes = b"", context_id: int = 0, opnum: int = 0) -> Request:
    return Request(call_id, context_id, opnum, stub, flags=0)


def last(call_id: int, stub: bytes = b"", context_id: int = 0, opnum: int = 0) -> Request:
    return Request(call_id, context_id, opnum, stub, flags=LAST_FRAG)


def multiplexed_peer(server: RpcServer | None = None) -> Peer:
    return bound_peer(server, flags=WHOLE | CONC_MPX)


# One call.


def test_a_call_is_handed_out_and_its_answer_sent() -> None:
    peer = bound_peer()
    assert peer.send(Request(7, 0, 0, b"question")) == []
    [call] = peer.calls
    assert (call.call_id, call.opnum, call.stub, call.ndr64, call.context.interface.syntax) == (
        7,
        0,
        b"question",
        False,
        KMS_INTERFACE,
    )
    assert peer.respond(call, b"answer") == [Response(7, 0, b"answer", 6)]
    assert peer.association.calls == {}


def test_a_call_may_be_answered_with_a_fault() -> None:
    peer = bound_peer()
    peer.send(Request(7, 0, 0, b""))
    peer.association.fault(peer.calls[0], 0x6BA)
    assert peer.receive() == [Fault(7, 0, 0x6BA)]
    peer.send(Request(8, 0, 0, b""))
    peer.association.fault(peer.calls[1], 0x6BB, did_not_execute=True)
    assert peer.receive() == [Fault(8, 0, 0x6BB, flags=NOT_EXECUTED)]


def test_a_second_answer_to_a_call_is_dropped() -> None:
    peer = bound_peer()
    peer.send(Request(7, 0, 0, b""))
    assert len(peer.respond(peer.calls[0], b"one")) == 1
    assert peer.respond(peer.calls[0], b"two") == []


def test_the_context_says_whether_a_call_is_ndr64() -> None:
    peer = bound_peer(contexts=(KMS64_CONTEXT,))
    peer.send(Request(1, 0, 0, b""))
    assert peer.calls[0].ndr64 is True
    assert "opnum 0 of 51c82175-844e-4750-b0d8-ec255555bc06 v1.0" in repr(peer.calls[0])


def test_an_object_uuid_is_handed_on_and_changes_nothing_else() -> None:
    peer = bound_peer()
    peer.send(Request(1, 0, 0, b"stub", object=bytes(range(16)), flags=WHOLE | OBJECT_UUID))
    [call] = peer.calls
    assert (call.object, call.stub) == (bytes(range(16)), b"stub")
    assert len(peer.respond(call, b"")) == 1


@pytest.mark.parametrize("flag", [0x08, CONC_MPX, DID_NOT_EXECUTE])
def test_flags_without_a_meaning_in_a_request_change_nothing(flag: int) -> None:
    peer = bound_peer()
    peer.send(Request(1, 0, 0, b"", flags=WHOLE | flag))
    assert peer.respond(peer.calls[0], b"") == [Response(1, 0, b"")]


def test_a_maybe_call_is_executed_and_not_answered() -> None:
    peer = bound_peer()
    peer.send(Request(1, 0, 0, b"", flags=WHOLE | MAYBE))
    assert peer.respond(peer.calls[0], b"answer") == []
    assert peer.association.calls == {}
    peer.send(Request(2, 0, 0, b"", flags=WHOLE | MAYBE))
    peer.association.fault(peer.calls[1], 5)
    assert peer.receive() == []
    assert peer.send(Request(3, 0, 99, b"", flags=WHOLE | MAYBE)) == []
    assert peer.send(Request(4, 1, 2, b"", flags=WHOLE | MAYBE)) == []


def test_an_unknown_operation_is_a_fault_and_the_connection_stays() -> None:
    peer = bound_peer()
    assert peer.send(Request(1, 0, 1, b"")) == [Fault(1, 0, OP_RANGE, flags=NOT_EXECUTED)]
    assert peer.send(Request(2, 1, 5, b"")) == [Fault(2, 1, OP_RANGE, flags=NOT_EXECUTED)]
    assert [event.reason for event in peer.refusals] == [Reason.RPC_UNKNOWN_OPERATION] * 2
    assert peer.ended is None


def test_an_unknown_context_is_a_fault_and_the_connection_stays() -> None:
    peer = bound_peer()
    assert peer.send(Request(1, 99, 0, b"")) == [Fault(1, 0, UNKNOWN_INTERFACE, flags=NOT_EXECUTED)]
    assert peer.events == [Refused(Reason.RPC_UNKNOWN_CONTEXT, "context 99 is not bound")]
    peer.send(Request(2, 0, 0, b""))
    assert len(peer.calls) == 1


def test_a_request_in_fragments_for_an_unknown_context_is_a_fault_and_the_rest_of_it_the_end() -> None:
    peer = bound_peer()
    assert peer.send(first(1, context_id=99)) == [Fault(1, 0, UNKNOWN_INTERFACE, flags=NOT_EXECUTED)]
    assert peer.events == [Refused(Reason.RPC_UNKNOWN_CONTEXT, "context 99 is not bound")]
    assert peer.send(last(1, context_id=99)) == [Fault(1, 0, PROTOCOL_ERROR)]
    assert peer.end.reason is Reason.RPC_FRAGMENT_ORDER


def test_a_bad_management_stub_is_a_fault_and_the_connection_stays() -> None:
    peer = bound_peer()
    assert peer.send(Request(1, 1, 1, b"")) == [Fault(1, 1, BAD_STUB)]
    assert [event.reason for event in peer.refusals] == [Reason.RPC_BAD_STUB]


@pytest.mark.parametrize("opnum", range(5))
def test_management_calls_are_answered_at_once(opnum: int) -> None:
    peer = bound_peer()
    [answer] = peer.send(Request(1, 1, opnum, bytes(8)))
    assert type(answer) is Response
    assert peer.calls == []


def test_calls_and_packets_are_counted() -> None:
    peer = bound_peer()
    peer.send(first(2), last(2))
    peer.respond(peer.calls[0], b"")
    assert peer.server.statistics.as_tuple() == (1, 1, 3, 2)


def test_the_management_interface_is_always_there() -> None:
    assert make_server().interfaces == (Interface(KMS_INTERFACE, 1), MANAGEMENT)


# Fragments.


def test_fragments_are_joined() -> None:
    peer = bound_peer()
    assert peer.send(first(2, b"one "), middle(2, b"two "), middle(2), last(2, b"three")) == []
    assert [call.stub for call in peer.calls] == [b"one two three"]
    assert peer.server.reassembling == 0


def test_the_first_fragments_flags_and_object_count_for_the_call() -> None:
    peer = bound_peer()
    opening = Request(2, 0, 0, b"a", object=bytes(16), flags=FIRST_FRAG | MAYBE | OBJECT_UUID)
    peer.send(opening, last(2, b"b"))
    assert (peer.calls[0].maybe, peer.calls[0].object) == (True, bytes(16))


@pytest.mark.parametrize("fragment", [middle(2), last(2)])
def test_a_fragment_without_its_first_is_the_end(fragment: Request) -> None:
    peer = bound_peer()
    assert peer.send(fragment) == [Fault(2, 0, PROTOCOL_ERROR)]
    assert peer.end.reason is Reason.RPC_FRAGMENT_ORDER


@pytest.mark.parametrize("ending", [last(2, context_id=1), last(2, opnum=1)])
def test_a_call_keeps_the_context_and_operation_of_its_first_fragment(ending: Request) -> None:
    peer = bound_peer()
    assert peer.send(first(2), ending) == []
    [call] = peer.calls
    assert (call.context_id, call.opnum) == (0, 0)
    assert peer.server.reassembling == 0


def test_a_fault_in_fragments_names_the_calls_context() -> None:
    peer = bound_peer()
    assert peer.send(first(2, context_id=1), last(3)) == [Fault(2, 1, PROTOCOL_ERROR)]


def test_a_second_first_fragment_is_the_end() -> None:
    peer = bound_peer()
    assert peer.send(first(2), first(2)) == [Fault(2, 0, PROTOCOL_ERROR)]
    assert peer.end.reason is Reason.RPC_CALL_ID_IN_USE


def test_alloc_hint_promises_nothing() -> None:
    peer = bound_peer()
    peer.send(first(2, b"ab", alloc_hint=1), last(2, b"cd"))
    assert peer.calls[0].stub == b"abcd"


def test_an_alloc_hint_beyond_the_limit_is_refused_before_its_bytes_come() -> None:
    peer = bound_peer(make_server(max_request=100))
    assert peer.send(first(1, b"ab", alloc_hint=100), last(1)) == []
    peer.respond(peer.calls[0], b"")
    assert peer.send(first(2, b"ab", alloc_hint=101)) == [Fault(2, 0, DENIED)]
    assert peer.end.reason is Reason.RPC_REQUEST_TOO_LARGE
    assert peer.association.buffered == 0


def test_a_request_may_be_as_large_as_the_limit_and_no_larger() -> None:
    server = make_server(max_request=100)
    peer = bound_peer(server)
    assert peer.send(first(2, bytes(60)), last(2, bytes(40))) == []
    assert len(peer.calls[0].stub) == 100
    peer.respond(peer.calls[0], b"")
    assert peer.send(first(3, bytes(60)), middle(3, bytes(41))) == [Fault(3, 0, DENIED)]
    assert peer.end.reason is Reason.RPC_REQUEST_TOO_LARGE
    assert server.reassembling == 0


def test_requests_of_all_connections_share_a_budget() -> None:
    server = make_server(max_reassembly=100)
    peers = [bound_peer(server) for _ in range(3)]
    assert peers[0].send(first(2, bytes(50))) == []
    assert peers[1].send(first(2, bytes(50))) == []
    assert server.reassembling == 100
    assert peers[2].send(first(2, bytes(1))) == [Fault(2, 0, NO_MEMORY)]
    assert peers[2].end.reason is Reason.RPC_REQUEST_TOO_LARGE
    assert server.reassembling == 100
    peers[0].association.connection_lost()
    assert server.reassembling == 50
    assert peers[1].send(middle(2, bytes(50))) == []
    assert peers[1].send(last(2)) == []
    assert server.reassembling == 0
    assert len(peers[1].calls) == 1


def test_a_request_that_comes_whole_is_outside_the_budget() -> None:
    peer = bound_peer(make_server(max_reassembly=0, max_request=0))
    peer.send(Request(2, 0, 0, bytes(1000)))
    assert len(peer.calls) == 1


def test_the_budget_is_free_again_after_a_violation() -> None:
    peer = bound_peer()
    peer.send(first(2, bytes(50)), first(2))
    assert peer.ended is not None
    assert peer.server.reassembling == 0
    peer.association.connection_lost()
    assert peer.server.reassembling == 0


# Several calls.


def test_calls_one_after_the_other_may_use_one_id_again() -> None:
    peer = bound_peer()
    for _ in range(3):
        peer.send(Request(2, 0, 0, b""))
        assert peer.respond(peer.calls[-1], b"") == [Response(2, 0, b"")]


@pytest.mark.parametrize("call_id", [0, 1, 0xFFFFFFFF])
def test_any_call_id_serves(call_id: int) -> None:
    peer = bound_peer()
    peer.send(Request(call_id, 0, 0, b""))
    assert peer.respond(peer.calls[0], b"") == [Response(call_id, 0, b"")]


def test_call_ids_may_wrap() -> None:
    peer = bound_peer()
    for call_id in (0xFFFFFFFE, 0xFFFFFFFF, 0, 1):
        peer.send(Request(call_id, 0, 0, b""))
        assert len(peer.respond(peer.calls[-1], b"")) == 1


def test_a_second_call_without_multiplexing_is_the_end() -> None:
    peer = bound_peer()
    assert peer.send(Request(2, 0, 0, b""), Request(3, 0, 0, b"")) == [Fault(3, 0, PROTOCOL_ERROR, flags=NOT_EXECUTED)]
    assert peer.end.reason is Reason.RPC_NOT_MULTIPLEXED


def test_without_multiplexing_it_is_the_call_broken_into_that_is_faulted() -> None:
    peer = bound_peer()
    assert peer.send(first(2, context_id=1), Request(3, 0, 0, b"")) == [Fault(2, 1, PROTOCOL_ERROR)]
    assert peer.end.reason is Reason.RPC_NOT_MULTIPLEXED


def test_multiplexed_calls_are_answered_in_any_order() -> None:
    peer = multiplexed_peer()
    peer.send(Request(2, 0, 0, b"a"), Request(3, 0, 0, b"b"), Request(4, 0, 0, b"c"))
    assert [call.stub for call in peer.calls] == [b"a", b"b", b"c"]
    answered = [of_kind(Response, peer.respond(call, call.stub))[0] for call in reversed(peer.calls)]
    assert [(answer.call_id, answer.stub) for answer in answered] == [(4, b"c"), (3, b"b"), (2, b"a")]


def test_fragments_of_multiplexed_calls_may_not_be_interleaved() -> None:
    peer = multiplexed_peer()
    assert peer.send(first(2, b"a"), first(3, b"1"), middle(2, b"b")) == [Fault(3, 0, PROTOCOL_ERROR)]
    assert peer.end.reason is Reason.RPC_FRAGMENT_ORDER
    assert peer.server.reassembling == 0


def test_fragments_of_a_multiplexed_call_may_follow_while_another_executes() -> None:
    peer = multiplexed_peer()
    peer.send(first(2, b"a"), last(2, b"b"), first(3, b"1"), middle(3, b"2"))
    assert peer.respond(peer.calls[0], b"answer") == [Response(2, 0, b"answer", 6)]
    peer.send(last(3, b"3"))
    assert [(call.call_id, call.stub) for call in peer.calls] == [(2, b"ab"), (3, b"123")]
    assert peer.server.reassembling == 0


def test_a_call_id_in_use_is_refused_even_with_multiplexing() -> None:
    peer = multiplexed_peer()
    assert peer.send(Request(2, 0, 0, b""), Request(2, 0, 0, b"")) == [Fault(2, 0, PROTOCOL_ERROR)]
    assert peer.end.reason is Reason.RPC_CALL_ID_IN_USE


def test_calls_on_one_connection_are_limited() -> None:
    peer = multiplexed_peer(make_server(max_calls=2))
    assert peer.send(Request(2, 0, 0, b""), Request(3, 0, 0, b""), first(4)) == [
        Fault(4, 0, TOO_BUSY, flags=NOT_EXECUTED)
    ]
    assert peer.end.reason is Reason.RPC_TOO_MANY_CALLS


def test_an_unknown_context_between_fragments_is_the_end() -> None:
    peer = multiplexed_peer()
    assert peer.send(first(2), Request(3, 99, 0, b"")) == [Fault(3, 0, PROTOCOL_ERROR)]
    assert peer.end.reason is Reason.RPC_UNKNOWN_CONTEXT


def test_answers_to_calls_under_way_are_dropped_when_the_association_ends() -> None:
    peer = multiplexed_peer()
    peer.send(Request(2, 0, 0, b""), middle(9))
    assert peer.ended is not None
    assert peer.respond(peer.calls[0], b"late") == []


def test_answers_are_dropped_when_the_connection_is_gone() -> None:
    peer = bound_peer()
    peer.send(Request(2, 0, 0, b""))
    peer.association.connection_lost()
    assert peer.respond(peer.calls[0], b"late") == []


# Cancel and orphan.


def test_a_cancel_before_during_and_after_a_call_changes_nothing() -> None:
    peer = bound_peer()
    assert peer.send(CoCancel(2), first(2, b"a"), CoCancel(2), last(2, b"b"), CoCancel(2)) == []
    assert [type(event) for event in peer.events] == [CallReceived]
    assert peer.respond(peer.calls[0], b"x") == [Response(2, 0, b"x", 1)]
    assert peer.send(CoCancel(2)) == []
    assert peer.ended is None


def test_a_request_cancelled_in_its_own_first_fragment_is_refused() -> None:
    peer = bound_peer()
    [answer] = peer.send(Request(2, 0, 0, b"", flags=WHOLE | PENDING_CANCEL))
    assert answer == Fault(2, 0, NO_CALL_ACTIVE, flags=NOT_EXECUTED)
    assert peer.end.reason is Reason.RPC_NO_CALL


def test_an_orphaned_calls_answer_is_dropped_and_its_id_free() -> None:
    peer = bound_peer()
    peer.send(Request(2, 0, 0, b""), Orphaned(2))
    assert [type(event) for event in peer.events] == [CallReceived, CallOrphaned]
    assert peer.respond(peer.calls[0], b"unwanted") == []
    peer.send(Request(2, 0, 0, b"again"))
    assert peer.respond(peer.calls[1], b"wanted") == [Response(2, 0, b"wanted", 6)]


def test_an_orphan_before_during_reception_and_after_a_call_changes_nothing() -> None:
    peer = bound_peer()
    peer.send(Orphaned(2), first(2, b"a"), Orphaned(2), last(2, b"b"))
    assert [type(event) for event in peer.events] == [CallReceived]
    assert peer.respond(peer.calls[0], b"x") == [Response(2, 0, b"x", 1)]
    assert peer.send(Orphaned(2)) == []
    assert peer.ended is None


def test_an_orphan_leaves_other_calls_alone() -> None:
    peer = multiplexed_peer()
    peer.send(Request(2, 0, 0, b""), Request(3, 0, 0, b""), Orphaned(2))
    assert peer.respond(peer.calls[1], b"x") == [Response(3, 0, b"x", 1)]


# Responses in fragments.


@pytest.mark.parametrize("receive_size", [2048, 4280, 5840])
@pytest.mark.parametrize("pieces", [0, 1, 2, 3])
@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_a_response_is_cut_to_what_the_client_takes(receive_size: int, pieces: int, extra: int) -> None:
    room = receive_size - 24
    stub = bytes(i % 251 for i in range(max(0, pieces * room + extra)))
    peer = bound_peer(max_recv_frag=receive_size)
    peer.send(Request(2, 0, 0, b""))
    answers = of_kind(Response, peer.respond(peer.calls[0], stub))
    assert b"".join(answer.stub for answer in answers) == stub
    assert len(answers) == max(1, -(-len(stub) // room))
    assert all(len(raw) <= receive_size for raw in peer.raw)
    assert [answer.flags & WHOLE for answer in answers] == (
        [WHOLE] if len(answers) == 1 else [FIRST_FRAG, *[0] * (len(answers) - 2), LAST_FRAG]
    )
    left = len(stub)
    for answer in answers:
        assert answer.alloc_hint == left
        left -= len(answer.stub)


def test_a_response_names_the_low_byte_of_its_context_and_a_fault_all_of_it() -> None:
    peer = Peer()
    peer.bind((PresentationContext(0x1234, KMS_INTERFACE, (NDR32,)), MGMT_CONTEXT))
    peer.send(Request(2, 0x1234, 0, b""))
    [answer] = of_kind(Response, peer.respond(peer.calls[0], b""))
    assert answer.context_id == 0x34
    peer.send(Request(3, 0x1234, 0, b""))
    peer.association.fault(peer.calls[1], 5)
    [fault] = of_kind(Fault, peer.receive())
    assert fault.context_id == 0x1234


@given(st.lists(st.integers(0, 300), min_size=1, max_size=20))
def test_any_division_of_a_stub_into_fragments_gives_the_stub(sizes: list[int]) -> None:
    stub = bytes(i % 256 for i in range(sum(sizes)))
    peer, at, fragments = bound_peer(), 0, []
    for number, size in enumerate(sizes):
        flags = (number == 0) * FIRST_FRAG | (number == len(sizes) - 1) * LAST_FRAG
        fragments.append(Request(2, 0, 0, stub[at : at + size], flags=flags))
        at += size
    peer.send(*fragments)
    assert [call.stub for call in peer.calls] == [stub]
    assert peer.server.reassembling == 0


def test_a_statistics_answer_is_this() -> None:
    peer = bound_peer()
    [answer] = of_kind(Response, peer.send(Request(2, 1, 1, struct.pack("<I", 4))))
    # The question is counted already, its answer is not.
    assert answer.stub == struct.pack("<IIIIIII", 4, 4, 1, 0, 2, 1, 0)
