"""The listening side: a Twisted protocol and factory that move bytes between a transport and a `ServerAssociation`.

The way of a call: transport, association, `Activator.activate`, and back. Nothing on it blocks.

Every call gets one log line. A client has its answer and is gone a moment later, so the line waits for the connection's
end, to say who ended it and how; but no longer than a second, since somebody may be watching, and not beyond the next
call. A connection that made no call gets one line, too.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from typing import Any
from typing import Protocol as TypingProtocol

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime, ITCPTransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from kmstwist.kms.activation import ActivationAnswer, ActivationCall, ActivationFault
from kmstwist.kms.version import Version
from kmstwist.logevents import CONVERSATION, DEFECT
from kmstwist.reasons import Reason
from kmstwist.rpc import activation
from kmstwist.rpc.call import Call
from kmstwist.rpc.ndr import StubError
from kmstwist.rpc.server import CallOrphaned, CallReceived, Ended, RpcServer, ServerAssociation
from kmstwist.rpc.status import FaultStatus

#: Seconds that an answered call's log line waits for the connection's end.
_LINE_WAITS = 1.0
#: After a refusal the client gets this many seconds to read it before the connection is cut.
_LINGER = 2.0


class Activator(TypingProtocol):
    """Whoever answers activation calls: the gateway or the lab."""

    def activate(self, call: ActivationCall) -> Deferred[ActivationAnswer]:
        """Answer one call; the Deferred may fail with an `ActivationFault`."""


class Outcome:
    """What one log line tells of a call; filled while the call goes its way."""

    __slots__ = (
        "answered_at",
        "code",
        "count",
        "detail",
        "machine",
        "product",
        "reason",
        "result",
        "started",
        "upstream",
        "version",
    )

    def __init__(self, started: float) -> None:
        self.started = started
        self.answered_at: float | None = None
        self.version = ""
        self.machine = ""
        self.product: str | None = None
        self.upstream: str | None = None
        self.result = "none"
        self.code: int | None = None
        self.count: int | None = None
        self.reason = Reason.OK
        self.detail = ""


class KmsProtocol(Protocol):
    """One client's connection."""

    transport: ITCPTransport
    factory: KmsFactory

    association: ServerAssociation

    def __init__(self, factory: KmsFactory, client: str, port: int) -> None:
        self.factory = factory
        self.client = client
        self.port = port
        self._opened = 0.0
        self._bound_at: float | None = None
        self._outcome: Outcome | None = None
        self._executing: dict[Call, Deferred[ActivationAnswer]] = {}
        self._ended: Ended | None = None
        self._timer: IDelayedCall | None = None
        self._bytes_in = 0
        self._bytes_out = 0
        self._lines = 0
        #: Where the present line began: seconds, bytes in and bytes out.
        self._line_from = (0.0, 0, 0)

    # From the transport.

    def connectionMade(self) -> None:
        """Start the clock for the client's first PDU."""
        factory = self.factory
        self._opened = factory.clock.seconds()
        self._line_from = (self._opened, 0, 0)
        self.association = ServerAssociation(factory.rpc, str(getattr(self.transport.getHost(), "port", 0)))
        factory.connections.add(self)
        if len(factory.connections) > factory.max_connections:
            self._end_by_us(Reason.SERVER_CONNECTIONS, f"{factory.max_connections} connections are open")
            self.transport.abortConnection()
            return
        self._timer = factory.clock.callLater(factory.idle_timeout, self._timed_out)

    def dataReceived(self, data: bytes) -> None:
        """Feed the association, act on its events, send what it has to send."""
        if self.has_ended():
            return
        if self._outcome is not None and self._outcome.answered_at is not None:
            self._log_line("open")
        self._bytes_in += len(data)
        association = self.association
        pending = association.buffered
        for event in association.receive_data(data):
            if type(event) is CallReceived:
                self._activate(event.call)
            elif type(event) is CallOrphaned:
                self._orphan(event.call)
            elif type(event) is Ended:
                self._end_by_us(event.reason, event.detail)
        if self._bound_at is None and association.group is not None:
            self._bound_at = self.factory.clock.seconds()
        self._flush()
        if self.has_ended():
            self._linger()
        elif association.buffered <= pending and self._timer is not None:
            # Only whole PDUs buy time: a client that feeds a byte now and then does not.
            self._timer.reset(self.factory.idle_timeout)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Forget the connection; write its line."""
        self.factory.connections.discard(self)
        self.factory.answered.discard(self)
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        self.association.connection_lost()
        if self._executing and self._outcome is not None and self._outcome.answered_at is None:
            self._outcome.reason = Reason.CLIENT_LOST
            self._outcome.detail = "the client left before its answer"
        for deferred in list(self._executing.values()):
            deferred.cancel()
        self._executing.clear()
        if self._ended is None:
            clean = reason.check(ConnectionDone) is not None
            self._ended = Ended(Reason.CLIENT_CLOSED if clean else Reason.CLIENT_LOST, "")
            self._log_line("client")
        else:
            self._log_line("server")
        self.factory.conversation_ended()

    # What we decide.

    def end(self, reason: Reason, detail: str) -> None:
        """Close the connection from our side, saying why in its log line."""
        if self._ended is None:
            self._end_by_us(reason, detail)
            self.transport.loseConnection()

    def has_ended(self) -> bool:
        """Whether we have decided to close the connection."""
        return self._ended is not None

    @property
    def busy(self) -> bool:
        """Whether a call is being executed."""
        return bool(self._executing)

    def _timed_out(self) -> None:
        if self._executing:
            # The activator has its own deadline; ours is for the client's silence.
            self._timer = self.factory.clock.callLater(self.factory.idle_timeout, self._timed_out)
            return
        self._timer = None
        self._end_by_us(Reason.CLIENT_IDLE, f"nothing for {self.factory.idle_timeout:g} s")
        self.transport.abortConnection()

    def _end_by_us(self, reason: Reason, detail: str) -> None:
        self._ended = Ended(reason, detail)

    def _linger(self) -> None:
        """Let the client read the refusal: closing with its bytes unread would reset the connection and lose it."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = self.factory.clock.callLater(_LINGER, self.transport.abortConnection)
        self.transport.loseWriteConnection()

    def _flush(self) -> None:
        data = self.association.data_to_send()
        if data:
            self._bytes_out += len(data)
            self.transport.write(data)

    # A call.

    def _activate(self, call: Call) -> None:
        now = self.factory.clock.seconds()
        if self._outcome is not None:
            self._log_line("open")
        outcome = self._outcome = Outcome(now)
        try:
            message = activation.decode_request(call.stub, ndr64=call.ndr64, little_endian=call.little_endian)
        except StubError as error:
            outcome.result = "fault"
            outcome.code = FaultStatus.BAD_STUB_DATA
            outcome.reason = Reason.RPC_BAD_STUB
            outcome.detail = str(error)
            outcome.answered_at = now
            self.association.fault(call, FaultStatus.BAD_STUB_DATA)
            return
        if len(message) >= 4:
            outcome.version = str(Version.of(message))
        deferred = self.factory.activator.activate(ActivationCall(message, self.client, self.port))
        self._executing[call] = deferred
        deferred.addCallback(self._answered, call, outcome)
        deferred.addErrback(self._failed, call, outcome)

    def _answered(self, answer: ActivationAnswer, call: Call, outcome: Outcome) -> None:
        self._executing.pop(call, None)
        outcome.answered_at = self.factory.clock.seconds()
        self.factory.answered.add(self)
        outcome.result = "activated" if answer.hresult == 0 else "refused"
        outcome.code = answer.hresult
        outcome.count = answer.count
        outcome.upstream = answer.upstream
        outcome.reason = answer.reason
        outcome.detail = answer.detail
        if answer.facts is not None:
            outcome.machine = answer.facts.machine_name
            outcome.product = answer.facts.product
        if answer.hresult == 0:
            self.factory.activations += 1
        stub = activation.encode_response(answer.hresult, answer.message, ndr64=call.ndr64)
        self.association.respond(call, stub)
        self._flush()

    def _failed(self, failure: Failure, call: Call, outcome: Outcome) -> None:
        self._executing.pop(call, None)
        outcome.answered_at = self.factory.clock.seconds()
        self.factory.answered.add(self)
        outcome.result = "fault"
        error = failure.value
        if isinstance(error, ActivationFault):
            outcome.code = error.status
            outcome.reason = error.reason
            outcome.detail = error.detail
            outcome.upstream = error.upstream
        elif self._ended is None and call in self.association.calls.values():
            DEFECT.emit(self.factory.log, detail="answering a call", traceback=failure.getTraceback())
            outcome.code = FaultStatus.CALL_FAILED
            outcome.reason = Reason.SERVER_ERROR
            outcome.detail = failure.getErrorMessage()
        else:
            # The client left and the call was cancelled; its line already says so.
            outcome.answered_at = None
            outcome.result = "none"
            return
        self.association.fault(call, outcome.code)
        self._flush()

    def _orphan(self, call: Call) -> None:
        deferred = self._executing.pop(call, None)
        if self._outcome is not None:
            self._outcome.reason = Reason.CLIENT_ORPHANED
            self._outcome.detail = "the client gave the call up"
        if deferred is not None:
            deferred.cancel()

    # The log line.

    def write_overdue_line(self, answered_before: float) -> bool:
        """Write the line of a call that was answered before this moment; whether there is none to wait for any more."""
        outcome = self._outcome
        if outcome is None or outcome.answered_at is None:
            return True
        if outcome.answered_at > answered_before:
            return False
        self._log_line("open")
        return True

    def _log_line(self, ended_by: str) -> None:
        outcome = self._outcome
        if outcome is None and self._lines:
            return
        now = self.factory.clock.seconds()
        phase = "answered"
        if outcome is None:
            outcome = self._without_call(now)
            phase = "connected" if self._bound_at is None else "bound"
        elif outcome.answered_at is None:
            phase = "call"
        elif self._ended is not None and ended_by == "server" and outcome.reason is Reason.OK:
            outcome.reason, outcome.detail = self._ended.reason, self._ended.detail
        self._outcome = None
        self._lines += 1
        started, bytes_in, bytes_out = self._line_from
        self._line_from = (now, self._bytes_in, self._bytes_out)
        if ended_by == "open" and outcome.answered_at is not None:
            now = outcome.answered_at
        CONVERSATION.emit(
            self.factory.log,
            client=self.client,
            port=self.port,
            version=outcome.version,
            machine=outcome.machine,
            product=outcome.product,
            upstream=outcome.upstream,
            result=outcome.result,
            code=None if outcome.code is None else f"0x{outcome.code & 0xFFFFFFFF:08X}",
            count=outcome.count,
            reason=str(outcome.reason),
            detail=outcome.detail,
            end=ended_by,
            phase=phase,
            bind_ms=None if self._lines > 1 or self._bound_at is None else (self._bound_at - self._opened) * 1000,
            call_ms=None if outcome.answered_at is None else (outcome.answered_at - outcome.started) * 1000,
            total_ms=(now - (started if self._lines == 1 else outcome.started)) * 1000,
            bytes_in=self._bytes_in - bytes_in,
            bytes_out=self._bytes_out - bytes_out,
        )

    def _without_call(self, now: float) -> Outcome:
        """What there is to tell of a connection that made no call."""
        outcome = Outcome(now)
        if self._ended is not None:
            outcome.reason, outcome.detail = self._ended.reason, self._ended.detail
        if outcome.reason is Reason.CLIENT_CLOSED and self._bound_at is not None and not self.association.contexts:
            outcome.reason = Reason.RPC_NO_INTERFACE
        return outcome


