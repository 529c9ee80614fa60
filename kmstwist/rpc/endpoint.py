"""What both ends of a connection share: a machine stepped by PDUs, with bytes in and out.

The inputs of such a machine are classes: those of the PDUs, `PduError` for bytes that are not a PDU, and a few more for
each side. A PDU that a side's table does not list in a state takes that state's default row.

Nearly every request and response is one whole fragment. Each side's core reads and writes those in one step, without a
header or a PDU object in between; `decoding` and `encoding` handle every PDU, and agree with that on these two.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from kmstwist.rpc.encoding import encode
from kmstwist.rpc.framing import FrameReader
from kmstwist.rpc.pdu import MAX_FRAGMENT, Pdu, PduError
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
