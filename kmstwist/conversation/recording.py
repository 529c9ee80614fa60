"""Between a call's outcome and its reply: the audit's record.

The reply waits for the record to be committed. Where the audit is off, or lets calls be served while its store fails,
nothing waits. Refusals of connections that made no call are recorded too, but nobody waits for those.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from kmstwist.audit.records import REFUSING, Phases
from kmstwist.audit.service import AuditService
from kmstwist.audit.writer import AuditUnavailable
from kmstwist.conversation.outcome import ConnectionFacts, Outcome
from kmstwist.kms.activation import ActivationAnswer, ActivationCall, ActivationFault
from kmstwist.kms.messages import readable_facts
from kmstwist.reasons import Reason
from kmstwist.rpc import FaultStatus


class Recorder:
    """Makes the records of a server's calls; with no audit behind it, it has nobody wait for anything."""

    def __init__(self, audit: AuditService | None) -> None:
        self.audit = audit

    def answered(self, call: ActivationCall, answer: ActivationAnswer, outcome: Outcome) -> Deferred[None]:
        """Record an answer; fires when the reply may go out, fails with an `ActivationFault` where it may not."""
        if self.audit is None:
            return succeed(None)
        record = self.audit.maker.answered(call, answer, peer=call.proxy, phases=_phases(outcome))
        return self.audit.record(record).addErrback(_unavailable)

    def faulted(self, call: ActivationCall, fault: ActivationFault, outcome: Outcome) -> Deferred[None]:
        """Record a fault; fires when it may be sent, recorded or not: a fault grants nothing."""
        if self.audit is None:
            return succeed(None)
        facts = readable_facts(call.message)
        record = self.audit.maker.faulted(call, fault, facts=facts, peer=call.proxy, phases=_phases(outcome))
        return self.audit.record(record).addErrback(_left_out)

    def abandoned(self, call: ActivationCall, reason: Reason, detail: str) -> None:
        """Record a call whose client left before its answer."""
        if self.audit is not None:
            record = self.audit.maker.abandoned(call, reason, detail, facts=readable_facts(call.message))
            self.audit.record(record).addErrback(_left_out)

    def turned_away(self, facts: ConnectionFacts, reason: Reason, detail: str, fault: int | None = None) -> None:
        """Record a peer that was refused before it made a KMS call."""
        if self.audit is not None and reason.startswith(REFUSING):
            record = self.audit.maker.refused(
                facts.client, reason, detail, fault=fault, peer=facts.proxy, bytes_in=facts.bytes_in
            )
            self.audit.record(record).addErrback(_left_out)


def _phases(outcome: Outcome) -> Phases:
    answered = outcome.answered_at
    return Phases(receive=outcome.received_ms, answer=None if answered is None else (answered - outcome.started) * 1000)


def _unavailable(failure: Failure) -> None:
    failure.trap(AuditUnavailable)
    raise ActivationFault(FaultStatus.SERVER_TOO_BUSY, Reason.AUDIT_UNAVAILABLE, failure.getErrorMessage())


def _left_out(failure: Failure) -> None:
    """The writer has counted it and raised the alarm; there is nobody here to tell."""
    failure.trap(AuditUnavailable)
