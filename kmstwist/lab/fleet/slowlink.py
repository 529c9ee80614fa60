"""A slow link in front of an endpoint: over a real connection, every byte takes half a round trip longer, both ways.

Connecting takes a round trip, too. The server sees the same as from distant clients: connections that stay open for
several round trips.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import connectionDone
from twisted.internet.task import deferLater
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from zope.interface import implementer


class _Delay:
    """Runs functions later, in the order in which they were added."""

    def __init__(self, clock: IReactorTime, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._coming: deque[Callable[[], object]] = deque()

    def then(self, action: Callable[[], object]) -> None:
        """Run a function half a round trip from now, after all earlier ones."""
        # A clock may make calls for one moment in any order; the queue keeps ours.
        self._coming.append(action)
        self._clock.callLater(self._seconds, self._next)

    def _next(self) -> None:
        self._coming.popleft()()


class _SlowProtocol(ProtocolWrapper):
    """Sits between a transport and its protocol, and delays the bytes both ways."""

    def __init__(self, factory: _SlowFactory, wrapped: IProtocol) -> None:
        super().__init__(factory, wrapped)
        self._outward = _Delay(factory.clock, factory.delay)
        self._inward = _Delay(factory.clock, factory.delay)

    def dataReceived(self, data: bytes) -> None:
        """Deliver received bytes later."""
        self._inward.then(lambda: super(_SlowProtocol, self).dataReceived(data))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Deliver the end of the connection later, after all bytes."""
        self._inward.then(lambda: super(_SlowProtocol, self).connectionLost(reason))

    def write(self, data: bytes) -> None:
        """Send bytes later."""
        self._outward.then(lambda: super(_SlowProtocol, self).write(data))

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Send several pieces later."""
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """Close the connection after all bytes have been sent."""
        self._outward.then(super().loseConnection)


class _SlowFactory(WrappingFactory["_SlowProtocol"]):
    noisy = False
    protocol = _SlowProtocol

    def __init__(self, wrapped: IProtocolFactory, clock: IReactorTime, delay: float) -> None:
        super().__init__(wrapped)
        self.clock = clock
        self.delay = delay


@implementer(IStreamClientEndpoint)
class SlowLink:
    """An endpoint behind a link of `round_trip` seconds."""

    def __init__(self, endpoint: IStreamClientEndpoint, clock: IReactorTime, round_trip: float) -> None:
        self._endpoint = endpoint
        self._clock = clock
        self._round_trip = round_trip

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """Connect after a round trip; fires with the protocol of `protocolFactory`."""
        slow: Any = _SlowFactory(protocolFactory, self._clock, self._round_trip / 2)

        async def connect() -> Any:
            await deferLater(self._clock, self._round_trip)
            wrapper: Any = await self._endpoint.connect(slow)
            return wrapper.wrappedProtocol

        return Deferred.fromCoroutine(connect())
