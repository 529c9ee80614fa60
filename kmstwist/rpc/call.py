"""One call on the server's side: its fragments joined, and its one answer.

A call that has arrived whole is executing until it is answered, or orphaned by its client, or its connection ends.
After any of these an answer has nowhere to go, and the machine below drops it: whoever executes the call need not
know what became of the client.

A `maybe` call (PFC_MAYBE, C706 12.6.3.1) is executed and never answered.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from automat import TypeMachineBuilder

from kmstwist.rpc.machine import build
from kmstwist.rpc.negotiation import BoundContext
from kmstwist.rpc.pdu import MAYBE, Request


class PartialCall:
    """A request of which fragments are missing. Holds at most the server's configured request size."""

    __slots__ = ("first", "stub")

    def __init__(self, first: Request) -> None:
        self.first = first
        # One buffer, not a list of pieces: a peer that sends a byte a fragment must not cost an object a byte.
        self.stub = bytearray(first.stub)

    def continues(self, fragment: Request) -> bool:
        """Whether a later fragment belongs to this call: its context and operation may not change (C706 12.6.4.9)."""
        return fragment.context_id == self.first.context_id and fragment.opnum == self.first.opnum


class CallInputs(Protocol):
    """What can happen to an executing call."""

    def answer(self, send: Callable[[], None]) -> None:
        """The call has been executed: `send` puts its response or fault on the connection."""

    def orphan(self) -> None:
        """The client wants no answer any more (an orphaned PDU, or the connection's end)."""


class _CallCore:
    """The machine needs no state of its own beyond where it is."""


_builder = TypeMachineBuilder(CallInputs, _CallCore)
executing = _builder.state("executing")
answered = _builder.state("answered")
orphaned = _builder.state("orphaned")


def send_answer(inputs: CallInputs, core: _CallCore, send: Callable[[], None]) -> None:
    """Put the answer on the connection."""
    send()


def drop(inputs: CallInputs, core: _CallCore, send: Callable[[], None]) -> None:
    """Nobody waits for this answer."""


def forget(inputs: CallInputs, core: _CallCore) -> None:
    """Nobody wants an answer any more."""


#: state, input, next state, what is done: the life of a call.
TRANSITIONS = [
    (executing, CallInputs.answer, answered, send_answer),
    (executing, CallInputs.orphan, orphaned, forget),
    (answered, CallInputs.answer, answered, drop),
    (answered, CallInputs.orphan, answered, forget),
    (orphaned, CallInputs.answer, orphaned, drop),
    (orphaned, CallInputs.orphan, orphaned, forget),
]
CallMachine = build(_builder, TRANSITIONS)
_CORE = _CallCore()


class Call:
    """A call to execute, as the association's `CallReceived` event carries it.

    `stub` is the whole request stub, encoded as `ndr64` and `little_endian` say; `object` an object UUID's 16 bytes or
    None. The answer goes back through the association: `association.respond(call, stub)` or `.fault(call, status)`.
    """

    __slots__ = ("call_id", "context", "context_id", "little_endian", "machine", "maybe", "object", "opnum", "stub")

    def __init__(self, request: Request, context: BoundContext, stub: bytes) -> None:
        self.call_id = request.call_id
        self.context_id = request.context_id
        self.opnum = request.opnum
        self.object = request.object
        self.little_endian = request.little_endian
        self.maybe = bool(request.flags & MAYBE)
        self.context = context
        self.stub = stub
        self.machine: CallInputs = CallMachine(_CORE)

    @property
    def ndr64(self) -> bool:
        """Whether the stubs of this call are NDR64."""
        return self.context.ndr64

    def __repr__(self) -> str:
        return f"<Call {self.call_id} opnum {self.opnum} of {self.context.interface.syntax}>"
