"""The server's side of an association: bytes in, events and bytes out (C706 chapter 11, 12.6; [MS-RPCE] 3.3.3).

Why it has this shape. What a server answers depends on two things only: whether the connection is bound, and the PDU.
So the association is one machine of three states (`unbound`, `bound`, `closed`) whose inputs are the kinds of PDU, and
`TRANSITIONS` is all of it: a reader finds what happens to an alter_context before a bind by looking for that line.
What may vary *within* a line (a context list that is refused, a fragment that does not fit its call) is decided by the
output named there, which may feed the machine the two inputs that no PDU stands for: `bind_accepted` and `violated`.
The outputs are in three files: `binding` (contexts), `requests` (calls) and `refusals` (what has no place here).

The rules are C706's; where Windows and Samba agree on something else, theirs, and the output says so:

- Only a whole bind is ever refused with bind_nak; everything else that breaks the protocol is answered with a fault,
  most with nca_s_proto_error, and the connection is closed ([MS-RPCE] 3.3.3 and 3.3.3.5.1; observed).
- A fault names its call's context only where the call had one; the flag "did not execute" is set where the call was
  refused before its fragments were complete or its operation known (C706 12.6.3.1, PFC_DID_NOT_EXECUTE; observed).
- A cancel is a hint and changes nothing; an orphaned call is executed and its answer dropped. Neither does anything
  to a call whose fragments are still arriving (observed).

"Observed" is what Windows does as Samba's suite `samba.tests.dcerpc.raw_protocol` records it; `tests/system` runs it.

No bytes and no order of bytes make this module raise: that is tested, and fuzzed. Management calls are answered here;
all others are handed out as events and answered whenever their executor is done.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from automat import TypeMachineBuilder

from kmstwist.reasons import Reason
from kmstwist.rpc import mgmt
from kmstwist.rpc.binding import alter, negotiate_bind, reject_second_bind
from kmstwist.rpc.call import Call, PartialCall
from kmstwist.rpc.codec import encode
from kmstwist.rpc.events import CallOrphaned, CallReceived, Ended, Event, Refused
from kmstwist.rpc.framing import FrameReader
from kmstwist.rpc.groups import AssociationGroups
from kmstwist.rpc.machine import build
from kmstwist.rpc.negotiation import MAX_FRAGMENT, BoundContext, Interface, InterfaceTable
from kmstwist.rpc.pdu import (
    DID_NOT_EXECUTE,
    FIRST_FRAG,
    LAST_FRAG,
    RESPONSE_HEADER_SIZE,
    WHOLE,
    AlterContext,
    Bind,
    BindNak,
    CoCancel,
    Fault,
    Orphaned,
    Pdu,
    PduError,
    Request,
    Response,
    Shutdown,
)
from kmstwist.rpc.refusals import (
    answer_malformed,
    do_nothing,
    end_foreign,
    end_violated,
    fault_not_bound,
    ignore,
    ignore_violation,
    reject_malformed,
)
from kmstwist.rpc.requests import note_orphan, receive_request
from kmstwist.rpc.status import RejectReason

__all__ = [
    "TRANSITIONS",
    "AssociationInputs",
    "CallOrphaned",
    "CallReceived",
    "Ended",
    "Event",
    "Limits",
    "Refused",
    "RpcServer",
    "ServerAssociation",
]


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

    def __init__(self, server: RpcServer, secondary_address: str, client: str = "") -> None:
        """`secondary_address` is the port the client connected to, as text (C706 12.6.3.1, port_any_t).

        `client` is what its machine is known by, its IP address over TCP; it may be set until the bind comes.
        """
        self.server = server
        self.client = client
        self.secondary_address = secondary_address.encode("ascii")
        self.features = 0
        self.fragment_size = MAX_FRAGMENT
        self.group: int | None = None
        self.multiplexed = False
        #: Calls answered, with a response or a fault, those of the management interface included.
        self.answered = 0
        #: Times that contexts were added.
        self.altered = 0
        self.contexts: dict[int, BoundContext] = {}
        self.calls: dict[int, Call] = {}
        self.partial: dict[int, PartialCall] = {}
        self.events: list[Event] = []
        self._reader = FrameReader(MAX_FRAGMENT)
        self._out: list[bytes] = []
        self._machine = AssociationMachine(self)

    # What the owner of the connection calls.

    def receive_data(self, data: bytes) -> list[Event]:
        """Take bytes from the connection; the events they amount to. Never raises, and does nothing after `Ended`."""
        reader = self._reader
        reader.feed(data)
        events = self.events = []
        try:
            while (pdu := reader.next_pdu()) is not None:
                self.server.statistics.packets_in += 1
                getattr(self._machine, _INPUTS.get(type(pdu), "foreign"))(pdu)
        except PduError as error:
            self._machine.malformed(error)
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
        """The connection is gone: leave the group, drop what was half received and all answers still to come."""
        self._drop_calls()
        if self.group is not None:
            self.server.groups.leave(self.group)
            self.group = None

    @property
    def buffered(self) -> int:
        """Bytes held of fragments and requests that are not complete."""
        return self._reader.pending + sum(len(p.stub) for p in self.partial.values())

    # What the machine's outputs are made of.

    def send(self, pdu: Pdu) -> None:
        """Put a PDU on the connection."""
        self.server.statistics.packets_out += 1
        self._out.append(encode(pdu))

    def refuse(
        self, call_id: int, status: int, reason: Reason, detail: str, context_id: int = 0, flags: int = 0
    ) -> None:
        """Answer with a fault and end the association."""
        self.send(Fault(call_id, context_id, status, flags=WHOLE | flags))
        self._machine.violated(reason, detail)

    def reject_bind(self, call_id: int, reject: RejectReason, reason: Reason, detail: str) -> None:
        """Answer with a bind_nak and end the association."""
        self.send(BindNak(call_id, reject))
        self._machine.violated(reason, detail)

    def note_refusal(self, reason: Reason, detail: str) -> None:
        """Tell the owner of a refusal after which the association goes on."""
        self.events.append(Refused(reason, detail))

    def end(self, reason: Reason, detail: str) -> None:
        """Tell the owner to close the connection; nothing more is taken from it, and nothing held for it."""
        self._reader.stop()
        self._drop_calls()
        self.events.append(Ended(reason, detail))

    def forget_partial(self, call_id: int) -> None:
        """A request is not incomplete any more; its bytes count no longer."""
        self.server.reassembling -= len(self.partial.pop(call_id).stub)

    def _drop_calls(self) -> None:
        for call in self.calls.values():
            call.machine.orphan()
        self.calls.clear()
        for call_id in list(self.partial):
            self.forget_partial(call_id)

    def _send_response(self, call: Call, stub: bytes) -> None:
        self.calls.pop(call.call_id, None)
        self.answered += 1
        self.server.statistics.calls_out += 1
        if call.maybe:
            return
        room = self.fragment_size - RESPONSE_HEADER_SIZE
        # Windows puts only the low byte of the context id into a response, and Samba does the same.
        context_id = call.context_id & 0xFF
        if len(stub) <= room:
            self.send(Response(call.call_id, context_id, stub, len(stub)))
            return
        for start in range(0, len(stub), room):
            flags = (FIRST_FRAG if start == 0 else 0) | (LAST_FRAG if start + room >= len(stub) else 0)
            piece = stub[start : start + room]
            self.send(Response(call.call_id, context_id, piece, len(stub) - start, flags=flags))

    def _send_fault(self, call: Call, status: int, flags: int) -> None:
        self.calls.pop(call.call_id, None)
        self.answered += 1
        if not call.maybe:
            self.send(Fault(call.call_id, call.context_id, status, flags=WHOLE | flags))


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
    (unbound, AssociationInputs.malformed, closed, reject_malformed),
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
