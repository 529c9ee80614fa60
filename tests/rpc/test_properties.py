"""What holds for any bytes in any pieces: no exception, the same events, and bounded memory, all of it released."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kmstwist.kms.interface import WINDOWS_CONTEXTS
from kmstwist.rpc import (
    CONC_MPX,
    MAX_FRAGMENT,
    MAX_RESPONSE,
    NDR32,
    WHOLE,
    Bind,
    BindAck,
    BindRejected,
    Call,
    CallOrphaned,
    CallReceived,
    ClientAssociation,
    ContextOutcome,
    Ended,
    ServerAssociation,
    ServerBroke,
    encode,
)
from tests.rpc.peer import kms_context

from .peer import KMS_CONTEXT, MGMT_CONTEXT, make_server
from .strategies import client_pdus, pdus, server_pdus

MAX_REQUEST, MAX_CALLS, MAX_REASSEMBLY = 300, 3, 700

any_client_bytes = st.one_of(
    st.binary(max_size=400),
    st.lists(st.one_of(client_pdus, pdus()).map(encode) | st.binary(max_size=20), max_size=12).map(b"".join),
    st.lists(client_pdus.map(encode), max_size=25).map(b"".join),
)
any_server_bytes = st.one_of(
    st.binary(max_size=400),
    st.lists(st.one_of(server_pdus, pdus()).map(encode) | st.binary(max_size=20), max_size=12).map(b"".join),
    st.lists(server_pdus.map(encode), max_size=25).map(b"".join),
)
cuts = st.lists(st.integers(0, 60), max_size=40)
prefixes = st.sampled_from(
    [
        b"",
        encode(Bind(1, (KMS_CONTEXT, MGMT_CONTEXT))),
        encode(Bind(1, (KMS_CONTEXT, MGMT_CONTEXT), flags=WHOLE | CONC_MPX)),
    ]
)


def pieces(data: bytes, sizes: list[int]) -> list[bytes]:
    result = []
    for size in sizes:
        result.append(data[:size])
        data = data[size:]
    return [*result, data]


def described(event: object) -> object:
    """An event without what differs between two runs."""
    if isinstance(event, CallReceived | CallOrphaned):
        call: Call = event.call
        return type(event).__name__, call.call_id, call.context_id, call.opnum, call.stub, call.object, call.maybe
    return event


def run_server(reads: list[bytes]) -> tuple[list[object], bytes]:
    """The events and answers of a server that gets these reads and answers every call when the reads are over."""
    server = make_server(max_request=MAX_REQUEST, max_calls=MAX_CALLS, max_reassembly=MAX_REASSEMBLY)
    association = ServerAssociation(server, "1688")
    events: list[object] = []
    sent = b""
    for read in reads:
        events += association.receive_data(read)
        sent += association.data_to_send()
        assert association.buffered <= 0xFFFF + MAX_REQUEST
        incoming = association.incoming
        assert server.reassembling == (0 if incoming is None else len(incoming.stub))
        assert server.reassembling <= MAX_REASSEMBLY
        assert len(association.calls) <= MAX_CALLS
        if any(type(event) is Ended for event in events):
            assert association.buffered == 0
    for event in events:
        if type(event) is CallReceived:
            association.respond(event.call, b"answer")
    sent += association.data_to_send()
    assert sum(type(event) is Ended for event in events) <= 1
    association.connection_lost()
    assert server.reassembling == 0
    assert len(server.groups) == 0
    assert association.calls == {}
    return [described(event) for event in events], sent


@given(prefixes, any_client_bytes, cuts)
@settings(max_examples=300)
def test_a_server_takes_any_bytes_and_the_cuts_between_reads_change_nothing(
    prefix: bytes, data: bytes, sizes: list[int]
) -> None:
    data = prefix + data
    whole = run_server([data])
    assert run_server(pieces(data, sizes)) == whole


@given(prefixes, st.lists(client_pdus.map(encode), max_size=8).map(b"".join))
@settings(max_examples=60)
def test_a_server_takes_a_stream_byte_by_byte_as_it_takes_it_whole(prefix: bytes, data: bytes) -> None:
    data = prefix + data
    assert run_server([data[at : at + 1] for at in range(len(data))]) == run_server([data])


BIND_ACK = encode(BindAck(2, (ContextOutcome(0, 0, NDR32), ContextOutcome(2, 2), ContextOutcome(3, 3))))


def run_client(reads: list[bytes], bound: bool) -> list[object]:
    """The events of a client that gets these reads; if it is bound it has made three calls and given one up."""
    association = ClientAssociation()
    association.bind(WINDOWS_CONTEXTS)
    if bound:
        association.receive_data(BIND_ACK)
        context = kms_context(association)
        ids = [association.call(context, 0, b"") for _ in range(3)]
        association.orphan(ids[0])
    events: list[object] = []
    for read in reads:
        events += association.receive_data(read)
        assert association.buffered <= MAX_FRAGMENT + 2 * MAX_RESPONSE
    assert sum(type(event) in (BindRejected, ServerBroke) for event in events) <= 1
    if events and type(events[-1]) in (BindRejected, ServerBroke):
        assert association.buffered == 0
    return events


@given(any_server_bytes, cuts, st.booleans())
@settings(max_examples=300)
def test_a_client_takes_any_bytes_and_the_cuts_between_reads_change_nothing(
    data: bytes, sizes: list[int], bound: bool
) -> None:
    whole = run_client([data], bound)
    assert run_client(pieces(data, sizes), bound) == whole


@pytest.mark.parametrize("byte", [0, 5, 0xFF])
def test_an_endless_stream_of_one_byte_is_not_kept(byte: int) -> None:
    association = ServerAssociation(make_server(), "1688")
    for _ in range(100):
        association.receive_data(bytes([byte]) * 65536)
        assert association.buffered <= MAX_FRAGMENT


def test_a_fragment_a_byte_costs_a_byte() -> None:
    """A stub in the smallest possible fragments is held as bytes, not as one object per fragment."""
    from kmstwist.rpc import FIRST_FRAG, Request

    association = ServerAssociation(make_server(), "1688")
    association.receive_data(encode(Bind(1, (KMS_CONTEXT,))) + encode(Request(2, 0, 0, b"x", flags=FIRST_FRAG)))
    crumb = encode(Request(2, 0, 0, b"x", flags=0))
    association.receive_data(crumb)
    tracemalloc.start()
    try:
        for _ in range(998):
            association.receive_data(crumb)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert association.buffered == 1000
    # One object per fragment would take some 100 bytes.
    assert kept < 20_000
