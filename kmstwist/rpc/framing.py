"""Cutting a byte stream into PDUs: fragments follow one another with nothing between them (C706 12.6).

The header alone says how long a fragment is, so it is checked here, before the rest has arrived: a peer that speaks
another protocol, or announces a fragment that is too long, is detected after 16 bytes, and nothing it sent is kept.
"""

from __future__ import annotations

from kmstwist.reasons import Reason
from kmstwist.rpc.decoding import Header, decode, decode_header
from kmstwist.rpc.pdu import HEADER_SIZE, RPC_MINOR_VERSIONS, RPC_VERSION, PacketType, Pdu, PduError

#: The highest PDU type that has been assigned (C706 chapter 12; [MS-RPCE] 2.2.2.10 adds 16).
_HIGHEST_TYPE = 19
#: The PDUs that negotiate the length of fragments are not limited by it: any length that fits the header (observed).
_UNNEGOTIATED = (int(PacketType.BIND), int(PacketType.ALTER_CONTEXT))
#: Version 4 is connectionless RPC and 5 is ours. Other protocols begin with a length (0), a TLS record (0x16) or text
#: (0x20 and above): those are not future versions of RPC.
_PLAUSIBLE_VERSIONS = range(4, 16)


class FrameReader:
    """Takes bytes and returns PDUs. After all PDUs are taken, it holds at most one incomplete fragment."""

    __slots__ = ("_max_fragment", "_offset", "_stopped", "data")

    def __init__(self, max_fragment: int) -> None:
        """`max_fragment` is the most bytes, header included, of any fragment except bind and alter_context."""
        self._max_fragment = max_fragment
        #: The bytes held; empty when all have become PDUs.
        self.data = b""
        #: Where in `data` the next PDU begins.
        self._offset = 0
        self._stopped = False

    @property
    def pending(self) -> int:
        """How many bytes are held that have not become a PDU yet."""
        return len(self.data) - self._offset

    def feed(self, data: bytes) -> None:
        """Take bytes that were read from the connection."""
        if not self._stopped:
            self.data = self.data[self._offset :] + data if self.data else data
            self._offset = 0

    def stop(self) -> None:
        """Drop the bytes held, and ignore all that are fed from now on."""
        self._stopped = True
        self.data = b""
        self._offset = 0

    def next_pdu(self) -> Pdu | None:
        """The next whole PDU, or None until more bytes arrive. Raises `PduError`; after that the stream is unusable."""
        data, start = self.data, self._offset
        if len(data) - start >= HEADER_SIZE:
            header = decode_header(data, start)
            version, minor, ptype, _, _, length, _, _ = header
            longest = 0xFFFF if ptype in _UNNEGOTIATED else self._max_fragment
            if version != RPC_VERSION or minor not in RPC_MINOR_VERSIONS or not HEADER_SIZE <= length <= longest:
                raise _error(header, longest)
            end = start + length
            if end < len(data):
                self._offset = end
                return decode(data[start:end], header)
            if end == len(data):
                self.data = b""
                self._offset = 0
                return decode(data[start:] if start else data, header)
        if start:
            self.data = data[start:]
            self._offset = 0
        return None


def _error(header: Header, longest: int) -> PduError:
    """What is wrong with a header, where a fragment may have at most `longest` bytes."""
    if header.version != RPC_VERSION or header.minor not in RPC_MINOR_VERSIONS:
        if header.version != RPC_VERSION and not _may_be_a_pdu(header):
            return PduError(Reason.RPC_NOT_RPC, "the bytes are not a DCE/RPC PDU", header.ptype, header.call_id)
        text = f"RPC version {header.version}.{header.minor} is not 5.0 or 5.1"
        return PduError(Reason.RPC_VERSION, text, header.ptype, header.call_id)
    text = f"a fragment of {header.frag_length} bytes (16 to {longest} are possible)"
    return PduError(Reason.RPC_FRAGMENT_LENGTH, text, header.ptype, header.call_id)


def _may_be_a_pdu(header: Header) -> bool:
    """Whether a header of another RPC version at least looks like ours; if not, it is HTTP, TLS or the like."""
    return header.version in _PLAUSIBLE_VERSIONS and header.ptype <= _HIGHEST_TYPE
