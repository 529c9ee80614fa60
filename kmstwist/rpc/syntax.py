"""Presentation syntax identifiers: the UUID of an interface or transfer syntax with its version (C706 12.6.3.1).

On the wire an identifier is 20 bytes: the UUID's integer fields and the version in the byte order of the PDU. Here it
is kept and compared in its little-endian wire form; a `uuid.UUID` is made only for people to read.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from uuid import UUID

SYNTAX_SIZE = 20


@dataclass(frozen=True, slots=True)
class SyntaxId:
    """An interface or transfer syntax: `wire` is the 20-byte little-endian form (UUID 16, major u16, minor u16)."""

    wire: bytes

    @classmethod
    def make(cls, uuid: str, major: int, minor: int = 0) -> SyntaxId:
        """The identifier of `uuid` (its text form) in version `major`.`minor`."""
        return cls(UUID(uuid).bytes_le + major.to_bytes(2, "little") + minor.to_bytes(2, "little"))

    @property
    def uuid(self) -> UUID:
        """The UUID without the version."""
        return UUID(bytes_le=self.wire[:16])

    @property
    def major(self) -> int:
        """The major version: two sides must agree on it."""
        return int.from_bytes(self.wire[16:18], "little")

    @property
    def minor(self) -> int:
        """The minor version: a server serves all clients up to its own (C706 chapter 6)."""
        return int.from_bytes(self.wire[18:20], "little")

    def __str__(self) -> str:
        return f"{self.uuid} v{self.major}.{self.minor}"


@lru_cache(maxsize=512)
def syntax_from_wire(wire: bytes) -> SyntaxId:
    """The identifier of 20 little-endian bytes; cached, since all clients use the same few."""
    return SyntaxId(wire)


def swap_syntax(wire: bytes) -> bytes:
    """The 20 bytes of an identifier with every integer field's byte order reversed (C706 14.1: the PDU's data rep).

    The version is one integer of 32 bits here (C706 12.6.3.1, p_syntax_id_t), so a big-endian sender's minor version
    comes before its major one.
    """
    return wire[3::-1] + wire[5:3:-1] + wire[7:5:-1] + wire[8:16] + wire[19:15:-1]


#: No syntax: what a rejected context's result carries, and what [MS-RPCE] calls a null identifier.
NULL_SYNTAX = SyntaxId(bytes(SYNTAX_SIZE))
#: NDR with 32-bit counts and pointers (C706 14; version 2.0).
NDR32 = SyntaxId.make("8a885d04-1ceb-11c9-9fe8-08002b104860", 2)
#: NDR with 64-bit counts and pointers ([MS-RPCE] 2.2.5; version 1.0).
NDR64 = SyntaxId.make("71710533-beba-4937-8319-b5dbef9ccc36", 1)
#: The remote management interface every RPC server has (C706 appendix Q, mgmt v1.0).
MGMT_INTERFACE = SyntaxId.make("afa8bd80-7d8a-11c9-bef4-08002b102989", 1)

#: Bind time feature negotiation is a transfer syntax whose UUID begins so; its last 8 bytes are the feature bits and
#: its version is 1.0 ([MS-RPCE] 3.3.1.5.3).
_FEATURE_PREFIX = UUID("6cb71c2c-9812-4540-0000-000000000000").bytes_le[:8]
_FEATURE_VERSION = b"\x01\x00\x00\x00"

#: [MS-RPCE] 2.2.2.14, 3.3.1.5.4: several security contexts on one connection.
FEATURE_SECURITY_CONTEXT_MULTIPLEXING = 0x01
#: [MS-RPCE] 2.2.2.14, 3.3.1.5.10: the client keeps its connection when it orphans a call.
FEATURE_KEEP_CONNECTION_ON_ORPHAN = 0x02


def feature_syntax(bits: int) -> SyntaxId:
    """The transfer syntax that asks for these bind time features."""
    return SyntaxId(_FEATURE_PREFIX + bits.to_bytes(8, "little") + _FEATURE_VERSION)


def feature_bits(syntax: SyntaxId) -> int | None:
    """The feature bits a transfer syntax asks for, or None where it is not a feature negotiation."""
    wire = syntax.wire
    if wire[:8] != _FEATURE_PREFIX or wire[16:] != _FEATURE_VERSION:
        return None
    return int.from_bytes(wire[8:16], "little")
