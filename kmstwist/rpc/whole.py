"""The two PDUs that every call needs, a request and a response, where each is one whole fragment.

Nearly all of them are. They are read and written here in one step, without a header or a PDU object in between;
`decoding` and `encoding` handle every PDU, agree with this file on these two, and take three times as long.
"""

from __future__ import annotations

from typing import Final

from kmstwist.rpc.layout import LITTLE
from kmstwist.rpc.pdu import (
    MAX_FRAGMENT,
    REQUEST_HEADER_SIZE,
    RESPONSE_HEADER_SIZE,
    RPC_VERSION,
    WHOLE,
    PacketType,
    Request,
    Response,
)

_REQUEST, _RESPONSE, _DREP = int(PacketType.REQUEST), int(PacketType.RESPONSE), LITTLE.drep
# The first bytes of the requests of Windows clients and the responses of Windows hosts: version 5.0, one fragment,
# little-endian. Both have their fixed parts in the same places.
_WHOLE_REQUEST: Final = bytes((RPC_VERSION, 0, _REQUEST, WHOLE)) + _DREP
_WHOLE_RESPONSE: Final = bytes((RPC_VERSION, 0, _RESPONSE, WHOLE)) + _DREP
_AFTER_DREP: Final = LITTLE.after_drep.unpack_from
_REQUEST_START, _RESPONSE_START = LITTLE.request_start.pack, LITTLE.response_start.pack


def whole_request(data: bytes) -> Request | None:
    """The request in these bytes, as `decode` would return it, if they are exactly one request as Windows sends it.

    None for anything else, well-formed or not; the caller then uses `decode`, which takes three times as long (5 µs).
    """
    if data[:8] != _WHOLE_REQUEST or not REQUEST_HEADER_SIZE <= len(data) <= MAX_FRAGMENT:
        return None
    size, auth_length, call_id, alloc_hint, context_id, opnum = _AFTER_DREP(data, 8)
    if size != len(data) or auth_length:
        return None
    return Request(call_id, context_id, opnum, data[REQUEST_HEADER_SIZE:], alloc_hint)


def whole_response(data: bytes) -> Response | None:
    """The response in these bytes; see `whole_request`."""
    if data[:8] != _WHOLE_RESPONSE or not RESPONSE_HEADER_SIZE <= len(data) <= MAX_FRAGMENT:
        return None
    size, auth_length, call_id, alloc_hint, context_id, cancels = _AFTER_DREP(data, 8)
    if size != len(data) or auth_length or cancels:
        return None
    return Response(call_id, context_id, data[RESPONSE_HEADER_SIZE:], alloc_hint)


def encode_request(call_id: int, context_id: int, opnum: int, stub: bytes, hint: int, flags: int = WHOLE) -> bytes:
    """The bytes of a `Request` with these fields, little-endian: the same as `encode` gives."""
    size = len(stub) + REQUEST_HEADER_SIZE
    return _REQUEST_START(RPC_VERSION, 0, _REQUEST, flags, _DREP, size, 0, call_id, hint, context_id, opnum) + stub


def encode_response(call_id: int, context_id: int, stub: bytes, hint: int, flags: int = WHOLE) -> bytes:
    """The bytes of a `Response` with these fields, little-endian: the same as `encode` gives."""
    size = len(stub) + RESPONSE_HEADER_SIZE
    return _RESPONSE_START(RPC_VERSION, 0, _RESPONSE, flags, _DREP, size, 0, call_id, hint, context_id, 0, 0) + stub
