"""PDUs to bytes and back (C706 12.6, 14.1; [MS-RPCE] 2.2.2).

Integers follow the sender's data representation (the `drep` in the header): `decode` honours a big-endian sender's,
`encode` writes little-endian unless told otherwise. Characters and floating point appear in no header, so a sender's
EBCDIC or VAX float declaration changes nothing here (C706 14.1).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, NamedTuple

from kmstwist.reasons import Reason
from kmstwist.rpc.pdu import (
    AUTH_TRAILER_SIZE,
    FAULT_SIZE,
    HEADER_SIZE,
    OBJECT_UUID,
    REQUEST_HEADER_SIZE,
    RESPONSE_HEADER_SIZE,
    AlterContext,
    AlterContextResp,
    Auth3,
    AuthVerifier,
    Bind,
    BindAck,
    BindNak,
    CoCancel,
    ContextOutcome,
    Fault,
    Orphaned,
    OtherPdu,
    PacketType,
    Pdu,
    PduError,
    PresentationContext,
    Request,
    Response,
    Shutdown,
)
from kmstwist.rpc.syntax import SYNTAX_SIZE, SyntaxId, swap_syntax, syntax_from_wire

_LITTLE_ENDIAN_DREP: Final = b"\x10\x00\x00\x00"
_BIG_ENDIAN_DREP: Final = b"\x00\x00\x00\x00"


class _Layout:
    """The fixed parts of all PDUs in one byte order."""

    def __init__(self, order: str) -> None:
        self.little = order == "<"
        self.drep = _LITTLE_ENDIAN_DREP if self.little else _BIG_ENDIAN_DREP
        self.header = struct.Struct(order + "BBBB4sHHI")
        self.tail = struct.Struct(order + "HHI")
        self.bind = struct.Struct(order + "HHIBxxx")
        self.context = struct.Struct(order + "HBx")
        self.bind_ack = struct.Struct(order + "HHIH")
        self.outcome = struct.Struct(order + "HH20s")
        self.nak = struct.Struct(order + "HB")
        self.request = struct.Struct(order + "IHH")
        self.response = struct.Struct(order + "IHBB")
        self.fault = struct.Struct(order + "IHBBII")
        self.auth = struct.Struct(order + "BBBxI")


_LITTLE: Final = _Layout("<")
_BIG: Final = _Layout(">")


class Header(NamedTuple):
    """The 16 bytes every PDU begins with (C706 12.6.3.1)."""

    version: int
    minor: int
    ptype: int
    flags: int
    little_endian: bool
    frag_length: int
    auth_length: int
    call_id: int


def decode_header(data: bytes | bytearray | memoryview, offset: int = 0) -> Header:
    """The header at `offset`, which must be whole (16 bytes). Nothing in it is judged here."""
    little = bool(data[offset + 4] & 0xF0)
    layout = _LITTLE if little else _BIG
    frag_length, auth_length, call_id = layout.tail.unpack_from(data, offset + 8)
    return Header(
        data[offset], data[offset + 1], data[offset + 2], data[offset + 3], little, frag_length, auth_length, call_id
    )


def decode(data: bytes, header: Header | None = None) -> Pdu:
    """The PDU of one whole fragment, header and all. Raises `PduError` where its body does not fit its header."""
    if header is None:
        if len(data) < HEADER_SIZE:
            raise PduError(Reason.RPC_FRAGMENT_LENGTH, f"a PDU of {len(data)} bytes is shorter than its 16-byte header")
        header = decode_header(data)
    layout = _LITTLE if header.little_endian else _BIG
    end = header.frag_length
    if end != len(data):
        raise PduError(
            Reason.RPC_FRAGMENT_LENGTH,
            f"the header says {end} bytes, the fragment has {len(data)}",
            header.ptype,
            header.call_id,
        )
    auth = None
    if header.auth_length:
        auth, end = _decode_auth(layout, data, header)
    decoder = _DECODERS.get(header.ptype)
    if decoder is None:
        return OtherPdu(header.call_id, header.ptype, header.flags)
    try:
        return decoder(layout, data, end, header, auth)
    except (struct.error, IndexError):
        raise PduError(
            Reason.RPC_MALFORMED_PDU,
            f"the body of PDU type {header.ptype} is shorter than its fields",
            header.ptype,
            header.call_id,
        ) from None


def _decode_auth(layout: _Layout, data: bytes, header: Header) -> tuple[AuthVerifier, int]:
    start = len(data) - header.auth_length - AUTH_TRAILER_SIZE
    if start < HEADER_SIZE:
        raise PduError(
            Reason.RPC_AUTHENTICATION,
            f"an authentication verifier of {header.auth_length} bytes does not fit the fragment",
            header.ptype,
            header.call_id,
        )
    auth_type, level, pad, context_id = layout.auth.unpack_from(data, start)
    body_end = start - pad
    if body_end < HEADER_SIZE:
        raise PduError(
            Reason.RPC_AUTHENTICATION, "the authentication padding exceeds the body", header.ptype, header.call_id
        )
    return AuthVerifier(auth_type, level, pad, context_id, data[start + AUTH_TRAILER_SIZE :]), body_end


@lru_cache(maxsize=256)
def _decode_contexts(little: bool, count: int, body: bytes) -> tuple[PresentationContext, ...]:
    """The context list of a bind; remembered, since a site's clients send one of very few lists."""
    layout = _LITTLE if little else _BIG
    contexts: list[PresentationContext] = []
    offset = 0
    for _ in range(count):
        context_id, transfer_count = layout.context.unpack_from(body, offset)
        offset += 4
        syntaxes = []
        for _ in range(transfer_count + 1):
            wire = body[offset : offset + SYNTAX_SIZE]
            if len(wire) != SYNTAX_SIZE:
                raise struct.error
            syntaxes.append(syntax_from_wire(wire if little else swap_syntax(wire)))
            offset += SYNTAX_SIZE
        contexts.append(PresentationContext(context_id, syntaxes[0], tuple(syntaxes[1:])))
    return tuple(contexts)


