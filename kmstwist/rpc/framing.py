"""Cutting a byte stream into PDUs (C706 12.6.2: fragments follow one another with nothing between).

The header alone decides how long a fragment is, so it is judged here, before the rest has come: a peer that speaks
something else, or announces more than a fragment may have, is found out after 16 bytes and nothing of it is kept.
"""

from __future__ import annotations

from kmstwist.reasons import Reason
from kmstwist.rpc.codec import Header, decode, decode_header
from kmstwist.rpc.pdu import HEADER_SIZE, RPC_MINOR_VERSIONS, RPC_VERSION, Pdu, PduError

#: PDU types up to here have been given out (C706 12.6.4; [MS-RPCE] adds 16).
_HIGHEST_TYPE = 19


class FrameReader:
    """Feeds on bytes, gives PDUs. Holds at most one incomplete fragment, so at most `max_fragment` bytes."""

    __slots__ = ("_max_fragment", "_pending")

    def __init__(self, max_fragment: int) -> None:
        """`max_fragment` is the longest fragment that is taken, in bytes, header included."""
        self._max_fragment = max_fragment
        self._pending = b""

    @property
    def pending(self) -> int:
        """How many bytes of an incomplete fragment are held."""
        return len(self._pending)

    def feed(self, data: bytes) -> None:
        """Take what was read from the connection."""
        self._pending = self._pending + data if self._pending else data

    def next_pdu(self) -> Pdu | None:
        """The next whole PDU, or None until more bytes come. Raises `PduError`; the stream is of no use after that."""
        pending = self._pending
        if len(pending) < HEADER_SIZE:
            return None
        header = decode_header(pending)
        self._judge(header)
        end = header.frag_length
        if len(pending) < end:
            return None
        if len(pending) == end:
            self._pending = b""
            return decode(pending, header)
        self._pending = pending[end:]
        return decode(pending[:end], header)

    def _judge(self, header: Header) -> None:
        if header.version != RPC_VERSION or header.minor not in RPC_MINOR_VERSIONS:
            reason, text = Reason.RPC_VERSION, f"RPC version {header.version}.{header.minor} is not 5.0 or 5.1"
            if header.version != RPC_VERSION and header.ptype > _HIGHEST_TYPE:
                reason, text = Reason.RPC_NOT_RPC, "the bytes are no DCE/RPC PDU"
            raise PduError(reason, text, header.ptype, header.call_id)
        if not HEADER_SIZE <= header.frag_length <= self._max_fragment:
            raise PduError(
                Reason.RPC_FRAGMENT_LENGTH,
                f"a fragment of {header.frag_length} bytes (16 to {self._max_fragment} are possible)",
                header.ptype,
                header.call_id,
            )
