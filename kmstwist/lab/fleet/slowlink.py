"""A slow link before an endpoint: every byte takes half a round trip longer, either way, over a real connection.

Connecting takes a round trip, too. Who waits at the other end sees what a server sees of clients far away: connections
that stay open for several round trips.
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
    """What is done later, in the order in which it was asked for."""

    def __init__(self, clock: IReactorTime, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._coming: deque[Callable[[], object]] = deque()

    def then(self, action: Callable[[], object]) -> None:
        """Do something half a round trip from now, after all that was to be done before."""
        # A clock may make calls for one moment in any order; the queue keeps ours.
        self._coming.append(action)
        self._clock.callLater(self._seconds, self._next)

    def _next(self) -> None:
        self._coming.popleft()()


class _SlowProtocol(ProtocolWrapper):
    """Stands between a transport and its protocol, and holds back what passes."""

    def __init__(self, factory: _SlowFactory, wrapped: IProtocol) -> None:
        super().__init__(factory, wrapped)
        self._outward = _Delay(factory.clock, factory.delay)
        self._inward = _Delay(factory.clock, factory.delay)

    def dataReceived(self, data: bytes) -> None:
        """What came arrives later."""
        self._inward.then(lambda: super(_SlowProtocol, self).dataReceived(data))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """So does the end, after all that came before it."""
        self._inward.then(lambda: super(_SlowProtocol, self).connectionLost(reason))

    def write(self, data: bytes) -> None:
        """What is sent leaves later."""
        self._outward.then(lambda: super(_SlowProtocol, self).write(data))

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """The same for several pieces."""
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """The end follows what was sent before it."""
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
