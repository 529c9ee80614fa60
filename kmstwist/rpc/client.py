"""The client's side of an association: what the gateway, the lab's clients and the probe speak with a KMS host.

The same shape as `kmstwist.rpc.server`: bytes in, events and bytes out, and one machine whose `TRANSITIONS` is all that
can happen; its outputs are in `answers`. A client association is `idle` until `bind` is called, `binding` until the
server has answered, `bound` while calls and alter_contexts may be made, and `closed` after the server broke the
protocol or refused the bind. It makes one bind, as Windows clients do, and any number of calls, each known by the call
id it was given.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from automat import TypeMachineBuilder

from kmstwist.reasons import Reason
from kmstwist.rpc.answers import (
    MAX_RESPONSE,
    break_off,
    break_off_malformed,
    break_off_violated,
    ignore,
    ignore_violation,
    send_bind,
    take_alter_resp,
    take_bind_ack,
    take_bind_nak,
    take_fault,
    take_response,
    take_shutdown,
)
from kmstwist.rpc.client_events import (
    AcceptedContext,
    BindRejected,
    Bound,
    ClientEvent,
    FaultReceived,
    ResponseReceived,
    ServerBroke,
    ShutdownRequested,
)
from kmstwist.rpc.codec import encode
from kmstwist.rpc.framing import FrameReader
from kmstwist.rpc.machine import build
from kmstwist.rpc.negotiation import MAX_FRAGMENT
from kmstwist.rpc.pdu import (
    FIRST_FRAG,
    LAST_FRAG,
    REQUEST_HEADER_SIZE,
    AlterContext,
    AlterContextResp,
    BindAck,
    BindNak,
    Fault,
    Orphaned,
    Pdu,
    PduError,
    PresentationContext,
    Request,
    Response,
    Shutdown,
)
from kmstwist.rpc.syntax import (
    FEATURE_KEEP_CONNECTION_ON_ORPHAN,
    FEATURE_SECURITY_CONTEXT_MULTIPLEXING,
    KMS_INTERFACE,
    MGMT_INTERFACE,
    NDR32,
    NDR64,
    feature_syntax,
)

__all__ = [
    "MANAGEMENT_CONTEXTS",
    "MAX_RESPONSE",
    "TRANSITIONS",
    "WINDOWS_CONTEXTS",
    "AcceptedContext",
    "BindRejected",
    "Bound",
    "ClientAssociation",
    "ClientEvent",
    "ClientInputs",
    "FaultReceived",
    "ResponseReceived",
    "ServerBroke",
    "ShutdownRequested",
]

#: What a Windows client (Vista and later) proposes: the interface in NDR32, in NDR64, and feature negotiation.
WINDOWS_CONTEXTS = (
    PresentationContext(0, KMS_INTERFACE, (NDR32,)),
    PresentationContext(1, KMS_INTERFACE, (NDR64,)),
    PresentationContext(
        2,
        KMS_INTERFACE,
        (feature_syntax(FEATURE_SECURITY_CONTEXT_MULTIPLEXING | FEATURE_KEEP_CONNECTION_ON_ORPHAN),),
    ),
)
#: The management interface, for an alter_context on the same association.
MANAGEMENT_CONTEXTS = (PresentationContext(3, MGMT_INTERFACE, (NDR32,)),)
#: Windows numbers its calls from 2.
_FIRST_CALL_ID = 2


class PendingCall:
    """A call or alter_context we wait for."""

    __slots__ = ("ndr64", "proposed", "stub")

    def __init__(self, ndr64: bool, proposed: tuple[PresentationContext, ...] | None = None) -> None:
        self.ndr64 = ndr64
        self.proposed = proposed
        self.stub: bytearray | None = None


class ClientInputs(Protocol):
    """What can happen to a client association."""

    def start(self, contexts: tuple[PresentationContext, ...]) -> None:
        """We bind."""

    def bind_ack(self, pdu: BindAck) -> None:
        """The server acknowledged the bind."""

    def bind_nak(self, pdu: BindNak) -> None:
        """The server refused the bind."""

    def alter_resp(self, pdu: AlterContextResp) -> None:
        """The server answered an alter_context."""

    def response(self, pdu: Response) -> None:
        """A response, or a fragment of one."""

    def fault(self, pdu: Fault) -> None:
        """A fault."""

    def shutdown(self, pdu: Shutdown) -> None:
        """The server wants the connection ended."""

    def foreign(self, pdu: Pdu) -> None:
        """A PDU that no server sends."""

    def malformed(self, error: PduError) -> None:
        """Bytes that are no PDU."""

    def violated(self, reason: Reason, detail: str) -> None:
        """The server broke the protocol in a PDU that was well-formed."""


class ClientAssociation:
    """One connection's association, seen from the client. `bind` first; then `call` as often as you like."""

    def __init__(self) -> None:
        self.contexts: list[AcceptedContext] = []
        self.group = 0
        self.secondary_address = ""
        self.fragment_size = MAX_FRAGMENT
        self.next_call_id = _FIRST_CALL_ID
        self.pending: dict[int, PendingCall] = {}
        #: Calls given up; the server may have answered before it knew.
        self.orphaned: set[int] = set()
        self.proposed: tuple[PresentationContext, ...] = ()
        self.events: list[ClientEvent] = []
        self._reader = FrameReader(MAX_FRAGMENT)
        self._out: list[bytes] = []
        self._machine = ClientMachine(self)

    # What the owner of the connection calls.

    def bind(self, contexts: Sequence[PresentationContext] = WINDOWS_CONTEXTS) -> None:
        """Propose these contexts. Once, and first of all."""
        self._machine.start(tuple(contexts))

    def alter(self, contexts: Sequence[PresentationContext]) -> int:
        """Propose further contexts on the bound association; the id by which a fault would name it."""
        proposed = tuple(contexts)
        call_id = self._new_call(PendingCall(False, proposed))
        self.send(AlterContext(call_id, proposed, assoc_group=self.group))
        return call_id

    def context_for(self, interface: object) -> AcceptedContext | None:
        """The accepted context of an interface (a `SyntaxId`), or None."""
        for context in self.contexts:
            if context.proposal.abstract == interface:
                return context
        return None

    def call(self, context: AcceptedContext, opnum: int, stub: bytes) -> int:
        """Make a call on an accepted context; the call id that its answer will carry."""
        call_id = self._new_call(PendingCall(context.ndr64))
        context_id = context.proposal.context_id
        room = self.fragment_size - REQUEST_HEADER_SIZE
        if len(stub) <= room:
            self.send(Request(call_id, context_id, opnum, stub, len(stub)))
            return call_id
        for start in range(0, len(stub), room):
            flags = (FIRST_FRAG if start == 0 else 0) | (LAST_FRAG if start + room >= len(stub) else 0)
            piece = stub[start : start + room]
            self.send(Request(call_id, context_id, opnum, piece, len(stub) - start, flags=flags))
        return call_id

    def orphan(self, call_id: int) -> None:
        """Give a call up: its answer, should one come, is not wanted (C706 12.6.4.8; [MS-RPCE] 3.3.1.5.10)."""
        if self.pending.pop(call_id, None) is not None:
            self.orphaned.add(call_id)
            self.send(Orphaned(call_id))

    def receive_data(self, data: bytes) -> list[ClientEvent]:
        """Take bytes from the connection; the events they amount to. Never raises, and does nothing once it is over."""
        reader = self._reader
        reader.feed(data)
        events = self.events = []
        try:
            while (pdu := reader.next_pdu()) is not None:
                getattr(self._machine, _INPUTS.get(type(pdu), "foreign"))(pdu)
        except PduError as error:
            self._machine.malformed(error)
        return events

    def data_to_send(self) -> bytes:
        """The bytes to write to the connection; each is given once."""
        data = b"".join(self._out)
        self._out.clear()
        return data

    @property
    def calls_under_way(self) -> int:
        """How many calls and alter_contexts have not been answered."""
        return len(self.pending)

    @property
    def buffered(self) -> int:
        """Bytes held of fragments and responses that are not complete."""
        return self._reader.pending + sum(len(p.stub) for p in self.pending.values() if p.stub is not None)

    # What the machine's outputs are made of.

    def send(self, pdu: Pdu) -> None:
        """Put a PDU on the connection."""
        self._out.append(encode(pdu))

    def end(self, event: BindRejected | ServerBroke) -> None:
        """Tell the owner that the association is over; nothing more is taken from the connection."""
        self._reader.stop()
        self.pending.clear()
        self.events.append(event)

    def _new_call(self, pending: PendingCall) -> int:
        call_id = self.next_call_id
        self.next_call_id = call_id % 0xFFFFFFFF + 1
        self.pending[call_id] = pending
        return call_id


