"""A pool of connections to one KMS host, bound before they are needed.

A client's whole conversation then costs one round trip to the host instead of three. A connection carries one call at a
time. The pool keeps at least `floor` bound connections, opens more, up to `ceiling`, while calls wait for one, and lets
at most `queue` calls wait: beyond that a call fails at once, so that its client can be told to come back.

This file has the way of a call; `reserve` has the connections. Most calls take a connection from the reserve, and one
Deferred leads from there to the caller.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.python.failure import Failure

from kmstwist.gateway.reserve import PoolBusy, PoolState, Reserve
from kmstwist.pacing.deadlines import Deadlines
from kmstwist.transport.connection import RpcConnection, no_answer
from kmstwist.transport.errors import FaultError, LostError, UpstreamError

#: Lengths of time that have a queue of their own for good: a call's first host has one of few.
_LENGTHS: Final = 8


class _Attempt:
    """How far a request has got."""

    __slots__ = ("answer", "asked", "deadline", "from_reserve", "late", "message", "timeout")

    def __init__(self, message: bytes, timeout: float) -> None:
        self.message = message
        self.timeout = timeout
        #: Whether it uses a connection from the reserve.
        self.from_reserve = False
        #: Whether the host has been asked: any later failure is the host's.
        self.asked = False
        #: Whether the request's time is over.
        self.late = False
        #: Where its deadline stands, while it has one.
        self.deadline: Deadlines[_Attempt] | None = None
        self.answer: Deferred[tuple[int, bytes]]

    def expire(self) -> None:
        """The request's time is over."""
        self.late = True
        self.answer.cancel()


class AssociationPool(Reserve):
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
        """See `Reserve`."""
        super().__init__(
            endpoint, clock, floor=floor, ceiling=ceiling, queue=queue, timeout=timeout, when_failed=when_failed
        )
        #: Requests under way, by how many seconds they have.
        self._deadlines: dict[float, Deadlines[_Attempt]] = {}

    def stop(self) -> None:
        """Close everything; calls that wait or are under way fail."""
        super().stop()
        for deadlines in self._deadlines.values():
            deadlines.stop()

    def request(self, message: bytes, timeout: float) -> Deferred[tuple[int, bytes]]:
        """RequestActivation on a connection of the pool within `timeout` seconds, including the wait for a connection.

        Fires with HRESULT and response, fails with `UpstreamError`. Cancelling it gives the call up.

        The host may close a connection of the reserve just before the call: the call is then made once more, on another
        connection. That is safe, since a host counts a client's CMID once, however often the client asks.
        """
        attempt = _Attempt(message, timeout)
        idle = self._idle
        while idle:
            connection = idle.pop()
            if len(idle) < self._least_idle:
                self._least_idle = len(idle)
            if connection.alive:
                attempt.from_reserve = True
                answer = self._ask(connection, attempt)
                break
        else:
            answer = self._ask_when_there_is_one(attempt)
        attempt.answer = answer
        if not answer.called:
            deadlines = self._deadlines.get(timeout)
            if deadlines is None:
                deadlines = self._deadlines_of(timeout)
            deadlines.set(attempt)
            attempt.deadline = deadlines
        return answer

    def _deadlines_of(self, seconds: float) -> Deadlines[_Attempt]:
        """The queue of requests that have this many seconds. A length that few requests have is not kept."""
        deadlines = Deadlines(self._clock, seconds, _Attempt.expire)
        if len(self._deadlines) < _LENGTHS:
            self._deadlines[seconds] = deadlines
        return deadlines

    def _ask_when_there_is_one(self, attempt: _Attempt) -> Deferred[tuple[int, bytes]]:
        what = (attempt,)
        return self.open_for_call().addCallbacks(self._ask, self._failed, callbackArgs=what, errbackArgs=what)

    def _ask(self, connection: RpcConnection, attempt: _Attempt) -> Deferred[tuple[int, bytes]]:
        attempt.asked = True
        self.carrying.add(connection)
        answer = connection.request_activation(attempt.message)
        what = (connection, attempt)
        answer.addCallbacks(self._answered, self._not_answered, callbackArgs=what, errbackArgs=what)
        return answer

    def _answered(self, answer: tuple[int, bytes], connection: RpcConnection, attempt: _Attempt) -> tuple[int, bytes]:
        if attempt.deadline is not None:
            attempt.deadline.pop(attempt, None)
        if (
            connection.alive
            and not self._waiting
            and self.state is PoolState.RUNNING
            and (self._sweep is not None or len(self._idle) < self.floor)
        ):
            # As `release` does, for nearly every call.
            self.carrying.discard(connection)
            self._idle.append(connection)
        else:
            self.release(connection)
        return answer

    def _not_answered(
        self, failure: Failure, connection: RpcConnection, attempt: _Attempt
    ) -> Deferred[tuple[int, bytes]] | Failure:
        if not failure.check(FaultError):
            connection.abort()
        self.release(connection)
        return self._failed(failure, attempt)

    def _failed(self, failure: Failure, attempt: _Attempt) -> Deferred[tuple[int, bytes]] | Failure:
        if attempt.from_reserve and failure.check(LostError) and self.state is not PoolState.STOPPED:
            # The call lost its connection from the reserve: make it again on a new one.
            attempt.from_reserve = attempt.asked = False
            return self._ask_when_there_is_one(attempt)
        if attempt.deadline is not None:
            attempt.deadline.pop(attempt, None)
        error = failure.value
        if attempt.late and isinstance(error, CancelledError):
            if attempt.asked or self.busy < self.ceiling:
                error = no_answer(attempt.timeout)
            else:
                # The host may be healthy: all its connections carry calls, and this call did not get its turn.
                error = PoolBusy(f"no connection became free within {attempt.timeout:g} s")
            failure = Failure(error)
        # If the call got no connection, the attempt to connect has reported that. A fault is an answer.
        if attempt.asked and isinstance(error, UpstreamError) and not isinstance(error, FaultError):
            self.tell_failed(error)
        return failure
