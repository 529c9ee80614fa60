"""The server's side of an association: bytes in, events and bytes out (C706 9.5, 12.6; [MS-RPCE] 3.3.1.5, 3.3.3).

Why it has this shape. What a server answers depends on two things only: whether the connection is bound, and the PDU.
So the association is one machine of three states (`unbound`, `bound`, `closed`) whose inputs are the kinds of PDU, and
`TRANSITIONS` is all of it: a reader finds what happens to an alter_context before a bind by looking for that line.
What may vary *within* a line (a context list that is refused, a fragment that does not fit its call) is decided by the
output named there, which may feed the machine the two inputs that no PDU stands for: `bind_accepted` and `violated`.

The rules are C706's; where Windows and Samba agree on something else, theirs, and the output says so:

- Only a whole bind is ever refused with bind_nak; everything else that breaks the protocol is answered with a fault
  carrying nca_s_proto_error and the connection is closed ([MS-RPCE] 3.3.3.4.1.1 and observed).
- A fault names its call's context only where the call had one; the flag "did not execute" is set where the call was
  refused before its fragments were complete or its operation known.
- A cancel is a hint and changes nothing; an orphaned call is executed and its answer dropped. Neither does anything
  to a call whose fragments are still arriving, as Windows has it.

No bytes and no order of bytes make this module raise: that is tested, and fuzzed. Management calls are answered here;
all others are handed out as events and answered whenever their executor is done.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeAlias

from automat import TypeMachineBuilder

from kmstwist.reasons import Reason
from kmstwist.rpc import mgmt
from kmstwist.rpc.call import Call, PartialCall
from kmstwist.rpc.codec import encode
from kmstwist.rpc.framing import FrameReader
from kmstwist.rpc.groups import AssociationGroups
from kmstwist.rpc.machine import build
from kmstwist.rpc.ndr import StubError
from kmstwist.rpc.negotiation import (
    MAX_FRAGMENT,
    BoundContext,
    ContextListError,
    Interface,
    InterfaceTable,
    fragment_size,
    negotiate,
)
from kmstwist.rpc.pdu import (
    CONC_MPX,
    DID_NOT_EXECUTE,
    FIRST_FRAG,
    LAST_FRAG,
    PENDING_CANCEL,
    RESPONSE_HEADER_SIZE,
    SUPPORT_HEADER_SIGN,
    WHOLE,
    AlterContext,
    AlterContextResp,
    AuthVerifier,
    Bind,
    BindAck,
    BindNak,
    CoCancel,
    Fault,
    Orphaned,
    PacketType,
    Pdu,
    PduError,
    Request,
    Response,
    Shutdown,
)
from kmstwist.rpc.status import FaultStatus, RejectReason

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Limits:
    """What one server allows, all sizes in bytes.

    `max_request` bounds the stub of one request in fragments (4 MiB is Windows' and Samba's own bound),
    `max_reassembly` those of all connections together, `max_calls` the calls under way on one multiplexed connection.
    """

    max_request: int = 0x400000
    max_reassembly: int = 64 * 1024 * 1024
    max_calls: int = 32


@dataclass(slots=True)
class RpcServer:
    """What all associations of one server share: its interfaces, limits, groups and counters."""

    interfaces: tuple[Interface, ...]
    limits: Limits = field(default_factory=Limits)
    groups: AssociationGroups = field(default_factory=AssociationGroups)
    statistics: mgmt.Statistics = field(default_factory=mgmt.Statistics)
    #: Stub bytes held for requests of which fragments are missing, over all connections.
    reassembling: int = 0
    table: InterfaceTable = field(init=False)

    def __post_init__(self) -> None:
        self.interfaces = (*self.interfaces, mgmt.MANAGEMENT)
        self.table = InterfaceTable(self.interfaces)


@dataclass(frozen=True, slots=True)
class CallReceived:
    """A call arrived whole: execute it, then `respond` or `fault`."""

    call: Call


@dataclass(frozen=True, slots=True)
class CallOrphaned:
    """The client wants no answer to this call any more."""

    call: Call


@dataclass(frozen=True, slots=True)
class Ended:
    """The association is over: send what there is to send, then close the connection."""

    reason: Reason
    detail: str


Event: TypeAlias = CallReceived | CallOrphaned | Ended


class AssociationInputs(Protocol):
    """What can happen to an association: a PDU of each kind, bytes that are none, and two conclusions of our own."""

    def bind(self, pdu: Bind) -> None:
        """A bind has arrived."""

    def alter_context(self, pdu: AlterContext) -> None:
        """An alter_context has arrived."""

    def request(self, pdu: Request) -> None:
        """A request, or a fragment of one, has arrived."""

    def co_cancel(self, pdu: CoCancel) -> None:
        """A cancel has arrived."""

    def orphaned(self, pdu: Orphaned) -> None:
        """An orphaned PDU has arrived."""

    def shutdown(self, pdu: Shutdown) -> None:
        """A shutdown has arrived, which only servers may send."""

    def foreign(self, pdu: Pdu) -> None:
        """A PDU has arrived that no client sends: a server's, a connectionless one, or a third authentication leg."""

    def malformed(self, error: PduError) -> None:
        """Bytes have arrived that are no PDU."""

    def bind_accepted(self) -> None:
        """The bind's context list was in order, and it has been acknowledged."""

    def violated(self, reason: Reason, detail: str) -> None:
        """The client broke the protocol, and has been told."""


