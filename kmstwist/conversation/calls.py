"""One call of a client on its way: it is admitted, answered, recorded, and only then replied to.

Admission decides whether the client may ask; the activator (the gateway or the lab) answers, now or later; the audit
commits its record of the answer; and the reply goes out. A failure at any step becomes a fault, which takes the same
way. If the audit is off, or serves calls while its store fails, no reply waits for a record.

The client may leave before that. Then the call is given up: the activator is told, and an answer that still arrives is
dropped.
"""

from __future__ import annotations

from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from kmstwist.admission.admission import Admission
from kmstwist.audit.plain.faults import AuditUnavailable
from kmstwist.audit.records import Recorder
from kmstwist.conversation.lines import ConnectionLog
from kmstwist.kms.activation import ActivationAnswer, ActivationCall, ActivationFault, decode_request, encode_response
from kmstwist.logevents import DEFECT
from kmstwist.reasons import Reason
from kmstwist.rpc import Call, FaultStatus, StubError


class Activator(Protocol):
    """What answers activation calls: the gateway or the lab."""

    def activate(self, call: ActivationCall) -> Deferred[ActivationAnswer]:
        """Answer one call; the Deferred may fail with an `ActivationFault`."""


class Surroundings(Protocol):
    """What a call needs from the server."""

    clock: IReactorTime
    log: Logger
    admission: Admission
    activator: Activator
    recorder: Recorder


class Caller(Protocol):
    """The conversation that a call belongs to."""

    log: ConnectionLog

    def call_over(self, call: CallUnderWay, stub: bytes | None = None, status: int = 0) -> None:
        """Send the response, or a fault of this status; the call is over."""


class CallUnderWay:
    """A call from its arrival to its reply. `rpc` is the call as RPC sees it, `account` as everything else does."""

    __slots__ = ("_answering", "_around", "_caller", "account", "rpc")

    account: ActivationCall

    def __init__(self, rpc: Call, caller: Caller, around: Surroundings) -> None:
        self.rpc = rpc
        #: Whom to reply to; None once the call is given up.
        self._caller: Caller | None = caller
        self._around = around
        self._answering: Deferred[ActivationAnswer] | None = None

    def begin(self) -> None:
        """Read the call's message, and have the call admitted and answered; it may be over at once."""
        rpc, caller, around = self.rpc, self._caller, self._around
        if caller is None:
            return
        log, now, broken = caller.log, around.clock.seconds(), None
        try:
            message = decode_request(rpc.stub, ndr64=rpc.ndr64, little_endian=rpc.little_endian)
        except StubError as error:
            message, broken = b"", str(error)
        receive_ms = None if log.lines else (now - log.opened) * 1000
        self.account = account = ActivationCall(
            message, log.client, log.port, log.proxy, started=now, receive_ms=receive_ms
        )
        if broken is not None:
            # This is not a KMS call.
            account.bytes_in = log.bytes_in
            self._fail(ActivationFault(FaultStatus.BAD_STUB_DATA, Reason.RPC_BAD_STUB, broken))
            return
        admission, client = around.admission, account.client
        if client not in admission.free and (refusal := admission.judge(client)) is not None:
            self._fail(refusal.fault())
            return
        self._answering = answering = around.activator.activate(account)
        answering.addCallbacks(self._answered, self._failed)

    def give_up(self, reason: Reason, detail: str) -> None:
        """Nobody waits for the answer any more. If it is only waiting to be recorded, it is still recorded."""
        self._caller = None
        unanswered = self.account.answered_at is None
        self.account.give_up(reason, detail)
        if unanswered:
            self._around.recorder.note(self.account)
        if self._answering is not None:
            self._answering.cancel()

    def _answered(self, answer: ActivationAnswer) -> None:
        if self._caller is None:
            return
        try:
            self.account.answered(answer, self._around.clock.seconds())
            # The reply goes out only when its record is committed.
            self._around.recorder.record(self.account, self._reply)
        except Exception:
            # Handled here: a separate errback would be one more step in every call.
            self._failed(Failure())

    def _reply(self, error: Exception | None) -> None:
        if error is not None:
            self._not_recorded(error)
            return
        answer = self.account.answer
        if self._caller is not None and answer is not None:
            stub = encode_response(answer.hresult, answer.message, ndr64=self.rpc.ndr64)
            self._caller.call_over(self, stub)

    def _failed(self, failure: Failure) -> None:
        # If the call was given up, that is what cancelled the activator.
        if self._caller is not None:
            self._fail(self._as_fault(failure, "answering a call"))

    def _fail(self, fault: ActivationFault) -> None:
        """Record the fault and send it, whether it could be recorded or not: it grants nothing."""
        self.account.failed(fault, self._around.clock.seconds())
        self._around.recorder.record(self.account, self._send_fault)

    def _not_recorded(self, error: Exception) -> None:
        if self._caller is None:
            return
        if isinstance(error, AuditUnavailable):
            fault = ActivationFault(FaultStatus.SERVER_TOO_BUSY, Reason.AUDIT_UNAVAILABLE, str(error))
        else:
            fault = self._as_fault(Failure(error), "recording a call")
        self.account.failed(fault, self._around.clock.seconds())
        self._send_fault()

    def _send_fault(self, _error: Exception | None = None) -> None:
        fault = self.account.fault
        if self._caller is not None and fault is not None:
            self._caller.call_over(self, status=fault.status)

    def _as_fault(self, failure: Failure, doing: str) -> ActivationFault:
        """The fault for a call that failed. Anything but a deliberate fault is a defect, and is logged as one."""
        error = failure.value
        if isinstance(error, ActivationFault):
            return error
        DEFECT.emit(self._around.log, detail=doing, traceback=failure.getTraceback())
        return ActivationFault(FaultStatus.CALL_FAILED, Reason.SERVER_ERROR, failure.getErrorMessage())