class KmsFactory(Factory):
    """Makes a `KmsProtocol` of each connection and holds what they share."""

    noisy = False

    def __init__(
        self,
        rpc: RpcServer,
        clock: IReactorTime,
        *,
        idle_timeout: float = 30.0,
        max_connections: int = 20000,
        log: Logger | None = None,
    ) -> None:
        """`idle_timeout` is in seconds. `activator` is set before the first connection is accepted."""
        self.rpc = rpc
        self.clock = clock
        self.idle_timeout = idle_timeout
        self.max_connections = max_connections
        self.log = log or Logger(namespace="kmstwist.server")
        self.activator: Activator
        self.connections: set[KmsProtocol] = set()
        #: Connections with an answered call whose line is not written yet.
        self.answered: set[KmsProtocol] = set()
        self.conversations = 0
        self.activations = 0
        #: Called when the last connection has ended, once the server is stopping.
        self.when_idle: Callable[[], None] | None = None
        self._line_writer = LoopingCall(self._write_overdue_lines)
        self._line_writer.clock = clock

    def startFactory(self) -> None:
        """The first port is open: begin to write the lines of calls whose connections stay."""
        self._line_writer.start(_LINE_WAITS, now=False)

    def stopFactory(self) -> None:
        """The last port is closed; connections may still be open, and write their line as they end."""
        self._line_writer.stop()

    def _write_overdue_lines(self) -> None:
        before = self.clock.seconds() - _LINE_WAITS
        self.answered = {protocol for protocol in self.answered if not protocol.write_overdue_line(before)}

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """A protocol for the client at `addr`."""
        host, port = getattr(addr, "host", "local"), getattr(addr, "port", 0)
        return KmsProtocol(self, plain_address(host), port)

    def conversation_ended(self) -> None:
        """A connection has ended."""
        self.conversations += 1
        if self.when_idle is not None and not self.connections:
            self.when_idle()


def plain_address(host: str) -> str:
    """An IP address in text, an IPv4-mapped IPv6 one as the IPv4 address it stands for."""
    if host.startswith("::ffff:"):
        mapped = ip_address(host)
        if mapped.version == 6 and mapped.ipv4_mapped is not None:
            return str(mapped.ipv4_mapped)
    return host
