"""The PDUs of connection-oriented RPC (C706 12.6; [MS-RPCE] 2.2.2): one dataclass for each type.

A PDU here is one fragment. `kmstwist.rpc.fragments` joins the fragments of a call; `kmstwist.rpc.encoding` and
`kmstwist.rpc.decoding` turn PDUs into bytes and back. An authentication verifier is kept apart from the stub and is not
interpreted: the association decides how to answer it.

PDUs are never changed. Yet the classes that every conversation uses are not frozen: Python takes 1.8 µs to make a
frozen object of nine fields, and 0.4 µs to make one that is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Final, TypeAlias

from kmstwist.reasons import Reason
from kmstwist.rpc.syntax import NULL_SYNTAX, SyntaxId

HEADER_SIZE: Final = 16
#: Request header with its fixed body fields, before the stub (without an object UUID).
REQUEST_HEADER_SIZE: Final = 24
#: Response header with its fixed body fields, before the stub.
RESPONSE_HEADER_SIZE: Final = 24
AUTH_TRAILER_SIZE: Final = 8
#: The longest fragment that Windows offers, and so the longest that is possible, in bytes.
MAX_FRAGMENT: Final = 5840
RPC_VERSION: Final = 5
RPC_MINOR_VERSIONS: Final = (0, 1)
#: The length of a fault PDU in bytes: no stub data follows the status.
FAULT_SIZE: Final = 32


class PacketType(IntEnum):
    """PDU types (C706 chapter 12, "RPC Protocol Data Units"; [MS-RPCE] 2.2.2.10).

    The connectionless types are included so that a log line can name them.
    """

    REQUEST = 0
    PING = 1
    RESPONSE = 2
    FAULT = 3
    WORKING = 4
    NOCALL = 5
    REJECT = 6
    ACK = 7
    CL_CANCEL = 8
    FACK = 9
    CANCEL_ACK = 10
    BIND = 11
    BIND_ACK = 12
    BIND_NAK = 13
    ALTER_CONTEXT = 14
    ALTER_CONTEXT_RESP = 15
    AUTH3 = 16
    SHUTDOWN = 17
    CO_CANCEL = 18
    ORPHANED = 19


class Flags(IntFlag):
    """`pfc_flags` (C706 12.6.3.1; [MS-RPCE] 2.2.2.3)."""

    FIRST_FRAG = 0x01
    LAST_FRAG = 0x02
    #: In a request: a cancel is pending. In bind and alter_context the same bit is SUPPORT_HEADER_SIGN.
    PENDING_CANCEL = 0x04
    SUPPORT_HEADER_SIGN = 0x04
    RESERVED = 0x08
    CONC_MPX = 0x10
    DID_NOT_EXECUTE = 0x20
    MAYBE = 0x40
    OBJECT_UUID = 0x80


# The flags as plain integers: testing an IntFlag takes a microsecond, and each PDU is tested several times.
FIRST_FRAG: Final = 0x01
LAST_FRAG: Final = 0x02
WHOLE: Final = FIRST_FRAG | LAST_FRAG
PENDING_CANCEL: Final = 0x04
SUPPORT_HEADER_SIGN: Final = 0x04
CONC_MPX: Final = 0x10
DID_NOT_EXECUTE: Final = 0x20
MAYBE: Final = 0x40
OBJECT_UUID: Final = 0x80


class PduError(Exception):
    """Bytes that are not a PDU. `reason` says why; `ptype` and `call_id` are what could still be read of the header."""

    def __init__(self, reason: Reason, detail: str, ptype: int | None = None, call_id: int = 0) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.ptype = ptype
        self.call_id = call_id


@dataclass(frozen=True, slots=True)
class AuthVerifier:
    """The sec_trailer and auth_value at a PDU's end (C706 13.2.6.1; [MS-RPCE] 2.2.2.11)."""

    auth_type: int
    level: int
    pad_length: int
    context_id: int
    value: bytes


@dataclass(frozen=True, slots=True)
class PresentationContext:
    """One proposed context: an interface in the transfer syntaxes that the client supports (p_cont_elem_t)."""

    context_id: int
    abstract: SyntaxId
    transfers: tuple[SyntaxId, ...]


