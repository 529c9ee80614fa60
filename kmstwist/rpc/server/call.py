"""One call on the server's side, and its one answer.

A call that has arrived whole is executing until it is answered, or orphaned by its client, or its connection ends.
After any of these an answer has nowhere to go, and the machine below drops it: whoever executes the call need not
know what became of the client.

A `maybe` call (PFC_MAYBE, C706 12.6.3.1) is executed and never answered.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from kmstwist.machine import ANY, SAME, Machine, Table
from kmstwist.rpc.pdu import MAYBE, Request
from kmstwist.rpc.server.contexts import BoundContext


class CallState(StrEnum):
    """Where a call is."""

    EXECUTING = "executing"
    ANSWERED = "answered"
    ORPHANED = "orphaned"


class CallInput(StrEnum):
    """What can happen to a call."""

    ANSWER = "answer"
    ORPHAN = "orphan"


class Call(Machine[CallState, CallInput]):
    """A call to execute, as the association's `CallReceived` event carries it.

    `stub` is the whole request stub, encoded as `ndr64` and `little_endian` say; `object` an object UUID's 16 bytes or
    None. The answer goes back through the association: `association.respond(call, stub)` or `.fault(call, status)`.
    """

    __slots__ = ("call_id", "context", "context_id", "little_endian", "maybe", "ndr64", "object", "opnum", "stub")

    def __init__(self, request: Request, context: BoundContext, stub: bytes) -> None:
        # What `Machine` has, set here: there is a call for each connection.
        self.table, self.state, self.trace = CALL, CallState.EXECUTING, None
        self.call_id = request.call_id
        self.context_id = request.context_id
        self.opnum = request.opnum
        self.object = request.object
        self.little_endian = request.little_endian
        self.maybe = bool(request.flags & MAYBE)
        self.context = context
        #: Whether the stubs of this call are NDR64.
        self.ndr64 = context.ndr64
        self.stub = stub

    def __repr__(self) -> str:
        return f"<Call {self.call_id} opnum {self.opnum} of {self.context.interface.syntax}>"


#: This table is the life of a call.
CALL: Final[Table[CallState, CallInput]] = Table(
    "call",
    {
        CallInput.ANSWER: "The call has been executed; its response or fault is sent, if it was executing until now.",
        CallInput.ORPHAN: "The client wants no answer any more: an orphaned PDU, or the connection's end.",
    },
    [
        # state, input, next state, what is done
        (CallState.EXECUTING, CallInput.ANSWER, CallState.ANSWERED, None),
        (CallState.EXECUTING, CallInput.ORPHAN, CallState.ORPHANED, None),
        (ANY, ANY, SAME, None),
    ],
)
