"""The client's side of an association without its rules: its data, and what its owner can ask of it.

The table in `kmstwist.rpc.client.association` says what happens to a server's PDUs; its actions are in `answers`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from kmstwist.rpc.client.events import AcceptedContext, ClientEvent, ResponseReceived
from kmstwist.rpc.endpoint import Endpoint
from kmstwist.rpc.fragments import PartialStub, cut
from kmstwist.rpc.layout import LITTLE
from kmstwist.rpc.pdu import (
    MAX_FRAGMENT,
    REQUEST_HEADER_SIZE,
    RESPONSE_HEADER_SIZE,
    RPC_VERSION,
    WHOLE,
    AlterContext,
    Orphaned,
    PacketType,
    PresentationContext,
    Response,
)
from kmstwist.rpc.syntax import SyntaxId
from kmstwist.statemachine import Table, Trace

#: The first call id: Windows numbers its calls from 2.
_FIRST_CALL_ID: Final = 2

#: The first bytes of a Windows host's response: version 5.0, one fragment, little-endian.
_WHOLE_RESPONSE: Final = bytes((RPC_VERSION, 0, PacketType.RESPONSE, WHOLE)) + LITTLE.drep
_DREP: Final = LITTLE.drep
_AFTER_DREP: Final = LITTLE.after_drep.unpack_from
_REQUEST: Final = int(PacketType.REQUEST)
_REQUEST_START: Final = LITTLE.request_start.pack


def whole_response(data: bytes) -> tuple[int, int, bytes, int] | None:
    """The fields of the `Response` that `decode` would return, if these bytes are exactly one as Windows sends it.

    None for anything else, well-formed or not; the caller then uses `decode`.
    """
    if data[:8] != _WHOLE_RESPONSE or not RESPONSE_HEADER_SIZE <= len(data) <= MAX_FRAGMENT:
        return None
    # The fixed part has the same sizes as a request's.
    size, auth_length, call_id, alloc_hint, context_id, cancels = _AFTER_DREP(data, 8)
    if size != len(data) or auth_length or cancels:
        return None
    return call_id, context_id, data[RESPONSE_HEADER_SIZE:], alloc_hint


def encode_request(call_id: int, context_id: int, opnum: int, stub: bytes, hint: int, flags: int = WHOLE) -> bytes:
    """The bytes of a `Request` with these fields, little-endian: the same as `encode` gives."""
    size = len(stub) + REQUEST_HEADER_SIZE
    return _REQUEST_START(RPC_VERSION, 0, _REQUEST, flags, _DREP, size, 0, call_id, hint, context_id, opnum) + stub


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
        if self.state is ClientState.BOUND and not (self._reader.data or self.trace):
            whole = whole_response(data)
            if whole is not None:
                call_id, _, stub, _ = whole
                pending = self.pending.get(call_id)
                if pending is not None and pending.proposed is None and pending.partial is None:
                    # Nothing to judge and no state to change: what the table's row comes to for nearly all responses.
                    del self.pending[call_id]
                    events = self.events = [ResponseReceived(call_id, stub, pending.ndr64, True)]
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