@dataclass(frozen=True, slots=True)
class ContextOutcome:
    """The server's answer to one proposed context (p_result_t); answers are in the order proposed."""

    result: int
    reason: int = 0
    transfer: SyntaxId = NULL_SYNTAX


@dataclass(slots=True)
class Bind:
    """bind (C706 12.6.4.3): opens an association. Fragment sizes in bytes; group 0 asks for a new one."""

    call_id: int
    contexts: tuple[PresentationContext, ...]
    max_xmit_frag: int = 5840
    max_recv_frag: int = 5840
    assoc_group: int = 0
    flags: int = WHOLE
    auth: AuthVerifier | None = None


@dataclass(slots=True)
class AlterContext(Bind):
    """alter_context (C706 12.6.4.1): proposes further contexts on an association. Its sizes and group are ignored."""


@dataclass(slots=True)
class BindAck:
    """bind_ack (C706 12.6.4.4). `secondary_address` is the port as text, without its NUL."""

    call_id: int
    results: tuple[ContextOutcome, ...]
    max_xmit_frag: int = 5840
    max_recv_frag: int = 5840
    assoc_group: int = 0
    secondary_address: bytes = b""
    flags: int = WHOLE
    auth: AuthVerifier | None = None


@dataclass(slots=True)
class AlterContextResp(BindAck):
    """alter_context_resp (C706 12.6.4.2): as bind_ack, with an empty secondary address."""


@dataclass(frozen=True, slots=True)
class BindNak:
    """bind_nak (C706 12.6.4.5): refuses the whole bind, and lists the protocol versions that the server supports."""

    call_id: int
    reject_reason: int
    versions: tuple[tuple[int, int], ...] = ((5, 0),)
    flags: int = WHOLE


@dataclass(slots=True)
class Request:
    """request (C706 12.6.4.9). `object` is an object UUID's 16 bytes as sent; `little_endian` the stub's byte order."""

    call_id: int
    context_id: int
    opnum: int
    stub: bytes
    alloc_hint: int = 0
    object: bytes | None = None
    flags: int = WHOLE
    auth: AuthVerifier | None = None
    little_endian: bool = True


@dataclass(slots=True)
class Response:
    """response (C706 12.6.4.10)."""

    call_id: int
    context_id: int
    stub: bytes
    alloc_hint: int = 0
    cancel_count: int = 0
    flags: int = WHOLE
    auth: AuthVerifier | None = None
    little_endian: bool = True


@dataclass(frozen=True, slots=True)
class Fault:
    """fault (C706 12.6.4.7; [MS-RPCE] 2.2.2.8 makes the byte after cancel_count a flag)."""

    call_id: int
    context_id: int
    status: int
    alloc_hint: int = FAULT_SIZE
    cancel_count: int = 0
    fault_flags: int = 0
    flags: int = WHOLE
    stub: bytes = b""
    auth: AuthVerifier | None = None


@dataclass(frozen=True, slots=True)
class CoCancel:
    """cancel (C706 12.6.4.6): the client would like this call to end early."""

    call_id: int
    flags: int = WHOLE
    auth: AuthVerifier | None = None


@dataclass(frozen=True, slots=True)
class Orphaned:
    """orphaned (C706 12.6.4.8): the client has given the call up and does not want an answer."""

    call_id: int
    flags: int = WHOLE
    auth: AuthVerifier | None = None


@dataclass(frozen=True, slots=True)
class Shutdown:
    """shutdown (C706 12.6.4.11): a server asks its client to end the connection. Clients never send it."""

    call_id: int
    flags: int = WHOLE


@dataclass(frozen=True, slots=True)
class Auth3:
    """rpc_auth_3 ([MS-RPCE] 2.2.2.10): the third leg of an authentication; it is never answered."""

    call_id: int
    flags: int = WHOLE
    auth: AuthVerifier | None = None


@dataclass(frozen=True, slots=True)
class OtherPdu:
    """A PDU of a type that has no meaning on a connection: a connectionless one, or a number not assigned."""

    call_id: int
    ptype: int
    flags: int = WHOLE


Pdu: TypeAlias = (
    Bind
    | AlterContext
    | BindAck
    | AlterContextResp
    | BindNak
    | Request
    | Response
    | Fault
    | CoCancel
    | Orphaned
    | Shutdown
    | Auth3
    | OtherPdu
)