class ServerAssociation:
    """One connection's association. Feed it with `receive_data`, act on the events, send what `data_to_send` gives."""

    def __init__(self, server: RpcServer, secondary_address: str) -> None:
        """`secondary_address` is the port the client connected to, as text (C706 12.6.3.1, port_any_t)."""
        self.server = server
        self.features = 0
        self.fragment_size = MAX_FRAGMENT
        self.group: int | None = None
        self.multiplexed = False
        self.contexts: dict[int, BoundContext] = {}
        self.calls: dict[int, Call] = {}
        self._secondary_address = secondary_address.encode("ascii")
        self._partial: dict[int, PartialCall] = {}
        self._reader = FrameReader(MAX_FRAGMENT)
        self._events: list[Event] = []
        self._out: list[bytes] = []
        self._machine = AssociationMachine(self)

    # What the owner of the connection calls.

    def receive_data(self, data: bytes) -> list[Event]:
        """Take bytes from the connection; the events they amount to. Never raises."""
        reader = self._reader
        machine = self._machine
        reader.feed(data)
        events = self._events = []
        try:
            while (pdu := reader.next_pdu()) is not None:
                self.server.statistics.packets_in += 1
                getattr(machine, _INPUTS.get(type(pdu), "foreign"))(pdu)
                if events and type(events[-1]) is Ended:
                    break
        except PduError as error:
            machine.malformed(error)
        return events

    def data_to_send(self) -> bytes:
        """The bytes to write to the connection; each is given once."""
        out = self._out
        if len(out) == 1:
            return out.pop()
        data = b"".join(out)
        out.clear()
        return data

    def respond(self, call: Call, stub: bytes) -> None:
        """Answer a call with a response stub, in as many fragments as the client's fragment size needs."""
        call.machine.answer(lambda: self._send_response(call, stub))

    def fault(self, call: Call, status: int, *, did_not_execute: bool = False) -> None:
        """Answer a call with a fault; `did_not_execute` tells the client that it may safely ask again."""
        flags = DID_NOT_EXECUTE if did_not_execute else 0
        call.machine.answer(lambda: self._send_fault(call, status, flags))

    def connection_lost(self) -> None:
        """The connection is gone: leave the group, drop what was half received, orphan what is executing."""
        for call in self.calls.values():
            call.machine.orphan()
        self.calls.clear()
        for partial in self._partial.values():
            self.server.reassembling -= len(partial.stub)
        self._partial.clear()
        if self.group is not None:
            self.server.groups.leave(self.group)
            self.group = None

    @property
    def buffered(self) -> int:
        """Bytes held of fragments and requests that are not complete."""
        return self._reader.pending + sum(len(p.stub) for p in self._partial.values())

    # What the machine's outputs are made of.

    def _send(self, pdu: Pdu) -> None:
        self.server.statistics.packets_out += 1
        self._out.append(encode(pdu))

    def _send_response(self, call: Call, stub: bytes) -> None:
        self.calls.pop(call.call_id, None)
        self.server.statistics.calls_out += 1
        if call.maybe:
            return
        room = self.fragment_size - RESPONSE_HEADER_SIZE
        # Windows puts only the low byte of the context id into a response, and Samba does the same.
        context_id = call.context_id & 0xFF
        if len(stub) <= room:
            self._send(Response(call.call_id, context_id, stub, len(stub)))
            return
        for start in range(0, len(stub), room):
            flags = (FIRST_FRAG if start == 0 else 0) | (LAST_FRAG if start + room >= len(stub) else 0)
            piece = stub[start : start + room]
            self._send(Response(call.call_id, context_id, piece, len(stub) - start, flags=flags))

    def _send_fault(self, call: Call, status: int, flags: int) -> None:
        self.calls.pop(call.call_id, None)
        if not call.maybe:
            self._send(Fault(call.call_id, call.context_id, status, flags=WHOLE | flags))

    def _refuse(
        self, call_id: int, status: int, reason: Reason, detail: str, context_id: int = 0, dne: int = 0
    ) -> None:
        """Answer with a fault and end the association."""
        self._send(Fault(call_id, context_id, status, flags=WHOLE | dne))
        self._machine.violated(reason, detail)

    def _reject_bind(self, call_id: int, reject: RejectReason, reason: Reason, detail: str) -> None:
        self._send(BindNak(call_id, reject))
        self._machine.violated(reason, detail)

    def _end(self, reason: Reason, detail: str) -> None:
        self._events.append(Ended(reason, detail))

    def _forget_partial(self, call_id: int) -> PartialCall:
        partial = self._partial.pop(call_id)
        self.server.reassembling -= len(partial.stub)
        return partial

    def _start(self, request: Request, stub: bytes) -> None:
        """All fragments of a call are here: execute it, if there is such a context and operation."""
        context = self.contexts[request.context_id]
        call = Call(request, context, stub)
        self.server.statistics.calls_in += 1
        if request.opnum >= context.interface.operations:
            self.fault(call, FaultStatus.NCA_OP_RANGE, did_not_execute=True)
        elif context.interface is mgmt.MANAGEMENT:
            self._manage(call)
        else:
            self.calls[call.call_id] = call
            self._events.append(CallReceived(call))

    def _manage(self, call: Call) -> None:
        server = self.server
        try:
            stub = mgmt.answer(
                call.opnum,
                call.stub,
                server.interfaces,
                server.statistics,
                ndr64=call.ndr64,
                little_endian=call.little_endian,
            )
        except StubError:
            self.fault(call, FaultStatus.BAD_STUB_DATA)
        else:
            self.respond(call, stub)


