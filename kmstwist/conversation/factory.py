"""What all clients' connections share: the RPC server, the activator, admission, timeouts, the log and the counters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from typing import Protocol as TypingProtocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import Factory
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from kmstwist.admission.admission import Admission
from kmstwist.conversation.protocol import KmsProtocol, plain_address
from kmstwist.conversation.proxy import BalancedConnection, BalancedFactory
from kmstwist.conversation.recording import Recorder
from kmstwist.conversation.settings import TimeoutSettings
from kmstwist.kms.activation import ActivationAnswer, ActivationCall
from kmstwist.rpc import RpcServer
from kmstwist.telemetry.counters import Telemetry

#: Seconds that an answered call's log line waits for the connection's end.
_LINE_WAITS = 1.0


class Activator(TypingProtocol):
    """Whoever answers activation calls: the gateway or the lab."""

    def activate(self, call: ActivationCall) -> Deferred[ActivationAnswer]:
        """Answer one call; the Deferred may fail with an `ActivationFault`."""


class KmsFactory(Factory):
    """Makes a `KmsProtocol` of each connection and holds what they share."""

    noisy = False

    def __init__(
        self,
        rpc: RpcServer,
        clock: IReactorTime,
        admission: Admission,
        *,
        timeouts: TimeoutSettings | None = None,
        recorder: Recorder | None = None,
        log: Logger | None = None,
    ) -> None:
        """`activator` is set before the first connection is accepted."""
        self.rpc = rpc
        self.clock = clock
        self.admission = admission
        self.timeouts = timeouts or TimeoutSettings()
        self.log = log or Logger(namespace="kmstwist.server")
        self.activator: Activator
        self.recorder = recorder or Recorder(None)
        self.connections: set[KmsProtocol] = set()
        self._wrapping = BalancedFactory(self)
        #: Connections with an answered call whose line is not written yet.
        self.answered: set[KmsProtocol] = set()
        self.telemetry = Telemetry()
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
        """A protocol for the client at `addr`, wrapped where that is a load balancer."""
        peer, port = plain_address(getattr(addr, "host", "local")), getattr(addr, "port", 0)
        if self.admission.is_balancer(peer):
            return BalancedConnection(self._wrapping, KmsProtocol(self, peer, port, peer))
        return KmsProtocol(self, peer, port, None)

    def conversation_ended(self) -> None:
        """A connection has ended."""
        self.conversations += 1
        if self.when_idle is not None and not self.connections:
            self.when_idle()
