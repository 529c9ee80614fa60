"""What a client association tells the owner of its connection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from kmstwist.reasons import Reason
from kmstwist.rpc.pdu import ContextOutcome, PresentationContext


@dataclass(frozen=True, slots=True)
class AcceptedContext:
    """A context the server accepted, and whether calls on it are NDR64."""

    proposal: PresentationContext
    ndr64: bool


@dataclass(slots=True)
class Bound:
    """The server acknowledged the bind (or an alter_context); results are in the order proposed."""

    proposed: tuple[PresentationContext, ...]
    results: tuple[ContextOutcome, ...]


@dataclass(slots=True)
class BindRejected:
    """The server refused the whole bind, with this p_reject_reason_t."""

    reject_reason: int


@dataclass(slots=True)
class ResponseReceived:
    """The whole response to a call; `ndr64` and `little_endian` say how its stub is encoded."""

    call_id: int
    stub: bytes
    ndr64: bool
    little_endian: bool


@dataclass(slots=True)
class FaultReceived:
    """The server answered a call (or an alter_context) with a fault."""

    call_id: int
    status: int
    did_not_execute: bool


@dataclass(slots=True)
class ShutdownRequested:
    """The server asks us to end the connection when our calls are done (C706 12.6.4.11)."""


@dataclass(slots=True)
class ServerBroke:
    """The server broke the protocol; the association is over, and the connection can be closed."""

    reason: Reason
    detail: str


ClientEvent: TypeAlias = Bound | BindRejected | ResponseReceived | FaultReceived | ShutdownRequested | ServerBroke
