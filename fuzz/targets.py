"""What is fuzzed: functions that take any bytes and must not raise, hang, or hold more than they may.

Each is a whole small program over the pure objects of `kmstwist.rpc`, or over the readers of Windows' events. The first
byte of an input chooses how the rest is cut into reads, so that the fuzzer explores both the bytes and the cuts.
Invariants are asserted, not only crashes.
"""

from __future__ import annotations

import contextlib
import functools

from event_targets import fuzz_events

from kmstwist.kms import interface
from kmstwist.kms.interface import KMS_INTERFACE, WINDOWS_CONTEXTS
from kmstwist.rpc import (
    MAX_FRAGMENT,
    MAX_RESPONSE,
    NDR32,
    BindAck,
    BindRejected,
    CallReceived,
    ClientAssociation,
    ContextOutcome,
    Ended,
    Interface,
    Limits,
    PduError,
    RpcServer,
    ServerAssociation,
    ServerBroke,
    StubError,
    decode,
    encode,
    mgmt,
)

LIMITS = Limits(max_request=16384, max_reassembly=32768, max_calls=4)
#: Small, so that a fuzzer gets through them.
_CUTS = (0, 1, 2, 3, 7, 16, 17, 24, 100, 1000)


def pieces(data: bytes) -> list[bytes]:
    """An input as reads: its first byte says how long each is (0: all in one)."""
    if not data:
        return []
    size = _CUTS[data[0] % len(_CUTS)]
    rest = data[1:]
    return [rest[at : at + size] for at in range(0, len(rest), size)] if size else [rest]


def fuzz_server(data: bytes) -> None:
    """A client's bytes, cut into reads, against one server association; every second call is answered."""
    server = RpcServer((Interface(KMS_INTERFACE, operations=1),), limits=LIMITS)
    association = ServerAssociation(server, "1688")
    ended = False
    turn = 0
    for piece in pieces(data):
        for event in association.receive_data(piece):
            assert not ended, "an event after the end"
            if type(event) is Ended:
                ended = True
            elif type(event) is CallReceived:
                turn += 1
                _execute(association, event, turn)
        association.data_to_send()
        assert association.buffered <= 0xFFFF + LIMITS.max_request
        assert server.reassembling <= LIMITS.max_reassembly
        incoming = association.incoming
        assert server.reassembling == (0 if incoming is None else len(incoming.stub))
        assert len(association.calls) <= LIMITS.max_calls
    association.connection_lost()
    assert server.reassembling == 0
    assert len(server.groups) == 0


def _execute(association: ServerAssociation, event: CallReceived, turn: int) -> None:
    call = event.call
    try:
        message = interface.decode_request(call.stub, ndr64=call.ndr64, little_endian=call.little_endian)
    except StubError:
        association.fault(call, 0x6F7)
        return
    if turn % 2:
        association.respond(call, interface.encode_response(0, message, ndr64=call.ndr64))


def fuzz_client(data: bytes) -> None:
    """A server's bytes against a client association that has bound, made three calls and given one up."""
    association = ClientAssociation()
    association.bind(WINDOWS_CONTEXTS)
    if data and data[0] & 0x80:
        association.receive_data(_bind_ack())
    association.data_to_send()
    over = False
    called = False
    for piece in pieces(data):
        for event in association.receive_data(piece):
            assert not over, "an event after the end"
            over = type(event) in (BindRejected, ServerBroke)
        context = association.context_for(KMS_INTERFACE)
        if context is not None and not called and not over:
            called = True
            for size in (10, 100, 9000):
                association.call(context, 0, bytes(size))
            association.orphan(association.call(context, 0, b""))
        association.data_to_send()
        assert association.buffered <= 3 * MAX_RESPONSE + MAX_FRAGMENT


@functools.cache
def _bind_ack() -> bytes:
    return encode(BindAck(2, (ContextOutcome(0, 0, NDR32), ContextOutcome(2, 2), ContextOutcome(3, 3)), assoc_group=1))


def fuzz_codec(data: bytes) -> None:
    """Any bytes as one PDU: what decodes says the same after being encoded again; and as stubs."""
    try:
        pdu = decode(data)
    except PduError:
        pass
    else:
        again = decode(encode(pdu))
        assert type(again) is type(pdu)
        assert again.call_id == pdu.call_id
    for ndr64 in (False, True):
        for little_endian in (False, True):
            _unmarshal(data, ndr64, little_endian)


def _unmarshal(stub: bytes, ndr64: bool, little_endian: bool) -> None:
    for decoder in (
        interface.decode_request,
        interface.decode_response,
        mgmt.decode_interface_ids,
        mgmt.decode_listening,
    ):
        with contextlib.suppress(StubError):
            decoder(stub, ndr64=ndr64, little_endian=little_endian)
    for opnum in range(5):
        with contextlib.suppress(StubError):
            mgmt.answer(opnum, stub, (mgmt.MANAGEMENT,), mgmt.Statistics(), ndr64=ndr64, little_endian=little_endian)


TARGETS = {"server": fuzz_server, "client": fuzz_client, "codec": fuzz_codec, "events": fuzz_events}
