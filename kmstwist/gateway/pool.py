"""A pool of connections to one KMS host, bound before they are needed.

A client's whole conversation then costs one round trip to the host, not three. A connection carries one call at a
time. The pool keeps a floor of bound connections in reserve, opens more up to a ceiling while calls wait for one, and
lets no more than a bounded number wait: past that a call fails at once, so that its client can be told to come back.
"""

from __future__ import annotations

from collections import deque

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall, IReactorTime, IStreamClientEndpoint
from twisted.python.failure import Failure

from kmstwist.reasons import Reason
from kmstwist.transport.connection import RpcConnection, call_timed_out, connect
from kmstwist.transport.errors import BindError, FaultError, LostError, UpstreamError

#: Seconds between attempts to fill the reserve of a host that could not be reached.
_REFILL_DELAY = 1.0
#: Seconds a connection beyond the floor is kept without a call.
_SURPLUS_KEPT = 30.0


class PoolBusy(UpstreamError):
    """Every connection is in use and the queue is full."""

    reason = Reason.UPSTREAM_BUSY


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
    ) -> None:
        """`floor` and `ceiling` count connections, `queue` waiting calls, `timeout` is seconds a connection attempt
        and a call may take."""
        self._endpoint = endpoint
        self._clock = clock
        self.floor = floor
        self.ceiling = ceiling
        self.queue = queue
        self.timeout = timeout
        self._idle: list[RpcConnection] = []
        self._busy: set[RpcConnection] = set()
        self._connecting: set[Deferred[RpcConnection]] = set()
        self._waiting: deque[Deferred[RpcConnection]] = deque()
        self._refill: IDelayedCall | None = None
        self._running = False

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
        if self._refill is not None:
            self._refill.cancel()
            self._refill = None
        for attempt in list(self._connecting):
            attempt.cancel()
        self._fail_waiting(LostError("the gateway is stopping", Reason.SERVER_STOPPING))
        for connection in [*self._idle, *self._busy]:
            connection.abort()

    def request(self, message: bytes) -> Deferred[tuple[int, bytes]]:
        """RequestActivation on a connection of the pool; fires with HRESULT and response, fails with `UpstreamError`.

        A connection from the reserve may have been closed by the host an instant before: such a call is made again,
        once, on another. That is safe, as the host counts a client's CMID once however often it asks.
        """
        return Deferred.fromCoroutine(self._request(message))

    async def _request(self, message: bytes) -> tuple[int, bytes]:
        connection, fresh = await self._take()
        try:
            return await self._call(connection, message)
        except LostError:
            if fresh or not self._running:
                raise
        connection = await self._open()
        return await self._call(connection, message)

    async def _call(self, connection: RpcConnection, message: bytes) -> tuple[int, bytes]:
        self._busy.add(connection)
        try:
            answer = await connection.request_activation(message).addTimeout(
                self.timeout, self._clock, onTimeoutCancel=call_timed_out
            )
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
            if not isinstance(error, UpstreamError):
                result.raiseException()
            self._not_connected(error)
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
        if not (self._busy or self._connecting):
            self._fail_waiting(error)
        elif self._waiting and len(self._waiting) > len(self._connecting) + len(self._busy):
            self._waiting.popleft().errback(error)
        self._schedule_refill()

    def _fail_waiting(self, error: UpstreamError) -> None:
        waiting, self._waiting = self._waiting, deque()
        for waiter in waiting:
            waiter.errback(error)

    def _release(self, connection: RpcConnection) -> None:
        self._busy.discard(connection)
        if not connection.alive:
            self._make_up()
            return
        if self._waiting:
            # Taken at once, so that no other call can be given it before the waiting one runs.
            self._busy.add(connection)
            self._waiting.popleft().callback(connection)
            return
        self._idle.append(connection)
        if len(self._idle) > self.floor:
            self._clock.callLater(_SURPLUS_KEPT, self._drop_surplus, connection)

    def _make_up(self) -> None:
        """A connection is gone: open another if calls wait for one, or the reserve needs it."""
        if not self._running:
            return
        if len(self._connecting) < len(self._waiting) and self.connections < self.ceiling:
            self._connect()
        self._schedule_refill()

    def _drop_surplus(self, connection: RpcConnection) -> None:
        if len(self._idle) > self.floor and connection in self._idle:
            self._idle.remove(connection)
            connection.close()

    def _lost(self, connection: RpcConnection) -> None:
        if connection in self._idle:
            self._idle.remove(connection)
            self._make_up()

    def _fill(self) -> None:
        self._refill = None
        while self._running and self.connections < self.floor:
            self._connect()

    def _schedule_refill(self) -> None:
        if self._running and self._refill is None and self.connections < self.floor:
            self._refill = self._clock.callLater(_REFILL_DELAY, self._fill)