# The machine's outputs: `(inputs, association, what the input carried)`.


def negotiate_bind(inputs: AssociationInputs, association: ServerAssociation, pdu: Bind) -> None:
    """Acknowledge a bind, or refuse it whole (C706 12.6.4.3 to .5; [MS-RPCE] 3.3.1.5.2)."""
    if pdu.auth is not None:
        association._reject_bind(
            pdu.call_id, _auth_rejection(pdu.auth), Reason.RPC_AUTHENTICATION, _auth_text(pdu.auth)
        )
        return
    try:
        outcome = negotiate(association.server.table, pdu.contexts, {}, features_allowed=True)
    except ContextListError as error:
        association._reject_bind(pdu.call_id, RejectReason.NOT_SPECIFIED, Reason.RPC_BAD_CONTEXT_LIST, str(error))
        return
    group = association.server.groups.join(pdu.assoc_group)
    if group is None:
        text = f"association group {pdu.assoc_group} does not exist"
        association._reject_bind(pdu.call_id, RejectReason.NOT_SPECIFIED, Reason.RPC_ASSOC_GROUP, text)
        return
    association.group = group
    association.contexts = outcome.accepted
    association.features = outcome.features or 0
    association.multiplexed = bool(pdu.flags & CONC_MPX)
    association.fragment_size = size = fragment_size(pdu.max_xmit_frag, pdu.max_recv_frag)
    # The two capabilities a bind may ask for are echoed; nothing else of its flags is ([MS-RPCE] 2.2.2.3).
    flags = WHOLE | pdu.flags & (CONC_MPX | SUPPORT_HEADER_SIGN)
    association._send(BindAck(pdu.call_id, outcome.outcomes, size, size, group, association._secondary_address, flags))
    inputs.bind_accepted()


