"""A pool of connections to one KMS host, bound before they are needed.

A client's whole conversation then costs one round trip to the host, not three. A connection carries one call at a
time. The pool keeps a floor of bound connections in reserve, opens more up to a ceiling while calls wait for one, and
lets no more than a bounded number wait: past that a call fails at once, so that its client can be told to come back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.interfaces import IDelayedCall, IReactorTime, IStreamClientEndpoint
from twisted.python.failure import Failure

from kmstwist.reasons import Reason
from kmstwist.transport.connection import RpcConnection, call_timed_out, connect
from kmstwist.transport.errors import BindError, FaultError, LostError, UpstreamError

#: Seconds between attempts to fill the reserve of a host that could not be reached.
_REFILL_DELAY = 1.0
#: Seconds that connections beyond the floor are kept while nobody needs them.
_SURPLUS_KEPT = 30.0


class PoolBusy(UpstreamError):
    """Every connection is in use and the queue is full."""

    reason = Reason.UPSTREAM_BUSY


class _Attempt:
    """How far a request came."""

    __slots__ = ("asked",)

    def __init__(self) -> None:
        self.asked = False


class AssociationPool:
    """Bound connections to one host. `request` is all its users need."""

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
        """`floor` and `ceiling` count connections, `queue` waiting calls, `timeout` is seconds a connection attempt may
        take.

        `when_failed` is told of what the host failed at: each attempt to connect, once, however many calls fail for
        it, and each call that was made. That a call's turn did not come is not the host's failure.
        """
        self._endpoint = endpoint
        self._clock = clock
        self.floor = floor
        self.ceiling = ceiling
        self.queue = queue
        self.timeout = timeout
        self._when_failed = when_failed
        self._idle: list[RpcConnection] = []
        self._busy: set[RpcConnection] = set()
        self._connecting: set[Deferred[RpcConnection]] = set()
        self._waiting: deque[Deferred[RpcConnection]] = deque()
        self._timers: set[IDelayedCall] = set()
        self._refilling = False
        self._sweeping = False
        self._least_idle = 0
        self._running = False
        self._reserving = True
        self._retired: Deferred[None] | None = None

    @property
    def idle(self) -> int:
        """Connections in reserve."""
        return len(self._idle)

    @property
    def busy(self) -> int:
        """Connections that carry a call."""
        return len(self._busy)

    @property
    def waiting(self) -> int:
        """Calls that wait for a connection."""
        return len(self._waiting)

    @property
    def connections(self) -> int:
        """All connections, those being opened included."""
        return len(self._idle) + len(self._busy) + len(self._connecting)

    def start(self) -> None:
        """Open the floor's connections."""
        self._running = True
        self._fill()

    def stop(self) -> None:
        """Close everything; calls that wait or are under way fail."""
        self._running = False
        for timer in self._timers:
            if timer.active():
                timer.cancel()
        self._timers.clear()
        for attempt in list(self._connecting):
            attempt.cancel()
        self._fail_waiting(LostError("the gateway is stopping", Reason.SERVER_STOPPING))
        for connection in [*self._idle, *self._busy]:
            connection.abort()
        self._idle.clear()

    def hold(self) -> None:
        """Keep no reserve for now; calls under way go on, and a new one opens a connection of its own."""
        self._reserving = False
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def resume(self) -> None:
        """Keep the reserve again."""
        self._reserving = True
        if self._running:
            self._fill()

    def retire(self) -> Deferred[None]:
        """Stop once no call waits or is under way; fires then."""
        self.hold()
        self._retired = Deferred()
        retired = self._retired
        self._check_retired()
        return retired

    def request(self, message: bytes, timeout: float) -> Deferred[tuple[int, bytes]]:
        """RequestActivation on a connection of the pool within `timeout` seconds, waiting for a connection included.

        Fires with HRESULT and response, fails with `UpstreamError`. Cancelling it gives the call up.

        A connection from the reserve may have been closed by the host an instant before: such a call is made again,
        once, on another. That is safe, as the host counts a client's CMID once however often it asks.
        """
        attempt = _Attempt()
        answer = Deferred.fromCoroutine(self._request(message, attempt))

        def timed_out(result: object, seconds: float) -> Any:
            if attempt.asked or self.busy < self.ceiling:
                return call_timed_out(result, seconds)
            # The host may be well: all of its connections carry calls, and this one's turn did not come.
            raise PoolBusy(f"no connection became free within {seconds:g} s")

        def failed(failure: Failure) -> Failure:
            error = failure.value
            # Why a call got no connection, the attempt to connect has told. A fault is an answer.
            if attempt.asked and isinstance(error, UpstreamError) and not isinstance(error, FaultError):
                self._tell_failed(error)
            return failure

        return answer.addTimeout(timeout, self._clock, onTimeoutCancel=timed_out).addErrback(failed)

    async def _request(self, message: bytes, attempt: _Attempt) -> tuple[int, bytes]:
        connection, fresh = await self._take()
        attempt.asked = True
        try:
            return await self._call(connection, message)
        except LostError:
            if fresh or not self._running:
                raise
        attempt.asked = False
        connection = await self._open()
        attempt.asked = True
        return await self._call(connection, message)

    async def _call(self, connection: RpcConnection, message: bytes) -> tuple[int, bytes]:
        self._busy.add(connection)
        try:
            answer = await connection.request_activation(message)
        except FaultError:
            self._release(connection)
            raise
        except BaseException:
            connection.abort()
            self._release(connection)
            raise
        self._release(connection)
        return answer

    async def _take(self) -> tuple[RpcConnection, bool]:
        """A connection, and whether it was opened just now."""
        while self._idle:
            connection = self._idle.pop()
            self._least_idle = min(self._least_idle, len(self._idle))
            if connection.alive:
                return connection, False
        return await self._open(), True

    def _open(self) -> Deferred[RpcConnection]:
        """A connection opened for this call, or given back by another in the meantime."""
        if len(self._waiting) >= self.queue:
            return fail(PoolBusy(f"{self.connections} connections in use and {self.queue} calls waiting"))
        waiter: Deferred[RpcConnection] = Deferred(self._waiting.remove)
        self._waiting.append(waiter)
        if len(self._connecting) < len(self._waiting) and self.connections < self.ceiling:
            self._connect()
        return waiter

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
        elif not self._running:
            result.abort()
        elif result.association.contexts:
            result.when_lost = self._lost
            self._release(result)
        else:
            result.close()
            self._not_connected(BindError("the host does not have the KMS interface"))

    def _not_connected(self, error: UpstreamError) -> None:
        """A host that is not to be had fails the calls that wait for it now, not one by one as they time out."""
        if not self._running:
            return
        if not (self._busy or self._connecting):
            self._fail_waiting(error)
        elif self._waiting and len(self._waiting) > len(self._connecting) + len(self._busy):
            self._waiting.popleft().errback(error)
        self._tell_failed(error)
        self._schedule_refill()

    def _tell_failed(self, error: UpstreamError) -> None:
        # What ends because the pool stops is not the host's doing.
        if self._running and self._when_failed is not None:
            self._when_failed(error)

    def _fail_waiting(self, error: UpstreamError) -> None:
        waiting, self._waiting = self._waiting, deque()
        for waiter in waiting:
            waiter.errback(error)
        self._check_retired()

    def _release(self, connection: RpcConnection) -> None:
        self._busy.discard(connection)
        if not connection.alive:
            self._make_up()
        elif self._waiting:
            # Taken at once, so that no other call can be given it before the waiting one runs.
            self._busy.add(connection)
            self._waiting.popleft().callback(connection)
        elif not self._reserving:
            connection.close()
        else:
            self._idle.append(connection)
            if len(self._idle) > self.floor and not self._sweeping:
                self._sweeping = True
                self._least_idle = len(self._idle)
                self._later(_SURPLUS_KEPT, self._sweep)
        self._check_retired()

    def _check_retired(self) -> None:
        if self._retired is not None and not (self._busy or self._waiting):
            retired, self._retired = self._retired, None
            self.stop()
            retired.callback(None)

    def _make_up(self) -> None:
        """A connection is gone: open another if calls wait for one, or the reserve needs it."""
        if not self._running:
            return
        if len(self._connecting) < len(self._waiting) and self.connections < self.ceiling:
            self._connect()
        self._schedule_refill()

    def _sweep(self) -> None:
        """Close what nobody needed since the surplus began. The reserve is a stack: its bottom is used least."""
        self._sweeping = False
        surplus = max(0, min(self._least_idle, len(self._idle)) - self.floor)
        for connection in self._idle[:surplus]:
            connection.close()
        del self._idle[:surplus]
        if len(self._idle) > self.floor:
            self._sweeping = True
            self._least_idle = len(self._idle)
            self._later(_SURPLUS_KEPT, self._sweep)

    def _lost(self, connection: RpcConnection) -> None:
        if connection in self._idle:
            self._idle.remove(connection)
            self._make_up()

    def _fill(self) -> None:
        self._refilling = False
        if self._running and self._reserving:
            for _ in range(self.floor - self.connections):
                self._connect()

    def _schedule_refill(self) -> None:
        if self._running and self._reserving and not self._refilling and self.connections < self.floor:
            self._refilling = True
            self._later(_REFILL_DELAY, self._fill)

    def _later(self, seconds: float, happen: Callable[[], None]) -> None:
        """Like callLater, and forgotten when the pool stops."""

        def run() -> None:
            self._timers.discard(timer)
            happen()

        timer = self._clock.callLater(seconds, run)
        self._timers.add(timer)
