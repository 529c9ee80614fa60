"""What all conversations of a server share: RPC, admission, the activator, deadlines, the log, the counters."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from kmstwist.admission.admission import Admission
from kmstwist.audit.records import Recorder
from kmstwist.conversation.calls import Activator
from kmstwist.conversation.lines import LineWriter
from kmstwist.conversation.settings import TimeoutSettings
from kmstwist.conversation.throttling import SlowLane
from kmstwist.kms.reach import Reach, Role
from kmstwist.pacing.deadlines import Deadlines
from kmstwist.rpc import RpcServer
from kmstwist.telemetry.counters import Counters
from kmstwist.transport.sending import ClientTransport

#: How many seconds a client has to read a refusal before the connection is closed.
_LINGER: Final = 2.0


class Timed(Hashable, Protocol):
    """A conversation, as far as its deadlines know it."""

    @property
    def counted(self) -> bool:
        """Whether admission counts the connection, so that another can have its place."""

    def late(self, seconds: float) -> None:
        """The deadline that was started last has passed."""

    def total_over(self, seconds: float) -> None:
        """The deadline of the whole connection has passed."""

    def make_room(self, detail: str) -> None:
        """Give the place to a client that has just come."""


class Times:
    """The deadlines of a client's connection, one queue for each."""

    def __init__(self, clock: IReactorTime, timeouts: TimeoutSettings) -> None:
        def queue(seconds: float) -> Deadlines[Timed]:
            return Deadlines(clock, seconds, lambda conversation: conversation.late(seconds))

        #: From the connection to the first byte.
        self.first_byte = queue(timeouts.first_byte)
        #: From a first byte to the whole request.
        self.request = queue(timeouts.request)
        #: From an answer to the next byte.
        self.idle = queue(timeouts.idle)
        #: For the client to read a refusal.
        self.linger = queue(_LINGER)
        #: One turn of the loop.
        self.moment = queue(0.0)
        #: For the whole connection.
        self.total: Deadlines[Timed] = Deadlines(
            clock, timeouts.total, lambda conversation: conversation.total_over(timeouts.total)
        )

    def longest_waited(self, newcomer: Timed) -> Timed | None:
        """The counted conversation that can best be spared for the newcomer; None where all have calls under way.

        Those that have sent nothing come first, then those that have their answer, then those whose request is not
        whole; of each the one that has had most time.
        """
        waiting = itertools.chain(self.first_byte, self.idle, self.request)
        return next((one for one in waiting if one.counted and one is not newcomer), None)


class Conversations:
    """All conversations of a server, and what they share. Set `activator` before a connection is accepted."""

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
        self.rpc = rpc
        self.clock = clock
        self.admission = admission
        self.timeouts = timeouts or TimeoutSettings()
        self.log = log or Logger(namespace="kmstwist.server")
        self.activator: Activator
        #: Asks the KMS hosts behind the gateway whether they answer; a lab is its own host.
        self.reach: Callable[[], Deferred[Reach]] = lambda: succeed(Reach(Role.LAB))
        self.recorder = recorder or Recorder(None)
        self.counters = Counters()
        self.lines = LineWriter(self.log, self.counters, clock)
        self.connections: set[Any] = set()
        #: Whether each transition of a new connection's machines is logged.
        self.tracing = False
        #: The connections that send much and ask nothing.
        self.slow_lane = SlowLane(clock)
        #: The listening port of the last client, and its number as text.
        self._port: tuple[Any, str] = None, ""
        self.conversations = 0
        self.activations = 0
        #: Called when the last connection has ended, once the server is stopping.
        self.when_idle: Callable[[], None] | None = None

    @property
    def timeouts(self) -> TimeoutSettings:
        """How long clients may take; a new value applies to the deadlines that start after it is set."""
        return self._timeouts

    @timeouts.setter
    def timeouts(self, timeouts: TimeoutSettings) -> None:
        self._timeouts = timeouts
        self.times = Times(self.clock, timeouts)

    def port_of(self, transport: ClientTransport) -> str:
        """The port that a client connected to, as text. The system is asked only if the port has changed."""
        listening = getattr(transport, "server", None)
        last, port = self._port
        if listening is None or listening is not last:
            port = str(getattr(transport.getHost(), "port", 0))
            self._port = listening, port
        return port
