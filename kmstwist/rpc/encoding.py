"""PDUs to bytes (C706 12.6, 14.1; [MS-RPCE] 2.2.2): little-endian unless told otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from kmstwist.rpc.layout import BIG, LITTLE, Layout
from kmstwist.rpc.pdu import (
    HEADER_SIZE,
    OBJECT_UUID,
    AlterContext,
    AlterContextResp,
    Auth3,
    AuthVerifier,
    Bind,
    BindAck,
    BindNak,
    CoCancel,
    Fault,
    Orphaned,
    OtherPdu,
    PacketType,
    Pdu,
    Request,
    Response,
    Shutdown,
)
from kmstwist.rpc.syntax import SyntaxId, swap_syntax


def encode(pdu: Pdu, *, little_endian: bool = True) -> bytes:
    """The PDU as one fragment. Raises `ValueError` if it exceeds the 65,535 bytes that a fragment can have."""
    layout = LITTLE if little_endian else BIG
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
        raise ValueError(f"a fragment of {size} bytes exceeds the 65,535 bytes that its length field allows")
    return layout.header.pack(5, 0, ptype, pdu.flags, layout.drep, size, auth_length, pdu.call_id) + body


def _syntax_bytes(layout: Layout, syntax: SyntaxId) -> bytes:
    return syntax.wire if layout.little else swap_syntax(syntax.wire)


def _bind_body(layout: Layout, pdu: Bind) -> bytes:
    parts = [layout.bind.pack(pdu.max_xmit_frag, pdu.max_recv_frag, pdu.assoc_group, len(pdu.contexts)), bytes(3)]
    for context in pdu.contexts:
        parts.append(layout.context.pack(context.context_id, len(context.transfers)))
        parts.append(_syntax_bytes(layout, context.abstract))
        parts.extend(_syntax_bytes(layout, transfer) for transfer in context.transfers)
    return b"".join(parts)


def _bind_ack_body(layout: Layout, pdu: BindAck) -> bytes:
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


def _bind_nak_body(layout: Layout, pdu: BindNak) -> bytes:
    body = layout.nak.pack(pdu.reject_reason, len(pdu.versions)) + bytes(n for pair in pdu.versions for n in pair)
    return body + bytes(-len(body) % 4)


def _request_body(layout: Layout, pdu: Request) -> bytes:
    fixed = layout.request.pack(pdu.alloc_hint, pdu.context_id, pdu.opnum)
    if pdu.flags & OBJECT_UUID:
        fixed += pdu.object or bytes(16)
    return fixed + pdu.stub


def _response_body(layout: Layout, pdu: Response) -> bytes:
    return layout.response.pack(pdu.alloc_hint, pdu.context_id, pdu.cancel_count, 0) + pdu.stub


def _fault_body(layout: Layout, pdu: Fault) -> bytes:
    fixed = layout.fault.pack(pdu.alloc_hint, pdu.context_id, pdu.cancel_count, pdu.fault_flags, pdu.status, 0)
    return fixed + pdu.stub


def _empty_body(layout: Layout, pdu: Pdu) -> bytes:
    return b""


def _auth3_body(layout: Layout, pdu: Auth3) -> bytes:
    return bytes(4)  # [MS-RPCE] 2.2.2.10: four bytes of padding that a receiver ignores.


_BODIES: Final[dict[type, tuple[int, Callable[[Layout, Any], bytes]]]] = {
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
