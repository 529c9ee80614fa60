"""RequestActivation, the one operation of the KMS interface (opnum 0): its stubs, a call of it, and the answer.

    HRESULT RequestActivation([in] long requestSize, [in, size_is(requestSize)] byte *request,
                              [out] long *responseSize, [out, size_is(,*responseSize)] byte **response);

Source of the operation: Microsoft's Volume Activation Operations Guide, "KMS RPC Messages"; of the stubs' encoding:
C706 14.3 and, for NDR64, [MS-RPCE] 2.2.5.

The server makes an `ActivationCall` of each RequestActivation it receives and hands it to an activator. The activator
answers with an `ActivationAnswer`, or raises (through its Deferred) an `ActivationFault`, which the client sees as an
RPC fault. The message itself stays bytes, whatever its version. Only the lab's own messages and V4 messages, which are
in clear, are read; what they say travels beside the message as a `RequestFacts`, and never replaces it.

The call is also its own account. It is read once, when it arrives, and its outcome is noted on the way (`answered`,
`failed`, `give_up`). At the end, its log line, the counters and the audit's record are made from it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from kmstwist.kms.messages import V4_REQUEST_SIZE, RequestFacts, readable_facts
from kmstwist.kms.version import VERSIONS, Version
from kmstwist.reasons import Reason
from kmstwist.rpc import StubError, StubReader, StubWriter

__all__ = [
    "MAX_MESSAGE_SIZE",
    "REQUEST_ACTIVATION",
    "ActivationAnswer",
    "ActivationCall",
    "ActivationFault",
    "RequestFacts",
    "decode_request",
    "decode_response",
    "encode_request",
    "encode_response",
]

#: The operation's number.
REQUEST_ACTIVATION: Final = 0
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


# Not frozen: nothing relies on that, and it would cost each call a microsecond.
@dataclass(slots=True)
class ActivationAnswer:
    """What RequestActivation returns.

    `hresult` is 0 with a response `message`, else a status code (`kmstwist.kms.status`) with an empty one. `upstream`
    names the KMS host that answered (None in the lab), `facts` what could be read of the request, `count` the client
    count in the answer where it was readable, `reason` the code for the log (`Reason.OK` for success), and `detail`
    a sentence for the log where there is more to say.
    """

    hresult: int
    message: bytes = b""
    upstream: str | None = None
    facts: RequestFacts | None = None
    count: int | None = None
    reason: Reason = Reason.OK
    detail: str = ""


class ActivationFault(Exception):
    """Answer the call with an RPC fault of this status (C706 appendix E, [MS-ERREF] 2.2)."""

    def __init__(self, status: int, reason: Reason, detail: str, upstream: str | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.reason = reason
        self.detail = detail
        self.upstream = upstream


class ActivationCall:
    """One RequestActivation call as it reached the server, and its outcome.

    The request: `message` is the KMS request, version word first, exactly as received; `client` the client's IP
    address in text (an IPv4-mapped one as IPv4) and `client_port` its TCP port; `proxy` the load balancer's address
    where the client's is the one that a PROXY header named. `version` and `facts` are what the message says in clear,
    None where it says nothing.

    The outcome: `result` is the answer in a word ("activated", "answered", "refused", "fault", or "none" while
    there is no answer), with `answer` or `fault` behind it; `reason` and `detail` say why. `hresult` is the status of
    the KMS answer that the client gets and `fault_status` that of the RPC fault, each None if the client gets no such
    answer; `upstream` is the KMS host that answered, or the last one tried. `started` is when the whole call had
    arrived and `answered_at` when it was answered, in the clock's seconds; `receive_ms` is how many milliseconds after
    the connection was made the call arrived.

    There is such an account for a call that cannot be read, too, without a message, and for a peer that made no call,
    with `asked` false.
    """

    __slots__ = (
        "answer",
        "answered_at",
        "asked",
        "bytes_in",
        "client",
        "client_port",
        "detail",
        "facts",
        "fault",
        "fault_status",
        "hresult",
        "message",
        "proxy",
        "reason",
        "receive_ms",
        "result",
        "started",
        "upstream",
        "version",
    )

    def __init__(
        self,
        message: bytes,
        client: str,
        client_port: int,
        proxy: str | None = None,
        *,
        started: float = 0.0,
        receive_ms: float | None = None,
    ) -> None:
        self.message = message
        self.client = client
        self.client_port = client_port
        self.proxy = proxy
        self.version = VERSIONS.get(message[:4]) or (Version.of(message) if len(message) >= 4 else None)
        self.facts = readable_facts(message) if len(message) == V4_REQUEST_SIZE else None
        self.asked = True
        self.started = started
        self.receive_ms = receive_ms
        self.bytes_in = len(message)
        self.answered_at: float | None = None
        self.answer: ActivationAnswer | None = None
        self.fault: ActivationFault | None = None
        self.upstream: str | None = None
        self.hresult: int | None = None
        self.fault_status: int | None = None
        self.result = "none"
        self.reason = Reason.OK
        self.detail = ""

    def __eq__(self, other: object) -> bool:
        """Two calls are the same if the same was asked."""
        return isinstance(other, ActivationCall) and self._asked() == other._asked()

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"<ActivationCall of {self.client} port {self.client_port}: {self.result}>"

    def _asked(self) -> tuple[object, ...]:
        return self.message, self.client, self.client_port, self.proxy

    # The outcome.

    def answered(self, answer: ActivationAnswer, now: float) -> None:
        """The call was answered, with a response or a KMS status."""
        self.answer = answer
        self.hresult = answer.hresult
        self.upstream = answer.upstream
        self.answered_at = now
        self.reason = answer.reason
        self.detail = answer.detail
        if answer.facts is not None:
            self.facts = answer.facts
        if answer.hresult != 0:
            self.result = "refused"
        elif answer.count is not None and self.facts is not None and answer.count >= self.facts.required_count:
            # A client is activated only if the count is enough for it, where both can be read.
            self.result = "activated"
        else:
            self.result = "answered"

    def failed(self, fault: ActivationFault, now: float) -> None:
        """The call was answered with a fault, which replaces any answer there was."""
        self.fault = fault
        self.hresult = None
        self.fault_status = fault.status
        self.upstream = fault.upstream
        self.answered_at = now
        self.reason = fault.reason
        self.detail = fault.detail
        self.result = "fault"

    def give_up(self, reason: Reason, detail: str) -> None:
        """The client gave up the call; an answer made meanwhile never reached it."""
        self.answered_at = None
        self.hresult = self.fault_status = None
        self.reason = reason
        self.detail = detail
        self.result = "none"
