"""What a server association tells the owner of its connection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from kmstwist.reasons import Reason
from kmstwist.rpc.server.call import Call


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