def alter(inputs: AssociationInputs, association: ServerAssociation, pdu: AlterContext) -> None:
    """Add contexts to the association. Fragment sizes and group in it mean nothing (observed of Windows)."""
    if pdu.auth is not None:
        association._refuse(
            pdu.call_id, FaultStatus.ACCESS_DENIED, Reason.RPC_AUTHENTICATION, _auth_text(pdu.auth), dne=DID_NOT_EXECUTE
        )
        return
    try:
        outcome = negotiate(association.server.table, pdu.contexts, association.contexts, features_allowed=False)
    except ContextListError as error:
        association._refuse(
            pdu.call_id,
            FaultStatus.NCA_PROTOCOL_ERROR,
            Reason.RPC_BAD_CONTEXT_LIST,
            str(error),
            dne=DID_NOT_EXECUTE,
        )
        return
    association.contexts.update(outcome.accepted)
    size = association.fragment_size
    flags = WHOLE | pdu.flags & SUPPORT_HEADER_SIGN
    association._send(AlterContextResp(pdu.call_id, outcome.outcomes, size, size, association.group or 0, b"", flags))


def receive_request(inputs: AssociationInputs, association: ServerAssociation, pdu: Request) -> None:
    """Take a request or a fragment of one (C706 12.6.4.9, 12.6.2.3)."""
    if pdu.auth is not None:
        association._refuse(
            pdu.call_id, FaultStatus.ACCESS_DENIED, Reason.RPC_AUTHENTICATION, _auth_text(pdu.auth), pdu.context_id
        )
    elif not pdu.flags & FIRST_FRAG:
        _receive_further(association, pdu)
    elif (problem := _first_fragment_problem(association, pdu)) is not None:
        problem()
    elif pdu.context_id not in association.contexts:
        if association._partial:
            text = f"context {pdu.context_id} is not bound, and another call is half received"
            association._refuse(pdu.call_id, FaultStatus.NCA_PROTOCOL_ERROR, Reason.RPC_UNKNOWN_CONTEXT, text)
        elif pdu.flags & LAST_FRAG:
            # The one refusal a well-meaning client may meet: the connection stays ([MS-RPCE] 3.3.3.4.2.1).
            association._send(Fault(pdu.call_id, 0, FaultStatus.NCA_UNKNOWN_INTERFACE, flags=WHOLE | DID_NOT_EXECUTE))
        else:
            text = f"a request in fragments for context {pdu.context_id}, which is not bound"
            association._refuse(
                pdu.call_id, FaultStatus.NCA_UNKNOWN_INTERFACE, Reason.RPC_UNKNOWN_CONTEXT, text, dne=DID_NOT_EXECUTE
            )
    elif pdu.flags & LAST_FRAG:
        association._start(pdu, pdu.stub)
    else:
        _begin_partial(association, pdu)


def _first_fragment_problem(association: ServerAssociation, pdu: Request) -> Callable[[], None] | None:
    """What is wrong with the begin of a new call, given the calls under way; None if nothing is."""
    if not (association.calls or association._partial or pdu.flags & PENDING_CANCEL):
        return None
    call_id, context_id = pdu.call_id, pdu.context_id
    proto = FaultStatus.NCA_PROTOCOL_ERROR
    if pdu.flags & PENDING_CANCEL:
        return lambda: association._refuse(
            call_id,
            FaultStatus.NO_CALL_ACTIVE,
            Reason.RPC_NO_CALL,
            f"call {call_id} is cancelled before it begins",
            dne=DID_NOT_EXECUTE,
        )
    if call_id in association.calls or call_id in association._partial:
        return lambda: association._refuse(
            call_id, proto, Reason.RPC_CALL_ID_IN_USE, f"call id {call_id} is in use", context_id
        )
    if association.multiplexed:
        if len(association.calls) + len(association._partial) < association.server.limits.max_calls:
            return None
        return lambda: association._refuse(
            call_id,
            FaultStatus.NCA_SERVER_TOO_BUSY,
            Reason.RPC_TOO_MANY_CALLS,
            f"{association.server.limits.max_calls} calls are under way on this connection",
            context_id,
            DID_NOT_EXECUTE,
        )
    # Observed of Windows: it is the call under way that is faulted when its fragments are broken into.
    text = f"call {call_id} begins while another is under way, without concurrent multiplexing"
    if association._partial:
        first = next(iter(association._partial.values())).first
        return lambda: association._refuse(first.call_id, proto, Reason.RPC_NOT_MULTIPLEXED, text, first.context_id)
    return lambda: association._refuse(call_id, proto, Reason.RPC_NOT_MULTIPLEXED, text, context_id, DID_NOT_EXECUTE)


