"""What a server association can be at, and what can happen to it beside the PDUs that come."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from kmstwist.reasons import Reason
from kmstwist.rpc.pdu import BindNak, Fault
from kmstwist.rpc.server.contexts import BoundContext


class ServerState(StrEnum):
    """The state of an association."""

    UNBOUND = "unbound"
    BOUND = "bound"
    FINISHING = "finishing"
    CLOSED = "closed"


class Accepted:
    """The input for an acknowledged bind: its context list was in order."""


@dataclass(frozen=True, slots=True)
class KnownBind:
    """The input for a bind that equals one acknowledged before in every byte except those of its call id.

    A site's clients send few different binds, so the outcome of each negotiation is kept: the contexts, which are not
    changed afterwards, and the bind_ack in three parts. The call id and the group go between the parts.
    """

    contexts: dict[int, BoundContext]
    features: int
    multiplexed: bool
    fragment_size: int
    ack: tuple[bytes, bytes, bytes]


class EndOfInput:
    """The input for a client that has ended its side of the connection."""


class Finished:
    """The input for the answer to the last call of a client that has nothing more to send."""


class Refusal(NamedTuple):
    """The input for a broken rule: the client is answered, and the association ends."""

    answer: BindNak | Fault
    reason: Reason
    detail: str
