"""The client's side of an association: what the gateway, the lab's clients and the probe speak with a KMS host.

The same shape as `kmstwist.rpc.server`: bytes in, events and bytes out, and one machine whose `TRANSITIONS` is all that
can happen. A client association is `idle` until `bind` is called, `binding` until the server has answered, `bound`
while calls and alter_contexts may be made, and `closed` after the server broke the protocol or refused the bind. It
makes one bind, as Windows clients do, and any number of calls, each known by the call id it was given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from automat import TypeMachineBuilder

from kmstwist.reasons import Reason
from kmstwist.rpc.codec import encode
from kmstwist.rpc.framing import FrameReader
from kmstwist.rpc.machine import build
from kmstwist.rpc.negotiation import MAX_FRAGMENT, fragment_size
from kmstwist.rpc.pdu import (
    DID_NOT_EXECUTE,
    FIRST_FRAG,
    LAST_FRAG,
    REQUEST_HEADER_SIZE,
    AlterContext,
    AlterContextResp,
    Bind,
    BindAck,
    BindNak,
    ContextOutcome,
    Fault,
    Orphaned,
    Pdu,
    PduError,
    PresentationContext,
    Request,
    Response,
    Shutdown,
)
from kmstwist.rpc.status import ContextResult
from kmstwist.rpc.syntax import (
    FEATURE_KEEP_CONNECTION_ON_ORPHAN,
    FEATURE_SECURITY_CONTEXT_MULTIPLEXING,
    KMS_INTERFACE,
    MGMT_INTERFACE,
    NDR32,
    NDR64,
    feature_syntax,
)

#: A response to anything we ask is far smaller; a server that sends more is none we asked.
MAX_RESPONSE = 0x10000

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


@dataclass(frozen=True, slots=True)
class AcceptedContext:
    """A context the server accepted, and whether calls on it are NDR64."""

    proposal: PresentationContext
    ndr64: bool


@dataclass(frozen=True, slots=True)
class Bound:
    """The server acknowledged the bind (or an alter_context): results in the order proposed."""

    proposed: tuple[PresentationContext, ...]
    results: tuple[ContextOutcome, ...]


@dataclass(frozen=True, slots=True)
class BindRejected:
    """The server refused the bind whole, with this p_reject_reason_t."""

    reject_reason: int


@dataclass(frozen=True, slots=True)
class ResponseReceived:
    """The whole response to a call; its stub is encoded as `ndr64` and `little_endian` say."""

    call_id: int
    stub: bytes
    ndr64: bool
    little_endian: bool


@dataclass(frozen=True, slots=True)
class FaultReceived:
    """The server answered a call (or an alter_context) with a fault."""

    call_id: int
    status: int
    did_not_execute: bool


@dataclass(frozen=True, slots=True)
class ShutdownRequested:
    """The server asks us to end the connection when our calls are done (C706 12.6.4.11)."""


@dataclass(frozen=True, slots=True)
class ServerBroke:
    """The server broke the protocol; the association is over and the connection of no more use."""

    reason: Reason
    detail: str


ClientEvent: TypeAlias = Bound | BindRejected | ResponseReceived | FaultReceived | ShutdownRequested | ServerBroke


class _Pending:
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
        self._next_call_id = _FIRST_CALL_ID
        self._pending: dict[int, _Pending] = {}
        self._reader = FrameReader(MAX_FRAGMENT)
        self._events: list[ClientEvent] = []
        self._out: list[bytes] = []
        self._bind_id = 0
        self._proposed: tuple[PresentationContext, ...] = ()
        self._machine = ClientMachine(self)

    # What the owner of the connection calls.

    def bind(self, contexts: Sequence[PresentationContext] = WINDOWS_CONTEXTS) -> None:
        """Propose these contexts. Once, and first of all."""
        self._machine.start(tuple(contexts))

    def alter(self, contexts: Sequence[PresentationContext]) -> int:
        """Propose further contexts on the bound association; the id by which a fault would name it."""
        proposed = tuple(contexts)
        call_id = self._new_call(_Pending(False, proposed))
        self._out.append(encode(AlterContext(call_id, proposed, assoc_group=self.group)))
        return call_id

    def context_for(self, interface: object) -> AcceptedContext | None:
        """The accepted context of an interface (a `SyntaxId`), or None."""
        for context in self.contexts:
            if context.proposal.abstract == interface:
                return context
        return None

    def call(self, context: AcceptedContext, opnum: int, stub: bytes) -> int:
        """Make a call on an accepted context; the call id that its answer will carry."""
        call_id = self._new_call(_Pending(context.ndr64))
        context_id = context.proposal.context_id
        room = self.fragment_size - REQUEST_HEADER_SIZE
        if len(stub) <= room:
            self._out.append(encode(Request(call_id, context_id, opnum, stub, len(stub))))
            return call_id
        for start in range(0, len(stub), room):
            flags = (FIRST_FRAG if start == 0 else 0) | (LAST_FRAG if start + room >= len(stub) else 0)
            piece = stub[start : start + room]
            self._out.append(encode(Request(call_id, context_id, opnum, piece, len(stub) - start, flags=flags)))
        return call_id

    def orphan(self, call_id: int) -> None:
        """Give a call up: its answer, should one come, is not wanted (C706 12.6.4.8)."""
        if self._pending.pop(call_id, None) is not None:
            self._out.append(encode(Orphaned(call_id)))

    def receive_data(self, data: bytes) -> list[ClientEvent]:
        """Take bytes from the connection; the events they amount to. Never raises."""
        reader = self._reader
        reader.feed(data)
        events = self._events = []
        try:
            while (pdu := reader.next_pdu()) is not None:
                getattr(self._machine, _INPUTS.get(type(pdu), "foreign"))(pdu)
                if events and type(events[-1]) is ServerBroke:
                    break
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
        return len(self._pending)

    # What the machine's outputs are made of.

    def _new_call(self, pending: _Pending) -> int:
        call_id = self._next_call_id
        self._next_call_id = call_id % 0xFFFFFFFF + 1
        self._pending[call_id] = pending
        return call_id

    def _accept(self, proposed: tuple[PresentationContext, ...], results: tuple[ContextOutcome, ...]) -> None:
        if len(results) != len(proposed):
            text = f"{len(results)} results for {len(proposed)} contexts"
            self._machine.violated(Reason.UPSTREAM_PROTOCOL, text)
            return
        for proposal, outcome in zip(proposed, results, strict=True):
            if outcome.result == ContextResult.ACCEPTANCE:
                self.contexts.append(AcceptedContext(proposal, outcome.transfer == NDR64))
        self._events.append(Bound(proposed, results))

    def _unknown_call(self, call_id: int) -> None:
        self._machine.violated(Reason.UPSTREAM_PROTOCOL, f"an answer to call {call_id}, which is not under way")


# The machine's outputs: `(inputs, association, what the input carried)`.


def send_bind(inputs: ClientInputs, association: ClientAssociation, contexts: tuple[PresentationContext, ...]) -> None:
    """Send the bind; its call id is also the first call's, as Windows numbers them."""
    association._bind_id = association._next_call_id
    association._proposed = contexts
    association._out.append(encode(Bind(association._bind_id, contexts)))


