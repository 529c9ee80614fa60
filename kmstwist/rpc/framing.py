"""Cutting a byte stream into PDUs: fragments follow one another with nothing between (C706 12.6).

The header alone decides how long a fragment is, so it is judged here, before the rest has come: a peer that speaks
something else, or announces more than a fragment may have, is found out after 16 bytes and nothing of it is kept.
"""

from __future__ import annotations

from kmstwist.reasons import Reason
from kmstwist.rpc.decoding import Header, decode, decode_header
from kmstwist.rpc.pdu import HEADER_SIZE, RPC_MINOR_VERSIONS, RPC_VERSION, PacketType, Pdu, PduError

#: PDU types up to here have been given out (C706 chapter 12; [MS-RPCE] 2.2.2.10 adds 16).
_HIGHEST_TYPE = 19
#: What says how long fragments may be is not bound by it; these may have any length that fits the header (observed).
_UNNEGOTIATED = (int(PacketType.BIND), int(PacketType.ALTER_CONTEXT))
#: 4 is connectionless RPC's version and 5 ours; protocols that begin with a length (0), a TLS record (0x16) or text
#: (0x20 up) are not versions of RPC to come.
_PLAUSIBLE_VERSIONS = range(4, 16)


class FrameReader:
    """Feeds on bytes, gives PDUs; once all are taken, what it holds is one incomplete fragment at most."""

    __slots__ = ("_max_fragment", "_offset", "_stopped", "data")

    def __init__(self, max_fragment: int) -> None:
        """`max_fragment` is how long, in bytes with its header, any fragment but bind and alter_context may be."""
        self._max_fragment = max_fragment
        #: What is held; empty when all of it has been given.
        self.data = b""
        #: Where in `data` the next PDU begins.
        self._offset = 0
        self._stopped = False

    @property
    def pending(self) -> int:
        """How many bytes are held that no PDU was made of yet."""
        return len(self.data) - self._offset

    def feed(self, data: bytes) -> None:
        """Take what was read from the connection."""
        if not self._stopped:
            self.data = self.data[self._offset :] + data if self.data else data
            self._offset = 0

    def stop(self) -> None:
        """Drop what is held, and whatever else is fed."""
        self._stopped = True
        self.data = b""
        self._offset = 0

    def next_pdu(self) -> Pdu | None:
        """The next whole PDU, or None until more bytes come. Raises `PduError`; the stream is of no use after that."""
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
    """What is wrong with a header, where a fragment may have so many bytes at most."""
    if header.version != RPC_VERSION or header.minor not in RPC_MINOR_VERSIONS:
        if header.version != RPC_VERSION and not _may_be_a_pdu(header):
            return PduError(Reason.RPC_NOT_RPC, "the bytes are no DCE/RPC PDU", header.ptype, header.call_id)
        text = f"RPC version {header.version}.{header.minor} is not 5.0 or 5.1"
        return PduError(Reason.RPC_VERSION, text, header.ptype, header.call_id)
    text = f"a fragment of {header.frag_length} bytes (16 to {longest} are possible)"
    return PduError(Reason.RPC_FRAGMENT_LENGTH, text, header.ptype, header.call_id)


def _may_be_a_pdu(header: Header) -> bool:
    """Whether a header of another version is at least like ours: else it is HTTP, TLS or something of the kind."""
    return header.version in _PLAUSIBLE_VERSIONS and header.ptype <= _HIGHEST_TYPE