def _begin_partial(association: ServerAssociation, pdu: Request) -> None:
    # alloc_hint reserves nothing here; but what it announces beyond the limit need not be waited for.
    limit = association.server.limits.max_request
    if pdu.alloc_hint > limit:
        text = f"alloc_hint announces {pdu.alloc_hint} bytes, {limit} are allowed"
        association._refuse(pdu.call_id, FaultStatus.ACCESS_DENIED, Reason.RPC_REQUEST_TOO_LARGE, text, pdu.context_id)
        return
    association._partial[pdu.call_id] = PartialCall(pdu)
    association.server.reassembling += len(pdu.stub)
    _check_room(association, pdu)


def _receive_further(association: ServerAssociation, pdu: Request) -> None:
    partial = association._partial.get(pdu.call_id)
    if partial is None:
        text = f"a fragment of call {pdu.call_id}, whose first has not come"
        association._refuse(pdu.call_id, FaultStatus.NCA_PROTOCOL_ERROR, Reason.RPC_FRAGMENT_ORDER, text)
        return
    if not partial.continues(pdu):
        text = f"a fragment of call {pdu.call_id} names another context or operation than its first"
        association._refuse(
            pdu.call_id, FaultStatus.NCA_PROTOCOL_ERROR, Reason.RPC_FRAGMENT_ORDER, text, partial.first.context_id
        )
        return
    partial.stub += pdu.stub
    association.server.reassembling += len(pdu.stub)
    if _check_room(association, pdu) and pdu.flags & LAST_FRAG:
        association._forget_partial(pdu.call_id)
        association._start(partial.first, bytes(partial.stub))


def _check_room(association: ServerAssociation, pdu: Request) -> bool:
    """Whether the call just added to is within its own limit and all such calls within theirs; else refuse it."""
    server = association.server
    size = len(association._partial[pdu.call_id].stub)
    if size > server.limits.max_request:
        status = FaultStatus.ACCESS_DENIED
        text = f"the request has reached {size} bytes, {server.limits.max_request} are allowed"
    elif server.reassembling > server.limits.max_reassembly:
        status = FaultStatus.NCA_REMOTE_NO_MEMORY
        text = f"all requests in fragments together have reached {server.limits.max_reassembly} bytes"
    else:
        return True
    association._refuse(pdu.call_id, status, Reason.RPC_REQUEST_TOO_LARGE, text, pdu.context_id)
    return False


def note_orphan(inputs: AssociationInputs, association: ServerAssociation, pdu: Orphaned) -> None:
    """Drop the answer of an executing call (C706 12.6.4.8). One still being received goes on, as Windows has it."""
    call = association.calls.pop(pdu.call_id, None)
    if call is not None:
        call.machine.orphan()
        association._events.append(CallOrphaned(call))


def ignore(inputs: AssociationInputs, association: ServerAssociation, what: object) -> None:
    """Nothing is done and nothing answered."""


def ignore_violation(inputs: AssociationInputs, association: ServerAssociation, reason: Reason, detail: str) -> None:
    """The association has ended already."""


def fault_not_bound(inputs: AssociationInputs, association: ServerAssociation, pdu: AlterContext | Request) -> None:
    """A PDU that needs a bound association came before the bind."""
    association._send(Fault(pdu.call_id, 0, FaultStatus.NCA_PROTOCOL_ERROR, flags=WHOLE | DID_NOT_EXECUTE))
    name = "alter_context" if isinstance(pdu, AlterContext) else "request"
    association._end(Reason.RPC_NOT_BOUND, f"{name} before any bind")


def reject_second_bind(inputs: AssociationInputs, association: ServerAssociation, pdu: Bind) -> None:
    """One bind a connection; a second is refused and ends it (C706 12.6.4.3)."""
    association._send(BindNak(pdu.call_id, RejectReason.NOT_SPECIFIED))
    association._end(Reason.RPC_SECOND_BIND, "a second bind on a bound connection")


def end_foreign(inputs: AssociationInputs, association: ServerAssociation, pdu: Pdu) -> None:
    """No answer: to a server's PDU there is none, and an rpc_auth_3 is never answered ([MS-RPCE] 3.3.1.5.2.2)."""
    association._end(Reason.RPC_UNEXPECTED_PDU, f"{type(pdu).__name__} is nothing a client may send here")


