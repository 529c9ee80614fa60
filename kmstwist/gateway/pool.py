"""A pool of connections to one KMS host, bound before they are needed.

A client's whole conversation then costs one round trip to the host instead of three. A connection carries one call at a
time. The pool keeps at least `floor` bound connections, opens more, up to `ceiling`, while calls wait for one, and lets
at most `queue` calls wait: beyond that a call fails at once, so that its client can be told to come back.

This file has the way of a call; `connections` has the connections themselves. Most calls take a connection from the
reserve, and its answer comes back by plain calls: a Deferred for each would cost as much as all else that the pool
does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol, cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.python.failure import Failure

from kmstwist.gateway.connections import PoolBusy, PoolConnections, PoolState
from kmstwist.pacing.deadlines import Deadlines
from kmstwist.transport.connection import RpcConnection, no_answer
from kmstwist.transport.errors import FaultError, LostError, UpstreamError

#: Lengths of time that have a queue of their own for good: a call's first host has one of few.
_LENGTHS: Final = 8


class Requester(Protocol):
    """Whom the pool tells what became of a request: one of the two, once."""

    def host_answered(self, hresult: int, message: bytes) -> None:
        """The host answered, with an HRESULT and a response (empty unless the HRESULT is 0)."""

    def host_failed(self, error: Exception) -> None:
        """It did not, or answered with a fault; an `UpstreamError` unless the program is wrong."""


class Attempt:
    """A request on its way. Its connection tells it of the answer, and it tells the requester."""

    __slots__ = (
        "_connection",
        "_from_reserve",
        "_message",
        "_pool",
        "_timeout",
        "_waiting",
        "deadline",
        "requester",
    )

    def __init__(self, pool: AssociationPool, message: bytes, timeout: float, requester: Requester) -> None:
        self._pool = pool
        self._message = message
        self._timeout = timeout
        #: Whom to tell; None once it has been told, or has given the request up.
        self.requester: Requester | None = requester
        #: The connection on which the host has been asked: any later failure is the host's.
        self._connection: RpcConnection | None = None
        #: Whether that is from the reserve.
        self._from_reserve = False
        #: What it waits for while it has no connection.
        self._waiting: Deferred[RpcConnection] | None = None
        #: Where its deadline stands, while it has one.
        self.deadline: Deadlines[Attempt] | None = None

    def ask(self, connection: RpcConnection) -> None:
        """Ask on a connection of the reserve."""
        self._from_reserve = True
        self._ask(connection)

    def wait(self) -> None:
        """Ask on a connection that is opened for it, or that another call gives back in the meantime."""
        waiting = self._waiting = self._pool.open_for_call()
        waiting.addCallbacks(self._ask, self._not_connected)

    def give_up(self) -> None:
        """Nobody waits for the answer any more. The host may still give it, so its connection is dropped."""
        self._end()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()
            self._pool.release(connection)
        elif self._waiting is not None:
            self._waiting.cancel()

    def expire(self) -> None:
        """The request's time is over."""
        pool = self._pool
        error: UpstreamError = no_answer(self._timeout)
        if self._connection is None and pool.busy >= pool.ceiling:
            # The host may be healthy: all its connections carry calls, and this call did not get its turn.
            error = PoolBusy(f"no connection became free within {self._timeout:g} s")
        # If the call got no connection, the attempt to connect has reported that.
        told, is_hosts = self.requester, self._connection is not None
        self.give_up()
        if is_hosts:
            pool.tell_failed(error)
        if told is not None:
            told.host_failed(error)

    # Called by the connection.

    def answered(self, hresult: int, message: bytes) -> None:
        """The host answered."""
        requester, connection = self.requester, self._connection
        if requester is None or connection is None:
            return
        self.requester = self._connection = None
        if self.deadline is not None:
            self.deadline.pop(self, None)
        self._pool.give_back(connection)
        requester.host_answered(hresult, message)

    def failed(self, error: Exception) -> None:
        """The connection ended, or the host answered with a fault."""
        connection, self._connection = self._connection, None
        if self.requester is None or connection is None:
            return
        if not isinstance(error, FaultError):
            connection.abort()
        pool = self._pool
        pool.release(connection)
        if self._from_reserve and isinstance(error, LostError) and pool.state is not PoolState.STOPPED:
            # The call lost its connection from the reserve: make it again on a new one.
            self._from_reserve = False
            self.wait()
            return
        # A fault is an answer.
        if isinstance(error, UpstreamError) and not isinstance(error, FaultError):
            pool.tell_failed(error)
        self._over(error)

    def _over(self, error: Exception) -> None:
        requester = self._end()
        if requester is not None:
            requester.host_failed(error)

    def _end(self) -> Requester | None:
        """Lift the deadline. Returns whom to tell, once."""
        requester, self.requester = self.requester, None
        if self.deadline is not None:
            self.deadline.pop(self, None)
        return requester

    def _ask(self, connection: RpcConnection) -> None:
        self._waiting = None
        self._connection = connection
        self._pool.carrying.add(connection)
        connection.ask(self._message, self)

    def _not_connected(self, failure: Failure) -> None:
        self._waiting = None
        if self.requester is not None or not failure.check(CancelledError):
            self._over(cast(Exception, failure.value))


class AssociationPool(PoolConnections):
    """Bound connections to one host. Its users need only `request`."""

    __slots__ = ("_deadlines",)

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
        """See `PoolConnections`."""
        super().__init__(
            endpoint, clock, floor=floor, ceiling=ceiling, queue=queue, timeout=timeout, when_failed=when_failed
        )
        #: Requests under way, by how many seconds they have.
        self._deadlines: dict[float, Deadlines[Attempt]] = {}

    def stop(self) -> None:
        """Close everything; calls that wait or are under way fail."""
        super().stop()
        for deadlines in self._deadlines.values():
            deadlines.stop()

    def request(self, message: bytes, timeout: float, requester: Requester) -> Attempt | None:
        """RequestActivation on a connection of the pool within `timeout` seconds, including the wait for a connection.

        Returns the attempt, which can be given up, or None if the requester has been told already.

        The host may close a connection of the reserve just before the call: the call is then made once more, on another
        connection. That is safe, since a host counts a client's CMID once, however often the client asks.
        """
        attempt = Attempt(self, message, timeout, requester)
        idle = self._idle
        while idle:
            connection = idle.pop()
            if len(idle) < self._least_idle:
                self._least_idle = len(idle)
            if connection.alive:
                attempt.ask(connection)
                break
        else:
            attempt.wait()
        if attempt.requester is None:
            return None
        deadlines = self._deadlines.get(timeout)
        if deadlines is None:
            deadlines = self._deadlines_of(timeout)
        # As `set`, without the call of it.
        deadlines[attempt] = self._clock.seconds() + timeout
        if deadlines.timer is None:
            deadlines.start()
        attempt.deadline = deadlines
        return attempt

    def _deadlines_of(self, seconds: float) -> Deadlines[Attempt]:
        """A queue of requests that have this many seconds. Of a length that few requests have, it is not kept."""
        deadlines = Deadlines(self._clock, seconds, Attempt.expire)
        if len(self._deadlines) < _LENGTHS:
            self._deadlines[seconds] = deadlines
        return deadlines

    def give_back(self, connection: RpcConnection) -> None:
        """As `release`, for a connection that has carried a call well: nearly all go back to the reserve."""
        if (
            connection.alive
            and not self._waiting
            and self.state is PoolState.RUNNING
            and (self._sweep is not None or len(self._idle) < self.floor)
        ):
            self.carrying.discard(connection)
            self._idle.append(connection)
        else:
            self.release(connection)
