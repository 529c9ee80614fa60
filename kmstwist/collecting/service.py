"""The listener for events, as a part of a server: its ports, its connections, and the way into the store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError
from twisted.application.service import Service
from twisted.internet.defer import Deferred, ensureDeferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IOpenSSLContextFactory
from twisted.internet.protocol import ServerFactory
from twisted.internet.task import deferLater
from twisted.logger import Logger
from zope.interface import implementer

from kmstwist.audit.plain.faults import StoreError, plain_error
from kmstwist.collecting.keeper import BATCH, Counts, Store, Waiting
from kmstwist.collecting.receiving import Datagrams, Stream, Streams
from kmstwist.collecting.settings import TLS, UDP, Place
from kmstwist.logevents import (
    EVENTS_BROKEN,
    EVENTS_DROPPED,
    EVENTS_FAILING,
    EVENTS_LISTENING,
    EVENTS_LOST,
    EVENTS_REFUSED,
)
from kmstwist.networks import Network, normalised
from kmstwist.pacing.waits import doubled
from kmstwist.reactor import Reactor
from kmstwist.startup import StartupError
from kmstwist.system.threads import MORE_THREADS, OneThread

if TYPE_CHECKING:
    from OpenSSL.SSL import Context
    from twisted.internet.ssl import CertificateOptions

#: The default of the most connections at one time.
CONNECTIONS = 100
#: Seconds between two looks at the messages that wait. This is longer than a gateway takes to store its record of a
#: request, so that a request's record is there before its event.
EVERY = 2.0
#: The longest pause between attempts at a store that fails, and between two lines about one matter, in seconds.
RETRY_MOST, SAY_EVERY = 60.0, 600.0


@implementer(IOpenSSLContextFactory)
class _Latest:
    """What a new connection over TLS begins with."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def getContext(self) -> Context:
        """The context of the certificates in force."""
        assert self._collector.tls is not None
        context: Context = self._collector.tls.getContext()
        return context


