"""What both ends of a connection share: a machine stepped by PDUs, with bytes in and out, and a call's two PDUs.

The inputs of such a machine are classes: those of the PDUs, `PduError` for bytes that are not a PDU, and a few more for
each side. A PDU that a side's table does not list in a state takes that state's default row.
"""

from __future__ import annotations

from typing import Final, Generic, TypeVar

from kmstwist.rpc.encoding import encode
from kmstwist.rpc.framing import FrameReader
from kmstwist.rpc.layout import LITTLE
from kmstwist.rpc.pdu import (
    MAX_FRAGMENT,
    REQUEST_HEADER_SIZE,
    RESPONSE_HEADER_SIZE,
    RPC_VERSION,
    WHOLE,
    PacketType,
    Pdu,
    PduError,
)
from kmstwist.statemachine import Machine, StateT, Table, Trace

EventT = TypeVar("EventT")


class Endpoint(Machine[StateT, type], Generic[StateT, EventT]):
    """One end's association. Feed it with `receive_data`, act on the events, send what `data_to_send` returns."""

    __slots__ = ("_reader", "events", "unsent")

    def __init__(self, table: Table[StateT, type], trace: Trace | None) -> None:
        super().__init__(table, trace)
        self.events: list[EventT] = []
        self._reader = FrameReader(MAX_FRAGMENT)
        #: PDUs that wait for `data_to_send`; while this is empty, it need not be called.
        self.unsent: list[bytes] = []

    def receive_data(self, data: bytes) -> list[EventT]:
        """Take bytes from the connection and return their events. Never raises; once it is over, it does nothing."""
        reader = self._reader
        reader.feed(data)
        events = self.events = []
        try:
            while (pdu := reader.next_pdu()) is not None:
                self.take(pdu)
                if not reader.data:
                    break
        except PduError as error:
            self.step(PduError, error)
        return events

    def take(self, pdu: Pdu) -> None:
        """Step the machine by one PDU."""
        self.step(type(pdu), pdu)

    def data_to_send(self) -> bytes:
        """The bytes to write to the connection; each is returned once."""
        unsent = self.unsent
        if len(unsent) == 1:
            return unsent.pop()
        data = b"".join(unsent)
        unsent.clear()
        return data

    def send(self, pdu: Pdu) -> None:
        """Queue a PDU for sending."""
        self.put(encode(pdu))

    def put(self, fragment: bytes) -> None:
        """Queue an encoded PDU for sending."""
        self.unsent.append(fragment)

    def close(self, event: EventT) -> None:
        """Tell the owner, by this event, that the association is over; ignore further bytes from the connection."""
        self._reader.stop()
        self.events.append(event)


# Nearly every request and response is one whole fragment. Those are read and written here in one step, without a header
# or a PDU object in between; `decoding` and `encoding` handle every PDU, and agree with this on these two.

_REQUEST, _RESPONSE, _DREP = int(PacketType.REQUEST), int(PacketType.RESPONSE), LITTLE.drep
# The first bytes of the requests of Windows clients and the responses of Windows hosts: version 5.0, one fragment,
# little-endian. Both have their fixed parts in the same places.
_WHOLE_REQUEST: Final = bytes((RPC_VERSION, 0, _REQUEST, WHOLE)) + _DREP
_WHOLE_RESPONSE: Final = bytes((RPC_VERSION, 0, _RESPONSE, WHOLE)) + _DREP
_AFTER_DREP: Final = LITTLE.after_drep.unpack_from
_REQUEST_START, _RESPONSE_START = LITTLE.request_start.pack, LITTLE.response_start.pack


def whole_request(data: bytes) -> tuple[int, int, int, bytes, int] | None:
    """The fields of the `Request` that `decode` would return, if these bytes are exactly one as Windows sends it.

    None for anything else, well-formed or not; the caller then uses `decode`, which takes three times as long (5 µs).
    """
    if data[:8] != _WHOLE_REQUEST or not REQUEST_HEADER_SIZE <= len(data) <= MAX_FRAGMENT:
        return None
    size, auth_length, call_id, alloc_hint, context_id, opnum = _AFTER_DREP(data, 8)
    if size != len(data) or auth_length:
        return None
    return call_id, context_id, opnum, data[REQUEST_HEADER_SIZE:], alloc_hint


def whole_response(data: bytes) -> tuple[int, int, bytes, int] | None:
    """The fields of the `Response`; see `whole_request`."""
    if data[:8] != _WHOLE_RESPONSE or not RESPONSE_HEADER_SIZE <= len(data) <= MAX_FRAGMENT:
        return None
    size, auth_length, call_id, alloc_hint, context_id, cancels = _AFTER_DREP(data, 8)
    if size != len(data) or auth_length or cancels:
        return None
    return call_id, context_id, data[RESPONSE_HEADER_SIZE:], alloc_hint


def encode_request(call_id: int, context_id: int, opnum: int, stub: bytes, hint: int, flags: int = WHOLE) -> bytes:
    """The bytes of a `Request` with these fields, little-endian: the same as `encode` gives."""
    size = len(stub) + REQUEST_HEADER_SIZE
    return _REQUEST_START(RPC_VERSION, 0, _REQUEST, flags, _DREP, size, 0, call_id, hint, context_id, opnum) + stub


def encode_response(call_id: int, context_id: int, stub: bytes, hint: int, flags: int = WHOLE) -> bytes:
    """The bytes of a `Response` with these fields, little-endian: the same as `encode` gives."""
    size = len(stub) + RESPONSE_HEADER_SIZE
    return _RESPONSE_START(RPC_VERSION, 0, _RESPONSE, flags, _DREP, size, 0, call_id, hint, context_id, 0, 0) + stub
