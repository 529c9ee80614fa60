"""The KMS interface over RPC: its identifier, what a Windows client proposes for it, and its one operation's stubs.

The operation is RequestActivation (opnum 0):

    HRESULT RequestActivation([in] long requestSize, [in, size_is(requestSize)] byte *request,
                              [out] long *responseSize, [out, size_is(,*responseSize)] byte **response);

The KMS message inside is bytes to this module, whatever its version. Source of the interface: Microsoft's Volume
Activation Operations Guide, "KMS RPC Messages"; of the encoding: C706 14.3 and, for NDR64, [MS-RPCE] 2.2.5.
"""

from __future__ import annotations

import struct
from typing import Final

from kmstwist.rpc import (
    FEATURE_KEEP_CONNECTION_ON_ORPHAN,
    FEATURE_SECURITY_CONTEXT_MULTIPLEXING,
    MGMT_INTERFACE,
    NDR32,
    NDR64,
    Interface,
    PresentationContext,
    StubError,
    StubReader,
    StubWriter,
    SyntaxId,
    feature_syntax,
)

#: Volume Activation Operations Guide, "KMS RPC Messages".
KMS_INTERFACE: Final = SyntaxId.make("51c82175-844e-4750-b0d8-ec255555bc06", 1)
REQUEST_ACTIVATION: Final = 0
#: The interface as a KMS host offers it.
KMS: Final = Interface(KMS_INTERFACE, operations=1)

#: What a Windows client (Vista and later) proposes: the interface in NDR32, in NDR64, and feature negotiation.
WINDOWS_CONTEXTS: Final = (
    PresentationContext(0, KMS_INTERFACE, (NDR32,)),
    PresentationContext(1, KMS_INTERFACE, (NDR64,)),
    PresentationContext(
        2,
        KMS_INTERFACE,
        (feature_syntax(FEATURE_SECURITY_CONTEXT_MULTIPLEXING | FEATURE_KEEP_CONNECTION_ON_ORPHAN),),
    ),
)
#: The management interface, for an alter_context on an association that was bound with those.
MANAGEMENT_CONTEXTS: Final = (PresentationContext(3, MGMT_INTERFACE, (NDR32,)),)

#: The referent id that MIDL's runtimes give the first pointer; any number but 0 will do (C706 14.3).
_REFERENT: Final = 0x00020000
#: The sizes in a request are u32; no KMS message comes near this many bytes, and a larger one is refused unread.
MAX_MESSAGE_SIZE: Final = 0x400000

_HEAD32 = struct.Struct("<II")
_RESPONSE32 = struct.Struct("<III")


def encode_request(message: bytes, *, ndr64: bool = False) -> bytes:
    """The request stub that carries `message`."""
    if ndr64:
        return StubWriter(ndr64=True).u32(len(message)).count(len(message)).raw(message).finish()
    return _HEAD32.pack(len(message), len(message)) + message


def decode_request(stub: bytes, *, ndr64: bool = False, little_endian: bool = True) -> bytes:
    """The message that a request stub carries. Raises `StubError` if its counts contradict each other or its length.

    Bytes past the message are ignored, as NDR's own runtimes do.
    """
    if not ndr64 and little_endian and len(stub) >= 8:
        size, max_count = _HEAD32.unpack_from(stub)
        if size == max_count and size <= len(stub) - 8:
            return stub[8 : 8 + size]
    reader = StubReader(stub, ndr64=ndr64, little_endian=little_endian)
    size = reader.u32()
    max_count = reader.count()
    if size != max_count:
        raise StubError(f"requestSize is {size} but the array's count is {max_count}")
    if size > MAX_MESSAGE_SIZE:
        raise StubError(f"requestSize {size} is beyond any KMS message")
    return reader.raw(size)


def encode_response(hresult: int, message: bytes = b"", *, ndr64: bool = False) -> bytes:
    """The response stub: a message with HRESULT 0, or no message (a null pointer) with a status."""
    if not message:
        if ndr64:
            return StubWriter(ndr64=True).u32(0).pointer(0).u32(hresult).finish()
        return _RESPONSE32.pack(0, 0, hresult)
    size = len(message)
    if ndr64:
        writer = StubWriter(ndr64=True).u32(size).pointer(_REFERENT).count(size).raw(message)
        return writer.u32(hresult).finish()
    return _RESPONSE32.pack(size, _REFERENT, size) + message + bytes(-size % 4) + hresult.to_bytes(4, "little")


def decode_response(stub: bytes, *, ndr64: bool = False, little_endian: bool = True) -> tuple[int, bytes]:
    """The HRESULT and the message (empty where the pointer is null) of a response stub. Raises `StubError`."""
    if not ndr64 and little_endian and len(stub) >= 16:
        size, referent, max_count = _RESPONSE32.unpack_from(stub)
        end = 12 + size
        status = end + -size % 4
        if referent and size == max_count and status + 4 <= len(stub):
            return int.from_bytes(stub[status : status + 4], "little"), stub[12:end]
    reader = StubReader(stub, ndr64=ndr64, little_endian=little_endian)
    size = reader.u32()
    message = b""
    if reader.pointer():
        max_count = reader.count()
        if max_count != size:
            raise StubError(f"responseSize is {size} but the array's count is {max_count}")
        message = reader.raw(size)
    elif size:
        raise StubError(f"responseSize is {size} but the pointer is null")
    return reader.u32(), message