class Collector(Service):
    """Listens at `places` for messages from `senders`, and stores the events in them.

    `drain` is how many seconds stopping may wait for the store, `connections` the most connections at one time.
    """

    log = Logger()

    def __init__(
        self,
        places: Sequence[Place],
        senders: Sequence[Network],
        store: Store,
        reactor: Reactor,
        *,
        tls: CertificateOptions | None = None,
        drain: float = 10.0,
        connections: int = CONNECTIONS,
    ) -> None:
        self._places = places
        self._senders = senders
        self._store = store
        self._reactor = reactor
        #: The certificates for TLS. Connections that come have those which are here then.
        self.tls = tls
        self._drain = drain
        self._thread = OneThread("events", reactor)
        self._ports: list[IListeningPort] = []
        self._looking: Deferred[None] | None = None
        self._said: dict[str, float] = {}
        # Set when the ports are closed: received messages are stored, and nothing more is taken.
        self._closing = self._stopping = False
        self.connections: set[Stream] = set()
        self.most = connections
        self.waiting = Waiting()
        self.counts = Counts()
        self.problem = ""

    # -- life

    def startService(self) -> None:
        """Open the ports; a port that another process still has is tried again."""
        super().startService()
        self._closing = self._stopping = False
        try:
            self._thread.start()
        except RuntimeError as error:
            raise StartupError(f"KMS hosts' events cannot be received: {error}", MORE_THREADS) from None
        for place in self._places:
            self._open(place)
        self._looking = ensureDeferred(self._look())

    def _open(self, place: Place) -> None:
        if self._closing:
            return
        host, port = place.at.host, place.at.port
        try:
            if place.kind == UDP:
                opened = self._reactor.listenUDP(port, Datagrams(self), interface=host, maxPacketSize=65_536)
            else:
                factory: ServerFactory = Streams(self)
                if place.kind == TLS:
                    from twisted.protocols.tls import TLSMemoryBIOFactory

                    factory = TLSMemoryBIOFactory(_Latest(self), False, factory)  # type: ignore[assignment]
                opened = self._reactor.listenTCP(port, factory, interface=host)
        except CannotListenError as error:
            self._say(f"cannot listen at {place}: {error.socketError}", str(place))
            self._reactor.callLater(1.0, self._open, place)
            return
        self._ports.append(opened)
        EVENTS_LISTENING.emit(self.log, at=str(place))

    def stopService(self) -> Deferred[None]:
        """Close the ports, and store the messages that were received."""
        super().stopService()
        self._closing = True
        return ensureDeferred(self._stop())

    async def _stop(self) -> None:
        for port in self._ports:
            await maybeDeferred(port.stopListening)
        self._ports = []
        for connection in list(self.connections):
            connection.finish()
        ends_at = self._reactor.seconds() + min(1.0, self._drain)
        while self.connections and self._reactor.seconds() < ends_at:
            # Bytes still under way arrive when the connections end.
            await deferLater(self._reactor, 0.02, lambda: None)
        self._stopping = True
        if self._looking is not None:
            await self._looking
        if self.waiting.queue:
            EVENTS_LOST.emit(self.log, messages=len(self.waiting.queue), detail=self.problem)
        try:
            await self._thread.run(self._store.close)
        finally:
            self._thread.stop()

    # -- receiving

    def seconds(self) -> float:
        """The reactor's time."""
        return self._reactor.seconds()

    def may_send(self, address: str) -> bool:
        """Whether messages from this address are taken."""
        host = normalised(address)
        if host is not None and any(host in network for network in self._senders):
            return True
        self.counts.refused += 1
        if self._may_say(f"refused {address}"):
            EVENTS_REFUSED.emit(self.log, peer=address)
        return False

    @property
    def full(self) -> bool:
        """Whether no more is to be read."""
        return self.waiting.full

    def take(self, message: bytes, sender: str) -> None:
        """Take a message in; from a stream even if there is no room, since reading stops then."""
        self.counts.received += 1
        self.waiting.put(message, sender)
        if self.waiting.full:
            for connection in self.connections:
                connection.pause()

    def drop(self, number: int, sender: str, reason: str) -> None:
        """Count messages that could not be taken, and log that. For a refused connection the number is unknown."""
        self.counts.dropped += number
        if self._may_say(f"{reason} {sender}"):
            EVENTS_DROPPED.emit(self.log, peer=sender, reason=reason)

    # -- storing

    async def _look(self) -> None:
        pause, ends_at, failures = EVERY, float("inf"), 0
        while True:
            if self._stopping:
                ends_at = min(ends_at, self._reactor.seconds() + self._drain)
                pause = min(pause, 0.2)
            if self.waiting.queue:
                failures = 0 if await self._take_in() else failures + 1
                pause = doubled(EVERY, RETRY_MOST, failures + 1)
            if self._stopping and (not self.waiting.queue or self._reactor.seconds() >= ends_at):
                return
            if len(self.waiting.queue) < BATCH or self.problem:
                await self._rest(pause)

    async def _rest(self, seconds: float) -> None:
        # In small steps, so that stopping need not wait for a long one.
        ends = self._reactor.seconds() + seconds
        while (left := ends - self._reactor.seconds()) > 0:
            if self._stopping and not self.problem:
                return
            await deferLater(self._reactor, min(left, 0.2), lambda: None)
            if self._stopping:
                return

    async def _take_in(self) -> bool:
        """Store the first messages that wait. Returns whether that worked."""
        messages = self.waiting.first(BATCH)
        try:
            counts, broken = await self._thread.run(self._store.take_in, messages)
        except (StoreError, SQLAlchemyError, OSError) as error:
            self.problem = plain_error(error)
            if self._may_say("store"):
                EVENTS_FAILING.emit(self.log, waiting=len(self.waiting.queue), detail=self.problem)
            return False
        self.problem = ""
        self.waiting.done(len(messages))
        self.counts.add(counts)
        if broken and self._may_say("broken"):
            EVENTS_BROKEN.emit(self.log, number=counts.broken, where=broken[0].place, detail=broken[0].why)
        if not self.waiting.full:
            for connection in self.connections:
                connection.resume()
        return True

    def _say(self, detail: str, matter: str) -> None:
        if self._may_say(matter):
            EVENTS_FAILING.emit(self.log, waiting=len(self.waiting.queue), detail=detail)

    def _may_say(self, matter: str) -> bool:
        now = self._reactor.seconds()
        if len(self._said) > 1000:
            self._said.clear()
        if now - self._said.get(matter, float("-inf")) < SAY_EVERY:
            return False
        self._said[matter] = now
        return True