def take_bind_ack(inputs: ClientInputs, association: ClientAssociation, pdu: BindAck) -> None:
    """Note what was accepted."""
    association.group = pdu.assoc_group
    association.secondary_address = pdu.secondary_address.decode("ascii", "replace")
    # The server's sizes bound ours; one that offers less than any may is taken at the minimum (C706 12.6.3.1).
    association.fragment_size = fragment_size(pdu.max_xmit_frag, pdu.max_recv_frag)
    association._accept(association._proposed, pdu.results)


def take_bind_nak(inputs: ClientInputs, association: ClientAssociation, pdu: BindNak) -> None:
    """Tell the owner that there will be no association."""
    association._events.append(BindRejected(pdu.reject_reason))


def take_alter_resp(inputs: ClientInputs, association: ClientAssociation, pdu: AlterContextResp) -> None:
    """Note what else was accepted."""
    pending = association._pending.pop(pdu.call_id, None)
    if pending is None or pending.proposed is None:
        association._unknown_call(pdu.call_id)
    else:
        association._accept(pending.proposed, pdu.results)


def take_response(inputs: ClientInputs, association: ClientAssociation, pdu: Response) -> None:
    """Join the response's fragments; hand it out when the last has come."""
    pending = association._pending.get(pdu.call_id)
    first = bool(pdu.flags & FIRST_FRAG)
    if pending is None or pending.proposed is not None or first is not (pending.stub is None):
        association._unknown_call(pdu.call_id)
        return
    if first and pdu.flags & LAST_FRAG:
        del association._pending[pdu.call_id]
        association._events.append(ResponseReceived(pdu.call_id, pdu.stub, pending.ndr64, pdu.little_endian))
        return
    if pending.stub is None:
        pending.stub = bytearray()
    pending.stub += pdu.stub
    if len(pending.stub) > MAX_RESPONSE:
        inputs.violated(Reason.UPSTREAM_PROTOCOL, f"a response of more than {MAX_RESPONSE} bytes")
    elif pdu.flags & LAST_FRAG:
        del association._pending[pdu.call_id]
        stub = bytes(pending.stub)
        association._events.append(ResponseReceived(pdu.call_id, stub, pending.ndr64, pdu.little_endian))


def take_fault(inputs: ClientInputs, association: ClientAssociation, pdu: Fault) -> None:
    """Hand the fault out."""
    if association._pending.pop(pdu.call_id, None) is None:
        association._unknown_call(pdu.call_id)
        return
    association._events.append(FaultReceived(pdu.call_id, pdu.status, bool(pdu.flags & DID_NOT_EXECUTE)))


def take_shutdown(inputs: ClientInputs, association: ClientAssociation, pdu: Shutdown) -> None:
    """Ask the owner to end the connection when its calls are done."""
    association._events.append(ShutdownRequested())


def break_off(inputs: ClientInputs, association: ClientAssociation, pdu: Pdu) -> None:
    """The server sent what no server sends here."""
    association._events.append(
        ServerBroke(Reason.UPSTREAM_PROTOCOL, f"{type(pdu).__name__} is nothing a server may send here")
    )


def break_off_malformed(inputs: ClientInputs, association: ClientAssociation, error: PduError) -> None:
    """The server sent bytes that are no PDU."""
    association._events.append(ServerBroke(Reason.UPSTREAM_PROTOCOL, error.detail))


def break_off_violated(inputs: ClientInputs, association: ClientAssociation, reason: Reason, detail: str) -> None:
    """The server sent a PDU that fits nothing we asked."""
    association._events.append(ServerBroke(reason, detail))


def ignore(inputs: ClientInputs, association: ClientAssociation, what: object) -> None:
    """The association is over."""


def ignore_violation(inputs: ClientInputs, association: ClientAssociation, reason: Reason, detail: str) -> None:
    """The association is over."""


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
