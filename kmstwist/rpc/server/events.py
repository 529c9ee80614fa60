"""What a server association tells the owner of its connection, and the call that most of it is about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from kmstwist.reasons import Reason
from kmstwist.rpc.server.contexts import BoundContext


@dataclass(slots=True, eq=False, repr=False)
class Call:
    """A call to execute, as the association's `CallReceived` event carries it.

    `stub` is the whole request stub; `ndr64` and `little_endian` say how it is encoded. `object` is the 16 bytes of an
    object UUID, or None. Answer through the association: `association.respond(call, stub)` or `.fault(call, status)`. A
    `maybe` call (PFC_MAYBE, C706 12.6.3.1) is executed and never answered.
    """

    call_id: int
    context_id: int
    context: BoundContext
    opnum: int
    stub: bytes
    #: Whether the stubs of this call are NDR64.
    ndr64: bool = False
    little_endian: bool = True
    object: bytes | None = None
    maybe: bool = False

    def __repr__(self) -> str:
        return f"<Call {self.call_id} opnum {self.opnum} of {self.context.interface.syntax}>"


@dataclass(slots=True)
class CallReceived:
    """A whole call has arrived: execute it, then `respond` or `fault`."""

    call: Call


@dataclass(slots=True)
class CallOrphaned:
    """The client no longer wants an answer to this call."""

    call: Call


@dataclass(slots=True)
class Refused:
    """Something was refused, and the client was told; the association goes on."""

    reason: Reason
    detail: str


@dataclass(slots=True)
class Ended:
    """The association is over: send the remaining bytes, then close the connection."""

    reason: Reason
    detail: str


Event: TypeAlias = CallReceived | CallOrphaned | Refused | Ended
