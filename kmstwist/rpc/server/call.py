"""One call on the server's side, and its one answer.

A call that has arrived whole is executing until it is answered, its client orphans it, or its connection ends. After
that, an answer has nowhere to go, and the machine below drops it: whoever executes the call need not know what happened
to the client.

A `maybe` call (PFC_MAYBE, C706 12.6.3.1) is executed and never answered.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from kmstwist.machine import ANY, SAME, Machine, Table
from kmstwist.rpc.pdu import MAYBE, Request
from kmstwist.rpc.server.contexts import BoundContext


class CallState(StrEnum):
    """The state of a call."""

    EXECUTING = "executing"
    ANSWERED = "answered"
    ORPHANED = "orphaned"


class CallInput(StrEnum):
    """What can happen to a call."""

    ANSWER = "answer"
    ORPHAN = "orphan"


class Call(Machine[CallState, CallInput]):
    """A call to execute, as the association's `CallReceived` event carries it.

    `stub` is the whole request stub; `ndr64` and `little_endian` say how it is encoded. `object` is the 16 bytes of an
    object UUID, or None. Answer through the association: `association.respond(call, stub)` or `.fault(call, status)`.
    """

    __slots__ = ("call_id", "context", "context_id", "little_endian", "maybe", "ndr64", "object", "opnum", "stub")

    def __init__(self, request: Request, context: BoundContext, stub: bytes) -> None:
        # The attributes of `Machine`, set here without a call to its `__init__`, since every connection makes a call.
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
        CallInput.ANSWER: "The call has been executed; its response or fault is sent if it was still executing.",
        CallInput.ORPHAN: "The client no longer wants an answer: an orphaned PDU, or the end of the connection.",
    },
    [
        # state, input, next state, what is done
        (CallState.EXECUTING, CallInput.ANSWER, CallState.ANSWERED, None),
        (CallState.EXECUTING, CallInput.ORPHAN, CallState.ORPHANED, None),
        (ANY, ANY, SAME, None),
    ],
)
