"""Bytes to PDUs (C706 12.6, 14.1; [MS-RPCE] 2.2.2).

Integers follow the sender's data representation (the `drep` in the header), little- or big-endian. No header contains
characters or floating point, so a sender's EBCDIC or VAX float declaration changes nothing here (C706 14.1).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Final, NamedTuple

from kmstwist.reasons import Reason
from kmstwist.rpc.layout import BIG, LITTLE, Layout
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
from kmstwist.rpc.syntax import SYNTAX_SIZE, swap_syntax, syntax_from_wire


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
    """The header at `offset`, where 16 bytes must be present. This function checks nothing in it."""
    little = bool(data[offset + 4] & 0xF0)
    layout = LITTLE if little else BIG
    frag_length, auth_length, call_id = layout.tail.unpack_from(data, offset + 8)
    return Header(
        data[offset], data[offset + 1], data[offset + 2], data[offset + 3], little, frag_length, auth_length, call_id
    )


def decode(data: bytes, header: Header | None = None) -> Pdu:
    """The PDU of one whole fragment, header included. Raises `PduError` if its body does not fit its header."""
    if header is None:
        if len(data) < HEADER_SIZE:
            raise PduError(Reason.RPC_FRAGMENT_LENGTH, f"a PDU of {len(data)} bytes is shorter than its 16-byte header")
        header = decode_header(data)
    layout = LITTLE if header.little_endian else BIG
    end = header.frag_length
    if end != len(data):
        raise PduError(
            Reason.RPC_FRAGMENT_LENGTH,
            f"the header says {end} bytes, the fragment has {len(data)}",
            header.ptype,
            header.call_id,
        )
    auth = None
    # Cancel and orphaned PDUs are hints; Windows does not look at their contents (observed).
    if header.auth_length and (header.ptype not in _HINTS or _auth_fits(header)):
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


_HINTS: Final = (PacketType.CO_CANCEL, PacketType.ORPHANED)


def _auth_fits(header: Header) -> bool:
    return header.frag_length - header.auth_length - AUTH_TRAILER_SIZE >= HEADER_SIZE


def _decode_auth(layout: Layout, data: bytes, header: Header) -> tuple[AuthVerifier, int]:
    start = len(data) - header.auth_length - AUTH_TRAILER_SIZE
    begin = HEADER_SIZE
    if header.ptype == PacketType.REQUEST:
        begin = REQUEST_HEADER_SIZE + (16 if header.flags & OBJECT_UUID else 0)
    if start < begin:
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


def _decode_contexts(little: bool, count: int, body: bytes) -> tuple[tuple[PresentationContext, ...], int]:
    """The context list of a bind, and how many bytes of `body` it takes."""
    layout = LITTLE if little else BIG
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
    return tuple(contexts), offset


#: Lists are cached, since a site's clients send one of very few; long lists are not, so that nobody can fill memory.
_remembered_contexts = lru_cache(maxsize=256)(_decode_contexts)
_LONGEST_REMEMBERED: Final = 512


def _bind(layout: Layout, data: bytes, end: int, header: Header, auth: AuthVerifier | None) -> Bind:
    xmit, recv, group, count = layout.bind.unpack_from(data, HEADER_SIZE)
    # Three bytes of padding precede the list; a bind without contexts may end before them, as Samba's do.
    body = data[HEADER_SIZE + layout.bind.size + 3 :]
    decode_contexts = _remembered_contexts if len(body) <= _LONGEST_REMEMBERED else _decode_contexts
    contexts, size = decode_contexts(layout.little, count, body)
    if auth is not None and size > len(body) - header.auth_length - AUTH_TRAILER_SIZE:
        raise PduError(
            Reason.RPC_AUTHENTICATION,
            "the authentication verifier reaches into the context list",
            header.ptype,
            header.call_id,
        )
    kind = Bind if header.ptype == PacketType.BIND else AlterContext
    return kind(header.call_id, contexts, xmit, recv, group, header.flags, auth)


def _bind_ack(layout: Layout, data: bytes, end: int, header: Header, auth: AuthVerifier | None) -> BindAck:
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


def _bind_nak(layout: Layout, data: bytes, end: int, header: Header, auth: AuthVerifier | None) -> BindNak:
    # Some servers end the PDU after the reason. We do not use the signature that [MS-RPCE] 2.2.2.9 may add.
    if end == HEADER_SIZE + 2:
        return BindNak(header.call_id, int.from_bytes(data[16:18], "little" if layout.little else "big"), ())
    reason, count = layout.nak.unpack_from(data, HEADER_SIZE)
    pairs = data[19 : 19 + 2 * count]
    if len(pairs) != 2 * count:
        raise struct.error
    return BindNak(header.call_id, reason, tuple(zip(pairs[::2], pairs[1::2], strict=True)), header.flags)


def _request(layout: Layout, data: bytes, end: int, header: Header, auth: AuthVerifier | None) -> Request:
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


def _response(layout: Layout, data: bytes, end: int, header: Header, auth: AuthVerifier | None) -> Response:
    alloc_hint, context_id, cancels, _ = layout.response.unpack_from(data, HEADER_SIZE)
    if end < RESPONSE_HEADER_SIZE:
        raise struct.error
    return Response(header.call_id, context_id, data[24:end], alloc_hint, cancels, header.flags, auth, layout.little)


def _fault(layout: Layout, data: bytes, end: int, header: Header, auth: AuthVerifier | None) -> Fault:
    if end < FAULT_SIZE - 4:
        raise struct.error
    if end < FAULT_SIZE:  # C706 12.6.4.7 ends with a reserved field, which some senders leave out.
        data = data[:end] + bytes(FAULT_SIZE - end)
        end = FAULT_SIZE
    alloc_hint, context_id, cancels, fault_flags, status, _ = layout.fault.unpack_from(data, HEADER_SIZE)
    return Fault(
        header.call_id, context_id, status, alloc_hint, cancels, fault_flags, header.flags, data[FAULT_SIZE:end], auth
    )


def _co_cancel(layout: Layout, data: bytes, end: int, header: Header, auth: AuthVerifier | None) -> CoCancel:
    return CoCancel(header.call_id, header.flags, auth)


def _orphaned(layout: Layout, data: bytes, end: int, header: Header, auth: AuthVerifier | None) -> Orphaned:
    return Orphaned(header.call_id, header.flags, auth)


def _shutdown(layout: Layout, data: bytes, end: int, header: Header, auth: AuthVerifier | None) -> Shutdown:
    return Shutdown(header.call_id, header.flags)


def _auth3(layout: Layout, data: bytes, end: int, header: Header, auth: AuthVerifier | None) -> Auth3:
    return Auth3(header.call_id, header.flags, auth)


_DECODERS: Final[dict[int, Callable[[Layout, bytes, int, Header, AuthVerifier | None], Pdu]]] = {
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
