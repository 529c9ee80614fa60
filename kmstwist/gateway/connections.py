"""A pool's connections to one KMS host: those in reserve, those that carry calls, those that are being opened.

A machine, `POOL` at the end of this file, manages them: it is stopped, running, held while the host is down or drained,
or retiring when the host is no longer wanted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import StrEnum
from typing import Final

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.interfaces import IDelayedCall, IReactorTime, IStreamClientEndpoint
from twisted.python.failure import Failure

from kmstwist.reasons import Reason
from kmstwist.statemachine import ANY, SAME, Machine, Table
from kmstwist.transport.connection import RpcConnection, connect
from kmstwist.transport.errors import BindError, ConnectError, LostError, NoRoomError, UpstreamError

#: Seconds between attempts to fill the reserve of a host that could not be reached.
_REFILL_DELAY: Final = 1.0
#: Seconds for which connections beyond the floor are kept while no call needs them.
_SURPLUS_KEPT: Final = 30.0


class PoolBusy(UpstreamError):
    """Every connection is in use and the queue is full."""

    reason = Reason.UPSTREAM_BUSY


class PoolState(StrEnum):
    """Whether the pool keeps a reserve, and whether it takes calls."""

    #: Not started yet, or stopped: no connection.
    STOPPED = "stopped"
    #: The reserve is kept.
    RUNNING = "running"
    #: No reserve is kept; a call opens a connection of its own.
    HELD = "held"
    #: As `HELD`, but it stops when no call waits or is under way.
    RETIRING = "retiring"


class PoolInput(StrEnum):
    """What can happen to a pool."""

    START = "start"
    START_HELD = "start held"
    HOLD = "hold"
    RESUME = "resume"
    RETIRE = "retire"
    IDLE = "idle"
    STOP = "stop"


class PoolConnections(Machine[PoolState, PoolInput]):
    """The connections to one host: those in reserve, those that carry calls, and those that are being opened."""

    __slots__ = (
        "_clock",
        "_connecting",
        "_endpoint",
        "_idle",
        "_least_idle",
        "_refill",
        "_retired",
        "_sweep",
        "_waiting",
        "_when_failed",
        "carrying",
        "ceiling",
        "floor",
        "queue",
        "timeout",
    )

    def __init__(
        self,
        endpoint: IStreamClientEndpoint,
        clock: IReactorTime,
        *,
        floor: int = 2,
        ceiling: int = 64,
        queue: int = 2048,
        timeout: float = 5.0,
        when_failed: Callable[[UpstreamError], None] | None = None,
    ) -> None:
        """`floor` and `ceiling` are numbers of connections, `queue` is the most waiting calls, and `timeout` is how
        many seconds a connection attempt may take.

        `when_failed` is called for each failure of the host: once for a failed attempt to connect, however many calls
        fail because of it, and once for each failed call. A call that did not get its turn is not the host's failure.
        """
        super().__init__(POOL)
        self._endpoint = endpoint
        self._clock = clock
        self.floor = floor
        self.ceiling = ceiling
        self.queue = queue
        self.timeout = timeout
        self._when_failed = when_failed
        self._idle: list[RpcConnection] = []
        self.carrying: set[RpcConnection] = set()
        self._connecting: set[Deferred[RpcConnection]] = set()
        self._waiting: deque[Deferred[RpcConnection]] = deque()
        self._refill: IDelayedCall | None = None
        self._sweep: IDelayedCall | None = None
        self._least_idle = 0
        self._retired: Deferred[None] = Deferred()

    @property
    def idle(self) -> int:
        """Connections in reserve."""
        return len(self._idle)

    @property
    def busy(self) -> int:
        """Connections that carry a call."""
        return len(self.carrying)

    @property
    def waiting(self) -> int:
        """Calls that wait for a connection."""
        return len(self._waiting)

    @property
    def connections(self) -> int:
        """All connections, including those being opened."""
        return len(self._idle) + len(self.carrying) + len(self._connecting)

    def start(self, *, held: bool = False) -> None:
        """Open `floor` connections; if `held`, none until `resume`."""
        self.step(PoolInput.START_HELD if held else PoolInput.START)

    def stop(self) -> None:
        """Close everything; calls that wait or are under way fail."""
        self.step(PoolInput.STOP)

    def hold(self) -> None:
        """Keep no reserve for now; calls under way go on, and a new call opens its own connection."""
        self.step(PoolInput.HOLD)

    def resume(self) -> None:
        """Keep the reserve again."""
        self.step(PoolInput.RESUME)

    def retire(self) -> Deferred[None]:
        """Stop once no call waits or is under way; the Deferred fires then."""
        self.step(PoolInput.RETIRE)
        return self._retired

    # Called for calls.

    def open_for_call(self) -> Deferred[RpcConnection]:
        """A connection opened for this call, or one that another call gives back in the meantime."""
        if self.state is PoolState.STOPPED:
            # The call was on its way when the host was taken out, or when the gateway stopped.
            return fail(ConnectError("it is no longer asked", Reason.UPSTREAM_NONE))
        if len(self._waiting) >= self.queue:
            return fail(PoolBusy(f"{self.connections} connections in use and {self.queue} calls waiting"))
        waiter: Deferred[RpcConnection] = Deferred(self._waiting.remove)
        self._waiting.append(waiter)
        self._connect_for_waiting()
        return waiter

    def _connect_for_waiting(self) -> None:
        if len(self._connecting) < len(self._waiting) and self.connections < self.ceiling:
            self._connect()

    def _connect(self) -> None:
        attempt = connect(self._clock, self._endpoint, self.timeout)
        self._connecting.add(attempt)
        attempt.addBoth(self._attempted, attempt)

    def _attempted(self, result: RpcConnection | Failure, attempt: Deferred[RpcConnection]) -> None:
        self._connecting.discard(attempt)
        if isinstance(result, Failure):
            error = result.value
            if isinstance(error, UpstreamError):
                self._not_connected(error)
            elif not isinstance(error, CancelledError):
                result.raiseException()
        elif self.state is PoolState.STOPPED:
            result.abort()
        elif result.association.contexts:
            result.when_lost = self._lost
            self.release(result)
        else:
            result.close()
            self._not_connected(BindError("the host does not have the KMS interface"))

    def _not_connected(self, error: UpstreamError) -> None:
        """Fail all waiting calls at once if the host cannot be reached, so that they need not time out one by one."""
        if self.state is PoolState.STOPPED:
            return
        if isinstance(error, NoRoomError) and (self.carrying or self._idle):
            # There are connections, so the host is healthy: the waiting calls get one of them.
            self._schedule_refill()
            return
        if not (self.carrying or self._connecting):
            self.fail_waiting(error)
        elif self._waiting and len(self._waiting) > len(self._connecting) + len(self.carrying):
            self._waiting.popleft().errback(error)
        self.tell_failed(error)
        self._schedule_refill()

    def tell_failed(self, error: UpstreamError) -> None:
        """Report a failure of the host."""
        # A connection that ends because the pool stops is not the host's failure.
        if self.state is not PoolState.STOPPED and self._when_failed is not None:
            self._when_failed(error)

    def fail_waiting(self, error: UpstreamError) -> None:
        """Fail the calls that wait for a connection."""
        waiting, self._waiting = self._waiting, deque()
        for waiter in waiting:
            waiter.errback(error)
        self.retire_if_idle()

    def release(self, connection: RpcConnection) -> None:
        """Give back a connection after its call: the next waiting call gets it, or the reserve."""
        self.carrying.discard(connection)
        if not connection.alive:
            self._make_up()
        elif self._waiting:
            # Taken at once, so that no other call can get it before the waiting one runs.
            self.carrying.add(connection)
            self._waiting.popleft().callback(connection)
        elif self.state is PoolState.RUNNING:
            self._idle.append(connection)
            if len(self._idle) > self.floor and self._sweep is None:
                self._watch_surplus()
        else:
            connection.close()
            self.retire_if_idle()

    def retire_if_idle(self) -> None:
        """Stop if the pool is retiring and no call waits or is under way."""
        if self.state is PoolState.RETIRING and not (self.carrying or self._waiting):
            self.step(PoolInput.IDLE)

    def _make_up(self) -> None:
        """After the loss of a connection, open another if a call or the reserve needs it."""
        if self.state is not PoolState.STOPPED:
            self._connect_for_waiting()
            self._schedule_refill()
            self.retire_if_idle()

    def _watch_surplus(self) -> None:
        self._least_idle = len(self._idle)
        self._sweep = self._clock.callLater(_SURPLUS_KEPT, self._close_surplus)

    def _close_surplus(self) -> None:
        """Close the connections that no call has needed since the surplus began: the bottom of the reserve's stack."""
        self._sweep = None
        surplus = max(0, min(self._least_idle, len(self._idle)) - self.floor)
        for connection in self._idle[:surplus]:
            connection.close()
        del self._idle[:surplus]
        if len(self._idle) > self.floor:
            self._watch_surplus()

    def _lost(self, connection: RpcConnection) -> None:
        if connection in self._idle:
            self._idle.remove(connection)
            self._make_up()

    def _schedule_refill(self) -> None:
        if self.state is PoolState.RUNNING and self._refill is None and self.connections < self.floor:
            self._refill = self._clock.callLater(_REFILL_DELAY, self.fill)

    def fill(self) -> None:
        """Open the connections that the reserve lacks."""
        self._refill = None
        if self.state is PoolState.RUNNING:
            for _ in range(self.floor - self.connections):
                self._connect()

    def close_reserve(self) -> None:
        """Close the connections that carry no call."""
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def close_all(self) -> None:
        """Close every connection, and stop every timer."""
        for timer in (self._refill, self._sweep):
            if timer is not None and timer.active():
                timer.cancel()
        self._refill = self._sweep = None
        for attempt in list(self._connecting):
            attempt.cancel()
        self.fail_waiting(LostError("the gateway is stopping", Reason.SERVER_STOPPING))
        for connection in [*self._idle, *self.carrying]:
            connection.abort()
        self._idle.clear()

    def begin_retiring(self) -> None:
        """Close the connections without a call, and stop now if there is no call."""
        self.close_reserve()
        self.retire_if_idle()

    def end_retiring(self) -> None:
        """Close everything, and tell the caller of `retire`."""
        self.close_all()
        self._retired.callback(None)