_builder = TypeMachineBuilder(ClientInputs, ClientAssociation)
idle = _builder.state("idle")
binding = _builder.state("binding")
bound = _builder.state("bound")
closed = _builder.state("closed")

#: state, input, next state, what is done. This table is the association.
TRANSITIONS = [
    (idle, ClientInputs.start, binding, send_bind),
    (idle, ClientInputs.bind_ack, closed, break_off),
    (idle, ClientInputs.bind_nak, closed, break_off),
    (idle, ClientInputs.alter_resp, closed, break_off),
    (idle, ClientInputs.response, closed, break_off),
    (idle, ClientInputs.fault, closed, break_off),
    (idle, ClientInputs.shutdown, idle, take_shutdown),
    (idle, ClientInputs.foreign, closed, break_off),
    (idle, ClientInputs.malformed, closed, break_off_malformed),
    (idle, ClientInputs.violated, closed, break_off_violated),
    (binding, ClientInputs.bind_ack, bound, take_bind_ack),
    (binding, ClientInputs.bind_nak, closed, take_bind_nak),
    (binding, ClientInputs.alter_resp, closed, break_off),
    (binding, ClientInputs.response, closed, break_off),
    (binding, ClientInputs.fault, closed, break_off),
    (binding, ClientInputs.shutdown, binding, take_shutdown),
    (binding, ClientInputs.foreign, closed, break_off),
    (binding, ClientInputs.malformed, closed, break_off_malformed),
    (binding, ClientInputs.violated, closed, break_off_violated),
    (bound, ClientInputs.bind_ack, closed, break_off),
    (bound, ClientInputs.bind_nak, closed, break_off),
    (bound, ClientInputs.alter_resp, bound, take_alter_resp),
    (bound, ClientInputs.response, bound, take_response),
    (bound, ClientInputs.fault, bound, take_fault),
    (bound, ClientInputs.shutdown, bound, take_shutdown),
    (bound, ClientInputs.foreign, closed, break_off),
    (bound, ClientInputs.malformed, closed, break_off_malformed),
    (bound, ClientInputs.violated, closed, break_off_violated),
    (closed, ClientInputs.bind_ack, closed, ignore),
    (closed, ClientInputs.bind_nak, closed, ignore),
    (closed, ClientInputs.alter_resp, closed, ignore),
    (closed, ClientInputs.response, closed, ignore),
    (closed, ClientInputs.fault, closed, ignore),
    (closed, ClientInputs.shutdown, closed, ignore),
    (closed, ClientInputs.foreign, closed, ignore),
    (closed, ClientInputs.malformed, closed, ignore),
    (closed, ClientInputs.violated, closed, ignore_violation),
]
ClientMachine = build(_builder, TRANSITIONS)

_INPUTS = {
    BindAck: "bind_ack",
    BindNak: "bind_nak",
    AlterContextResp: "alter_resp",
    Response: "response",
    Fault: "fault",
    Shutdown: "shutdown",
}