def answer_malformed(inputs: AssociationInputs, association: ServerAssociation, error: PduError) -> None:
    """Say what can be said to bytes that are no PDU: nothing, unless they began as a bind or a request."""
    if error.reason is not Reason.RPC_NOT_RPC:
        if error.ptype == PacketType.BIND:
            # Windows answers a verifier that does not fit as it answers a version it does not know.
            unknown = error.reason in (Reason.RPC_VERSION, Reason.RPC_AUTHENTICATION)
            association._send(
                BindNak(
                    error.call_id,
                    RejectReason.PROTOCOL_VERSION_NOT_SUPPORTED if unknown else RejectReason.NOT_SPECIFIED,
                )
            )
        elif error.ptype in (PacketType.REQUEST, PacketType.ALTER_CONTEXT) and error.reason is not Reason.RPC_VERSION:
            dne = DID_NOT_EXECUTE if error.ptype == PacketType.ALTER_CONTEXT else 0
            association._send(Fault(error.call_id, 0, FaultStatus.NCA_PROTOCOL_ERROR, flags=WHOLE | dne))
    association._end(error.reason, error.detail)


def end_violated(inputs: AssociationInputs, association: ServerAssociation, reason: Reason, detail: str) -> None:
    """Tell the connection's owner to close it."""
    association._end(reason, detail)


def do_nothing(inputs: AssociationInputs, association: ServerAssociation) -> None:
    """Entering the state says it all."""


def _auth_rejection(auth: AuthVerifier) -> RejectReason:
    # Observed of Windows: levels that do not exist, or need no verifier, are not blamed on the type.
    return RejectReason.AUTHENTICATION_TYPE_NOT_RECOGNIZED if 2 <= auth.level <= 6 else RejectReason.NOT_SPECIFIED


def _auth_text(auth: AuthVerifier) -> str:
    return f"authentication type {auth.auth_type} level {auth.level} offered; KMS calls are anonymous"


_builder = TypeMachineBuilder(AssociationInputs, ServerAssociation)
unbound = _builder.state("unbound")
bound = _builder.state("bound")
closed = _builder.state("closed")

#: state, input, next state, what is done. This table is the association.
TRANSITIONS = [
    (unbound, AssociationInputs.bind, unbound, negotiate_bind),
    (unbound, AssociationInputs.bind_accepted, bound, do_nothing),
    (unbound, AssociationInputs.alter_context, closed, fault_not_bound),
    (unbound, AssociationInputs.request, closed, fault_not_bound),
    (unbound, AssociationInputs.co_cancel, closed, end_foreign),
    (unbound, AssociationInputs.orphaned, closed, end_foreign),
    (unbound, AssociationInputs.shutdown, unbound, ignore),
    (unbound, AssociationInputs.foreign, closed, end_foreign),
    (unbound, AssociationInputs.malformed, closed, answer_malformed),
    (unbound, AssociationInputs.violated, closed, end_violated),
    (bound, AssociationInputs.bind, closed, reject_second_bind),
    (bound, AssociationInputs.bind_accepted, bound, do_nothing),
    (bound, AssociationInputs.alter_context, bound, alter),
    (bound, AssociationInputs.request, bound, receive_request),
    (bound, AssociationInputs.co_cancel, bound, ignore),
    (bound, AssociationInputs.orphaned, bound, note_orphan),
    (bound, AssociationInputs.shutdown, bound, ignore),
    (bound, AssociationInputs.foreign, closed, end_foreign),
    (bound, AssociationInputs.malformed, closed, answer_malformed),
    (bound, AssociationInputs.violated, closed, end_violated),
    (closed, AssociationInputs.bind, closed, ignore),
    (closed, AssociationInputs.bind_accepted, closed, do_nothing),
    (closed, AssociationInputs.alter_context, closed, ignore),
    (closed, AssociationInputs.request, closed, ignore),
    (closed, AssociationInputs.co_cancel, closed, ignore),
    (closed, AssociationInputs.orphaned, closed, ignore),
    (closed, AssociationInputs.shutdown, closed, ignore),
    (closed, AssociationInputs.foreign, closed, ignore),
    (closed, AssociationInputs.malformed, closed, ignore),
    (closed, AssociationInputs.violated, closed, ignore_violation),
]
AssociationMachine = build(_builder, TRANSITIONS)

#: The input of each PDU type; all others are `foreign`.
_INPUTS = {
    Bind: "bind",
    AlterContext: "alter_context",
    Request: "request",
    CoCancel: "co_cancel",
    Orphaned: "orphaned",
    Shutdown: "shutdown",
}
