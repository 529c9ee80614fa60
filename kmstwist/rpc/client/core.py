"""The client's side of an association without its rules: its data, and what its owner can ask of it.

The table in `kmstwist.rpc.client.association` says what happens to a server's PDUs; its actions are in `answers`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from kmstwist.machine import Table, Trace
from kmstwist.reasons import Reason
from kmstwist.rpc.client.events import AcceptedContext, ClientEvent, ResponseReceived, ServerBroke
from kmstwist.rpc.endpoint import Endpoint
from kmstwist.rpc.fragments import PartialStub, cut
from kmstwist.rpc.pdu import (
    FIRST_FRAG,
    LAST_FRAG,
    MAX_FRAGMENT,
    REQUEST_HEADER_SIZE,
    AlterContext,
    Orphaned,
    PresentationContext,
    Response,
)
from kmstwist.rpc.syntax import SyntaxId
from kmstwist.rpc.whole import encode_request, whole_response

#: The most bytes of a response. A response to anything we ask is far smaller; a server that sends more breaks the
#: rules.
MAX_RESPONSE: Final = 0x10000
#: The first call id: Windows numbers its calls from 2.
_FIRST_CALL_ID: Final = 2


class ClientState(StrEnum):
    """The state of a client association."""

    IDLE = "idle"
    BINDING = "binding"
    BOUND = "bound"
    CLOSED = "closed"


@dataclass(slots=True)
class PendingCall:
    """A call or alter_context that waits for its answer.

    `proposed` is what an alter_context proposed, `partial` a response of which fragments are missing.
    """

    ndr64: bool
    proposed: tuple[PresentationContext, ...] | None = None
    partial: PartialStub[Response] | None = None


class ClientCore(Endpoint[ClientState, ClientEvent]):
    """A client association's data, and the methods that do not depend on what the server sends."""

    __slots__ = (
        "contexts",
        "fragment_size",
        "group",
        "next_call_id",
        "orphaned",
        "pending",
        "proposed",
        "secondary_address",
    )

    def __init__(self, table: Table[ClientState, type], trace: Trace | None) -> None:
        super().__init__(table, trace)
        self.contexts: list[AcceptedContext] = []
        self.group = 0
        self.secondary_address = ""
        self.fragment_size = MAX_FRAGMENT
        self.next_call_id = _FIRST_CALL_ID
        self.pending: dict[int, PendingCall] = {}
        #: Calls that were given up; the server may still answer them.
        self.orphaned: set[int] = set()
        self.proposed: tuple[PresentationContext, ...] = ()

    def alter(self, contexts: Sequence[PresentationContext]) -> int:
        """Propose further contexts on the bound association. Returns the call id, by which a fault would name it."""
        proposed = tuple(contexts)
        call_id = self.next_call_id
        self.next_call_id = call_id % 0xFFFFFFFF + 1
        self.pending[call_id] = PendingCall(False, proposed)
        self.send(AlterContext(call_id, proposed, assoc_group=self.group))
        return call_id

    def context_for(self, interface: SyntaxId) -> AcceptedContext | None:
        """The accepted context of an interface, or None."""
        for context in self.contexts:
            if context.proposal.abstract == interface:
                return context
        return None

    def receive_data(self, data: bytes) -> list[ClientEvent]:
        """Take bytes from the connection and return their events. Never raises; once it is over, it does nothing."""
        if self.state is ClientState.BOUND and not self._reader.data:
            response = whole_response(data)
            if response is not None:
                events = self.events = []
                if self.trace:
                    self.step(Response, response)
                else:
                    # It changes no state: this is what the table's row comes to.
                    self.take_response(response)
                return events
        return super().receive_data(data)

    def call(self, context: AcceptedContext, opnum: int, stub: bytes) -> int:
        """Make a call on an accepted context. Returns the call id that its answer will carry."""
        call_id = self.next_call_id
        self.next_call_id = call_id % 0xFFFFFFFF + 1
        self.pending[call_id] = PendingCall(context.ndr64)
        context_id = context.proposal.context_id
        room = self.fragment_size - REQUEST_HEADER_SIZE
        if len(stub) <= room:
            self.unsent.append(encode_request(call_id, context_id, opnum, stub, len(stub)))
        else:
            for piece, flags, hint in cut(stub, room):
                self.put(encode_request(call_id, context_id, opnum, piece, hint, flags))
        return call_id

    def take_response(self, pdu: Response) -> None:
        """Join the response's fragments; hand the response to the owner when the last one has arrived."""
        if pdu.call_id in self.orphaned:
            return
        pending = self.pending.get(pdu.call_id)
        first = bool(pdu.flags & FIRST_FRAG)
        if pending is None or pending.proposed is not None or first is not (pending.partial is None):
            self.note_unknown_call(pdu.call_id)
            return
        stub = pdu.stub
        if not (first and pdu.flags & LAST_FRAG):
            partial = pending.partial
            if partial is None:
                partial = pending.partial = PartialStub(pdu)
            else:
                partial.add(pdu)
            size = len(partial.stub)
            if size > MAX_RESPONSE:
                self.violate(f"a response of more than {MAX_RESPONSE} bytes")
                return
            if partial.is_crumbled:
                self.violate(f"a response of {size} bytes in {partial.fragments} fragments")
                return
            if not pdu.flags & LAST_FRAG:
                return
            stub = bytes(partial.stub)
        del self.pending[pdu.call_id]
        self.events.append(ResponseReceived(pdu.call_id, stub, pending.ndr64, pdu.little_endian))

    def violate(self, detail: str) -> None:
        """The server broke the protocol in a PDU that was well-formed."""
        self.step(ServerBroke, ServerBroke(Reason.UPSTREAM_PROTOCOL, detail))

    def note_unknown_call(self, call_id: int) -> None:
        """The server answered what was not asked."""
        self.violate(f"an answer to call {call_id}, which is not under way")

    def orphan(self, call_id: int) -> None:
        """Give a call up; an answer that still arrives is dropped (C706 12.6.4.8; [MS-RPCE] 3.3.1.5.10)."""
        if self.pending.pop(call_id, None) is not None:
            self.orphaned.add(call_id)
            self.send(Orphaned(call_id))

    @property
    def calls_under_way(self) -> int:
        """How many calls and alter_contexts have not been answered."""
        return len(self.pending)

    @property
    def buffered(self) -> int:
        """How many bytes of incomplete fragments and responses are held."""
        partials = [call.partial for call in self.pending.values() if call.partial is not None]
        return self._reader.pending + sum(len(partial.stub) for partial in partials)

    def end(self, event: ClientEvent) -> None:
        """Tell the owner that the association is over; further bytes from the connection are ignored."""
        self.pending.clear()
        self.close(event)
