"""What a server association tells the owner of its connection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from kmstwist.reasons import Reason
from kmstwist.rpc.server.call import Call


@dataclass(slots=True)
class CallReceived:
    """A call arrived whole: execute it, then `respond` or `fault`."""

    call: Call


@dataclass(slots=True)
class CallOrphaned:
    """The client wants no answer to this call any more."""

    call: Call


@dataclass(slots=True)
class Refused:
    """Something was refused, and the client told; the association goes on."""

    reason: Reason
    detail: str


@dataclass(slots=True)
class Ended:
    """The association is over: send what there is to send, then close the connection."""

    reason: Reason
    detail: str


Event: TypeAlias = CallReceived | CallOrphaned | Refused | Ended