#: What can happen to a pool, and what each thing means.
INPUTS: Final = {
    PoolInput.START: "Calls will come.",
    PoolInput.START_HELD: "Calls may come, but none is expected: the host is drained.",
    PoolInput.HOLD: "The host is down, or is drained.",
    PoolInput.RESUME: "The host is back.",
    PoolInput.RETIRE: "The host is no longer wanted.",
    PoolInput.IDLE: "No call waits or is under way any more.",
    PoolInput.STOP: "The gateway stops.",
}

_S, _I = PoolState, PoolInput
#: This table is what the pool does about its reserve.
POOL: Final[Table[PoolState, PoolInput]] = Table(
    "pool",
    INPUTS,
    [
        # state, input, next state, what is done
        (_S.STOPPED, _I.START, _S.RUNNING, PoolConnections.fill),
        (_S.STOPPED, _I.START_HELD, _S.HELD, None),
        (_S.STOPPED, _I.RETIRE, SAME, PoolConnections.end_retiring),
        (_S.STOPPED, ANY, SAME, None),
        (_S.RUNNING, _I.HOLD, _S.HELD, PoolConnections.close_reserve),
        (_S.HELD, _I.RESUME, _S.RUNNING, PoolConnections.fill),
        (_S.RETIRING, _I.RETIRE, SAME, None),
        (_S.RETIRING, _I.IDLE, _S.STOPPED, PoolConnections.end_retiring),
        (_S.RETIRING, _I.STOP, _S.STOPPED, PoolConnections.end_retiring),
        (_S.RETIRING, ANY, SAME, None),
        (ANY, _I.RETIRE, _S.RETIRING, PoolConnections.begin_retiring),
        (ANY, _I.STOP, _S.STOPPED, PoolConnections.close_all),
        (ANY, ANY, SAME, None),
    ],
)