def _bind(layout: _Layout, data: bytes, end: int, header: Header, auth: AuthVerifier | None) -> Bind:
    xmit, recv, group, count = layout.bind.unpack_from(data, HEADER_SIZE)
    contexts = _decode_contexts(layout.little, count, data[28:end])
    kind = Bind if header.ptype == PacketType.BIND else AlterContext
    return kind(header.call_id, contexts, xmit, recv, group, header.flags, auth)


def _bind_ack(layout: _Layout, data: bytes, end: int, header: Header, auth: AuthVerifier | None) -> BindAck:
    xmit, recv, group, address_size = layout.bind_ack.unpack_from(data, HEADER_SIZE)
    offset = HEADER_SIZE + layout.bind_ack.size
    address = data[offset : offset + address_size]
    offset = -(-(offset + address_size) // 4) * 4
    count = data[offset]
    offset += 4
    results = []
    for _ in range(count):
        result, reason, wire = layout.outcome.unpack_from(data, offset)
        results.append(ContextOutcome(result, reason, syntax_from_wire(wire if layout.little else swap_syntax(wire))))
        offset += layout.outcome.size
    if offset > end:
        raise struct.error
    kind = BindAck if header.ptype == PacketType.BIND_ACK else AlterContextResp
    return kind(header.call_id, tuple(results), xmit, recv, group, address.rstrip(b"\0"), header.flags, auth)


def _bind_nak(layout: _Layout, data: bytes, end: int, header: Header, auth: AuthVerifier | None) -> BindNak:
    # Some servers end the PDU after the reason; the signature [MS-RPCE] 2.2.2.9 may add says nothing we use.
    if end == HEADER_SIZE + 2:
        return BindNak(header.call_id, int.from_bytes(data[16:18], "little" if layout.little else "big"), ())
    reason, count = layout.nak.unpack_from(data, HEADER_SIZE)
    pairs = data[19 : 19 + 2 * count]
    if len(pairs) != 2 * count:
        raise struct.error
    return BindNak(header.call_id, reason, tuple(zip(pairs[::2], pairs[1::2], strict=True)), header.flags)


def _request(layout: _Layout, data: bytes, end: int, header: Header, auth: AuthVerifier | None) -> Request:
    alloc_hint, context_id, opnum = layout.request.unpack_from(data, HEADER_SIZE)
    start = REQUEST_HEADER_SIZE
    object_id = None
    if header.flags & OBJECT_UUID:
        object_id = data[start : start + 16]
        start += 16
    if start > end:
        raise struct.error
    return Request(
        header.call_id,
        context_id,
        opnum,
        data[start:end],
        alloc_hint,
        object_id,
        header.flags,
        auth,
        layout.little,
    )


def _response(layout: _Layout, data: bytes, end: int, header: Header, auth: AuthVerifier | None) -> Response:
    alloc_hint, context_id, cancels, _ = layout.response.unpack_from(data, HEADER_SIZE)
    if end < RESPONSE_HEADER_SIZE:
        raise struct.error
    return Response(header.call_id, context_id, data[24:end], alloc_hint, cancels, header.flags, auth, layout.little)


def _fault(layout: _Layout, data: bytes, end: int, header: Header, auth: AuthVerifier | None) -> Fault:
    if end < FAULT_SIZE - 4:
        raise struct.error
    if end < FAULT_SIZE:  # C706 12.6.4.7 ends with a reserved field, which some senders leave off.
        data = data[:end] + bytes(FAULT_SIZE - end)
        end = FAULT_SIZE
    alloc_hint, context_id, cancels, fault_flags, status, _ = layout.fault.unpack_from(data, HEADER_SIZE)
    return Fault(
        header.call_id, context_id, status, alloc_hint, cancels, fault_flags, header.flags, data[FAULT_SIZE:end], auth
    )


def _co_cancel(layout: _Layout, data: bytes, end: int, header: Header, auth: AuthVerifier | None) -> CoCancel:
    return CoCancel(header.call_id, header.flags, auth)


def _orphaned(layout: _Layout, data: bytes, end: int, header: Header, auth: AuthVerifier | None) -> Orphaned:
    return Orphaned(header.call_id, header.flags, auth)


def _shutdown(layout: _Layout, data: bytes, end: int, header: Header, auth: AuthVerifier | None) -> Shutdown:
    return Shutdown(header.call_id, header.flags)


def _auth3(layout: _Layout, data: bytes, end: int, header: Header, auth: AuthVerifier | None) -> Auth3:
    return Auth3(header.call_id, header.flags, auth)


_DECODERS: Final[dict[int, Callable[[_Layout, bytes, int, Header, AuthVerifier | None], Pdu]]] = {
    int(PacketType.REQUEST): _request,
    int(PacketType.RESPONSE): _response,
    int(PacketType.FAULT): _fault,
    int(PacketType.BIND): _bind,
    int(PacketType.BIND_ACK): _bind_ack,
    int(PacketType.BIND_NAK): _bind_nak,
    int(PacketType.ALTER_CONTEXT): _bind,
    int(PacketType.ALTER_CONTEXT_RESP): _bind_ack,
    int(PacketType.AUTH3): _auth3,
    int(PacketType.SHUTDOWN): _shutdown,
    int(PacketType.CO_CANCEL): _co_cancel,
    int(PacketType.ORPHANED): _orphaned,
}


def encode(pdu: Pdu, *, little_endian: bool = True) -> bytes:
    """The PDU as one fragment. Raises `ValueError` where it exceeds the 65,535 bytes a fragment can have."""
    layout = _LITTLE if little_endian else _BIG
    ptype, make_body = _BODIES[type(pdu)]
    body = make_body(layout, pdu)
    if isinstance(pdu, OtherPdu):
        ptype = pdu.ptype
    auth: AuthVerifier | None = getattr(pdu, "auth", None)
    auth_length = 0
    if auth is not None:
        body += bytes(auth.pad_length)
        body += layout.auth.pack(auth.auth_type, auth.level, auth.pad_length, auth.context_id) + auth.value
        auth_length = len(auth.value)
    size = HEADER_SIZE + len(body)
    if size > 0xFFFF:
        raise ValueError(f"a fragment of {size} bytes exceeds the 65,535 its length field can say")
    return layout.header.pack(5, 0, ptype, pdu.flags, layout.drep, size, auth_length, pdu.call_id) + body


def _syntax_bytes(layout: _Layout, syntax: SyntaxId) -> bytes:
    return syntax.wire if layout.little else swap_syntax(syntax.wire)


def _bind_body(layout: _Layout, pdu: Bind) -> bytes:
    parts = [layout.bind.pack(pdu.max_xmit_frag, pdu.max_recv_frag, pdu.assoc_group, len(pdu.contexts))]
    for context in pdu.contexts:
        parts.append(layout.context.pack(context.context_id, len(context.transfers)))
        parts.append(_syntax_bytes(layout, context.abstract))
        parts.extend(_syntax_bytes(layout, transfer) for transfer in context.transfers)
    return b"".join(parts)


def _bind_ack_body(layout: _Layout, pdu: BindAck) -> bytes:
    # An absent secondary address has length 0; a present one counts its NUL (C706 12.6.3.1, port_any_t).
    address = pdu.secondary_address + b"\0" if pdu.secondary_address else b""
    pad = -(HEADER_SIZE + layout.bind_ack.size + len(address)) % 4
    parts = [
        layout.bind_ack.pack(pdu.max_xmit_frag, pdu.max_recv_frag, pdu.assoc_group, len(address)),
        address,
        bytes(pad),
        bytes((len(pdu.results), 0, 0, 0)),
    ]
    pack = layout.outcome.pack
    parts.extend(pack(r.result, r.reason, _syntax_bytes(layout, r.transfer)) for r in pdu.results)
    return b"".join(parts)


def _bind_nak_body(layout: _Layout, pdu: BindNak) -> bytes:
    body = layout.nak.pack(pdu.reject_reason, len(pdu.versions)) + bytes(n for pair in pdu.versions for n in pair)
    return body + bytes(-len(body) % 4)


def _request_body(layout: _Layout, pdu: Request) -> bytes:
    fixed = layout.request.pack(pdu.alloc_hint, pdu.context_id, pdu.opnum)
    if pdu.flags & OBJECT_UUID:
        fixed += pdu.object or bytes(16)
    return fixed + pdu.stub


def _response_body(layout: _Layout, pdu: Response) -> bytes:
    return layout.response.pack(pdu.alloc_hint, pdu.context_id, pdu.cancel_count, 0) + pdu.stub


def _fault_body(layout: _Layout, pdu: Fault) -> bytes:
    fixed = layout.fault.pack(pdu.alloc_hint, pdu.context_id, pdu.cancel_count, pdu.fault_flags, pdu.status, 0)
    return fixed + pdu.stub


def _empty_body(layout: _Layout, pdu: Pdu) -> bytes:
    return b""


def _auth3_body(layout: _Layout, pdu: Auth3) -> bytes:
    return bytes(4)  # [MS-RPCE] 2.2.2.10: four bytes of padding that a receiver ignores.


_BODIES: Final[dict[type, tuple[int, Callable[[_Layout, Any], bytes]]]] = {
    Bind: (PacketType.BIND, _bind_body),
    AlterContext: (PacketType.ALTER_CONTEXT, _bind_body),
    BindAck: (PacketType.BIND_ACK, _bind_ack_body),
    AlterContextResp: (PacketType.ALTER_CONTEXT_RESP, _bind_ack_body),
    BindNak: (PacketType.BIND_NAK, _bind_nak_body),
    Request: (PacketType.REQUEST, _request_body),
    Response: (PacketType.RESPONSE, _response_body),
    Fault: (PacketType.FAULT, _fault_body),
    CoCancel: (PacketType.CO_CANCEL, _empty_body),
    Orphaned: (PacketType.ORPHANED, _empty_body),
    Shutdown: (PacketType.SHUTDOWN, _empty_body),
    Auth3: (PacketType.AUTH3, _auth3_body),
    OtherPdu: (0, _empty_body),
}
