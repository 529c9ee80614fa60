"""A client's question whether the KMS hosts behind the gateway answer. It is not a KMS call, and is not recorded.

The same rules apply to it as to a call: who may ask, and how often. While the server serves no calls, no host is asked.
"""

from __future__ import annotations

from typing import Protocol

from twisted.internet.defer import Deferred

from kmstwist.conversation.conversations import Conversations
from kmstwist.conversation.lines import Cause, ConnectionLog
from kmstwist.kms import reach
from kmstwist.kms.activation import ActivationCall
from kmstwist.reasons import Reason
from kmstwist.rpc import Call, FaultStatus


class Asker(Protocol):
    """The conversation that a check belongs to."""

    log: ConnectionLog

    def call_over(self, call: CheckUnderWay, stub: bytes | None = None, status: int = 0) -> None:
        """Send the response, or a fault of this status; the check is over."""

    def check_refused(self, cause: Cause) -> None:
        """Note why the check was refused."""


class CheckUnderWay:
    """A check from its arrival to its answer. `account` is None: a check is not recorded."""

    __slots__ = ("_around", "_asker", "account", "rpc")

    def __init__(self, rpc: Call, asker: Asker, around: Conversations) -> None:
        self.rpc = rpc
        self.account: ActivationCall | None = None
        #: Whom to tell; None once the client has left.
        self._asker: Asker | None = asker
        self._around = around

    def begin(self) -> None:
        """Have the check admitted and answered; it may be over at once."""
        around, asker = self._around, self._asker
        if asker is None:
            return
        asker.log.checked = True
        refusal = around.admission.judge(asker.log.client)
        if refusal is not None:
            asker.check_refused(Cause(refusal.reason, refusal.detail))
            asker.call_over(self, status=refusal.status)
        elif not around.rpc.listening():
            asker.call_over(self, status=FaultStatus.SERVER_TOO_BUSY)
        else:
            answer: Deferred[reach.Reach] = around.reach()
            answer.addCallback(self._answered)

    def give_up(self, reason: Reason, detail: str) -> None:
        """Nobody waits for the answer any more. The check itself goes on, since others may wait for it too."""
        self._asker = None

    def _answered(self, found: reach.Reach) -> None:
        if self._asker is not None:
            self._asker.call_over(self, reach.encode(found))
