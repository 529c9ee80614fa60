"""One client's connection: a Twisted protocol that moves bytes between a transport and a `ServerAssociation`.

The way of a call: transport, association, admission, `Activator.activate`, the audit's record, and back. Nothing on it
blocks.

Every call gets one log line. A client has its answer and is gone a moment later, so the line waits for the connection's
end, to say who ended it and how; but no longer than a second, since somebody may be watching, and not beyond the next
call. A connection that made no call gets one line, too.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from kmstwist.conversation.outcome import ConnectionFacts, Outcome, write_line
from kmstwist.conversation.phases import Phase, PhaseTimer
from kmstwist.conversation.proxy import begins_as_header
from kmstwist.kms import interface
from kmstwist.kms.activation import ActivationAnswer, ActivationCall, ActivationFault
from kmstwist.kms.version import Version
from kmstwist.logevents import DEFECT
from kmstwist.reasons import Reason
from kmstwist.rpc import Call, CallOrphaned, CallReceived, Ended, FaultStatus, Refused, ServerAssociation, StubError

if TYPE_CHECKING:
    from kmstwist.conversation.factory import KmsFactory

#: After a refusal the client gets this many seconds to read it before the connection is cut.
_LINGER = 2.0
#: Ends of a connection that say nothing of what the client did before.
_WENT_AWAY = (Reason.CLIENT_CLOSED, Reason.CLIENT_LOST, Reason.CLIENT_IDLE)


class KmsProtocol(Protocol):
    """One client's connection. With a `balancer` the client is the one that its PROXY header names."""

    #: A TCP or Unix connection of Twisted's, which is a consumer and a producer as well as a transport.
    transport: Any
    factory: KmsFactory

    association: ServerAssociation

    def __init__(self, factory: KmsFactory, peer: str, port: int, balancer: str | None) -> None:
        self.factory = factory
        self.facts = ConnectionFacts(peer, port, balancer, factory.clock.seconds())
        #: Calls under way: each as asked, with its outcome so far and the Deferred that will end it.
        self._executing: dict[Call, tuple[ActivationCall, Outcome, Deferred[Any]]] = {}
        #: A call that is over and whose line is not written yet.
        self._over: Outcome | None = None
        self._ended: Ended | None = None
        #: A refusal that no line has told of yet.
        self._untold: Refused | Ended | None = None
        self._phases: PhaseTimer
        self._linger_timer: IDelayedCall | None = None
        self._known = False

    # From the transport.

    def connectionMade(self) -> None:
        """Start the clock for the client's first byte."""
        factory = self.factory
        self.facts.opened = factory.clock.seconds()
        port = str(getattr(self.transport.getHost(), "port", 0))
        self.association = ServerAssociation(factory.rpc, port, self.facts.client)
        self._phases = PhaseTimer(factory.clock, factory.timeouts, self._expired)
        factory.connections.add(self)
        # A client that does not read its answers is not read from either, and its time runs.
        self.transport.registerProducer(self, True)
        if self.facts.proxy is None:
            self._admit()

    def pauseProducing(self) -> None:
        """The transport holds as much as it should for a client that does not read."""
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """The client has read what was held."""
        self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """The connection is gone; `connectionLost` says so, too."""

    def dataReceived(self, data: bytes) -> None:
        """Feed the association, act on its events, send what it has to send."""
        if not self._known:
            self._learn_client()
            self._admit()
        if self.has_ended():
            return
        facts = self.facts
        if not facts.bytes_in and facts.proxy is None and begins_as_header(data):
            self.cut(Reason.ADMISSION_PROXY, "a PROXY header from an address that is not in proxy_from")
            return
        self._write_line_of_call("open")
        facts.bytes_in += len(data)
        self._phases.received()
        association = self.association
        answered, altered = association.answered, association.altered
        for event in association.receive_data(data):
            if type(event) is CallReceived:
                self._activate(event.call)
            elif type(event) is CallOrphaned:
                self._give_up(event.call, Reason.CLIENT_ORPHANED, "the client gave the call up")
            elif type(event) is Refused:
                self._untold = event
            elif type(event) is Ended:
                self._end_by_us(event.reason, event.detail)
                self._untold = event
                for call in list(self._executing):
                    self._give_up(call, event.reason, event.detail)
        if facts.bound_at is None and association.group is not None:
            facts.bound_at = self.factory.clock.seconds()
        self._flush()
        if self.has_ended():
            self._linger()
        elif self._executing:
            pass
        elif association.answered > answered:
            # A call answered by the association itself, of the management interface or refused, is one like any other.
            self._phases.answered()
        elif association.altered > altered:
            self._phases.altered()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Forget the connection; write its line."""
        self.factory.connections.discard(self)
        self.factory.answered.discard(self)
        self._phases.stop()
        if self._linger_timer is not None and self._linger_timer.active():
            self._linger_timer.cancel()
        self.association.connection_lost()
        ended_by = "client" if self._ended is None else "server"
        if self._ended is None:
            clean = reason.check(ConnectionDone) is not None
            self._ended = Ended(Reason.CLIENT_CLOSED if clean else Reason.CLIENT_LOST, "")
        self._write_line_of_call(ended_by)
        for call in list(self._executing):
            if ended_by == "client":
                self._give_up(call, Reason.CLIENT_LOST, "the client left before its answer")
            else:
                self._give_up(call, self._ended.reason, self._ended.detail)
            self._write_line_of_call(ended_by)
        if self._untold is not None or not self.facts.lines:
            self._write_line(self._without_call(), ended_by)
        if self._known:
            self.factory.admission.closed(self.facts.client)
        self.factory.conversation_ended()

    # Who the client is.

    def _learn_client(self) -> None:
        """Take the address that the PROXY header names; a balancer's own check names none and stays the balancer's."""
        peer = self.transport.getPeer()
        self.facts.client = plain_address(getattr(peer, "host", self.facts.client))
        self.facts.port = getattr(peer, "port", self.facts.port)
        self.association.client = self.facts.client

    def _admit(self) -> None:
        self._known = True
        refusal = self.factory.admission.opened(self.facts.client)
        if refusal is not None:
            self.cut(refusal.reason, refusal.detail)

    def header_refused(self) -> None:
        """The balancer's connection does not begin with a PROXY header."""
        self._end_by_us(Reason.ADMISSION_PROXY, "the balancer sent no PROXY header, or a broken one")

    # What we decide.

    def end(self, reason: Reason, detail: str) -> None:
        """Close the connection from our side, saying why in its log line."""
        if self._ended is None:
            self._end_by_us(reason, detail)
            self.transport.loseConnection()

    def cut(self, reason: Reason, detail: str) -> None:
        """End the connection at once, whatever is under way."""
        if self._ended is None:
            self._end_by_us(reason, detail)
        self.transport.abortConnection()

    def has_ended(self) -> bool:
        """Whether we have decided to close the connection."""
        return self._ended is not None

    @property
    def busy(self) -> bool:
        """Whether a call is being executed."""
        return bool(self._executing)

    @property
    def answered(self) -> bool:
        """Whether the client has its answer and has asked nothing since."""
        return self._phases.phase is Phase.IDLE

    def _expired(self, phase: Phase | None, seconds: float) -> None:
        if phase is None:
            self._end_by_us(Reason.CLIENT_TOTAL, f"open for {seconds:g} s")
        elif phase is Phase.ASKING and (self.facts.bound_at is None or self.association.buffered):
            self._end_by_us(Reason.CLIENT_SLOW, f"no whole request within {seconds:g} s of its first byte")
        else:
            self._end_by_us(Reason.CLIENT_IDLE, f"nothing for {seconds:g} s")
        self.transport.abortConnection()

    def _end_by_us(self, reason: Reason, detail: str) -> None:
        if self._ended is None:
            # From here on the transport may close when it has sent what it has.
            self.transport.unregisterProducer()
        self._ended = Ended(reason, detail)

    def _linger(self) -> None:
        """Let the client read the refusal: closing with its bytes unread would reset the connection and lose it."""
        self._phases.stop()
        self._linger_timer = self.factory.clock.callLater(_LINGER, self.transport.abortConnection)
        self.transport.loseWriteConnection()

    def _flush(self) -> None:
        data = self.association.data_to_send()
        if data:
            self.facts.bytes_out += len(data)
            self.transport.write(data)

    # A call.

    def _activate(self, call: Call) -> None:
        now = self.factory.clock.seconds()
        outcome = Outcome(now, None if self.facts.lines else (now - self.facts.opened) * 1000)
        try:
            message = interface.decode_request(call.stub, ndr64=call.ndr64, little_endian=call.little_endian)
        except StubError as error:
            fault = ActivationFault(FaultStatus.BAD_STUB_DATA, Reason.RPC_BAD_STUB, str(error))
            self.factory.recorder.turned_away(self.facts, fault.reason, fault.detail, fault.status)
            self._fault(call, outcome, fault)
            return
        if len(message) >= 4:
            outcome.version = str(Version.of(message))
        self._phases.calling()
        facts = self.facts
        asked = ActivationCall(message, facts.client, facts.port, facts.proxy)
        refusal = self.factory.admission.judge(facts.client)
        if refusal is not None:
            deferred: Deferred[ActivationAnswer] = fail(refusal.fault())
        else:
            deferred = self.factory.activator.activate(asked)
        self._executing[call] = (asked, outcome, deferred)
        # The reply goes out when its record is committed, and not before.
        deferred.addCallbacks(
            self._record_answer, self._record_failure, callbackArgs=(asked, outcome), errbackArgs=(asked, outcome)
        )
        deferred.addCallback(self._answered, call, outcome)
        deferred.addErrback(self._failed, call, outcome)

    def _record_answer(
        self, answer: ActivationAnswer, asked: ActivationCall, outcome: Outcome
    ) -> Deferred[ActivationAnswer]:
        outcome.answer(answer, self.factory.clock.seconds())
        return self.factory.recorder.answered(asked, answer, outcome).addCallback(lambda _: answer)

    def _record_failure(self, failure: Failure, asked: ActivationCall, outcome: Outcome) -> Any:
        if failure.check(CancelledError):
            return failure  # The client gave the call up; that is recorded where it is noticed.
        fault = self._as_fault(failure)
        outcome.fault(fault, self.factory.clock.seconds())
        return self.factory.recorder.faulted(asked, fault, outcome).addCallback(lambda _: Failure(fault))

    def _answered(self, answer: ActivationAnswer, call: Call, outcome: Outcome) -> None:
        if answer.hresult == 0:
            self.factory.activations += 1
        stub = interface.encode_response(answer.hresult, answer.message, ndr64=call.ndr64)
        self.association.respond(call, stub)
        self._call_over(call, outcome)

    def _failed(self, failure: Failure, call: Call, outcome: Outcome) -> None:
        if not failure.check(CancelledError):
            self._fault(call, outcome, self._as_fault(failure))
        # Else the client gave the call up: `_give_up` cancelled it, and says what became of it.

    def _as_fault(self, failure: Failure) -> ActivationFault:
        """What a call that failed is answered with; anything but a fault on purpose is a defect, and is logged so."""
        error = failure.value
        if isinstance(error, ActivationFault):
            return error
        DEFECT.emit(self.factory.log, detail="answering a call", traceback=failure.getTraceback())
        return ActivationFault(FaultStatus.CALL_FAILED, Reason.SERVER_ERROR, failure.getErrorMessage())

    def _fault(self, call: Call, outcome: Outcome, fault: ActivationFault) -> None:
        outcome.fault(fault, self.factory.clock.seconds())
        self.association.fault(call, fault.status)
        self._call_over(call, outcome)

    def _call_over(self, call: Call, outcome: Outcome) -> None:
        self._executing.pop(call, None)
        self._write_line_of_call("open")
        self._over = outcome
        self.factory.answered.add(self)
        self._flush()
        if not self._executing:
            self._phases.answered()

    def _give_up(self, call: Call, reason: Reason, detail: str) -> None:
        """The client waits no more. A call that was answered meanwhile, and waits for its record, has that record."""
        executing = self._executing.pop(call, None)
        if executing is None:
            return
        asked, outcome, deferred = executing
        if outcome.answered_at is None:
            self.factory.recorder.abandoned(asked, reason, detail)
        deferred.cancel()
        outcome.give_up(reason, detail)
        self._call_over(call, outcome)

    # The log line.

    def write_overdue_line(self, over_before: float) -> bool:
        """Write the line of a call that was over before this moment; whether there is none to wait for any more."""
        over = self._over
        if over is not None and over.answered_at is not None and over.answered_at > over_before:
            return False
        self._write_line_of_call("open")
        return True

    def _write_line_of_call(self, ended_by: str) -> None:
        over = self._over
        if over is None:
            return
        self._over = None
        ended = self._ended
        if ended is not None and ended_by == "server" and over.reason is Reason.OK:
            over.reason, over.detail = ended.reason, ended.detail
        if ended is not None and over.reason is ended.reason:
            self._untold = None
        self._write_line(over, ended_by)

    def _write_line(self, outcome: Outcome, ended_by: str) -> None:
        if outcome.answered_at is not None:
            phase = "answered"
        elif outcome.asked:
            phase = "call"
        else:
            phase = "connected" if self.facts.bound_at is None else "bound"
        now = self.factory.clock.seconds()
        write_line(
            self.factory.log, self.facts, outcome, end=ended_by, phase=phase, now=now, telemetry=self.factory.telemetry
        )

    def _without_call(self) -> Outcome:
        """What there is to tell of a connection that made no call, or was refused something after its last one."""
        outcome = Outcome(self.factory.clock.seconds(), asked=False)
        cause: Refused | Ended | None = self._ended
        if self._untold is not None and (cause is None or cause.reason in _WENT_AWAY):
            # Why the client was refused says more than that it then went away.
            cause = self._untold
        if cause is not None:
            outcome.reason, outcome.detail = cause.reason, cause.detail
        self.factory.recorder.turned_away(self.facts, outcome.reason, outcome.detail)
        return outcome


def plain_address(host: str) -> str:
    """An IP address in its usual text, an IPv4-mapped IPv6 one as the IPv4 address it stands for."""
    if ":" not in host:
        return host
    address = ip_address(host)
    mapped = address.ipv4_mapped if address.version == 6 else None
    return str(mapped or address)
