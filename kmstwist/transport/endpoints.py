"""Endpoints of hosts: by name, or by an address that is already known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError, ConnectingCancelledError, DNSLookupError, NoProtocol
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHostResolution,
    IProtocol,
    IProtocolFactory,
    IResolutionReceiver,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import ClientFactory, Factory, Protocol
from twisted.python.failure import Failure
from zope.interface import implementer

from kmstwist.addresses import is_address
from kmstwist.reactor import Reactor

#: Seconds that an address of a name is tried alone before the next is tried as well.
_HEAD_START: Final = 0.3


def address_endpoint(
    reactor: Reactor, address: str, port: int, seconds: float, source: str | None = None
) -> IStreamClientEndpoint:
    """The endpoint of an IPv4 or IPv6 address; connecting may take `seconds`."""
    return AddressEndpoint(reactor, address, port, seconds, source)


def endpoint_for(
    reactor: Reactor, host: str, port: int, timeout: float, source: str | None = None
) -> IStreamClientEndpoint:
    """The endpoint of a host by name or address; a name's addresses are tried as RFC 8305 says.

    `source` is the address of this machine to connect from; None leaves the choice to the system.
    """
    if is_address(host):
        return address_endpoint(reactor, host, port, timeout, source)
    return NameEndpoint(reactor, host, port, timeout, source)


def addresses_endpoint(reactor: Reactor, addresses: Sequence[str], port: int, seconds: float) -> IStreamClientEndpoint:
    """The endpoint of a host whose addresses are known; they are tried in order, for `seconds` each."""
    each = [address_endpoint(reactor, address, port, seconds) for address in addresses]
    return each[0] if len(each) == 1 else FirstToConnect(each)


@implementer(IStreamClientEndpoint)
class AddressEndpoint:
    """An IPv4 or IPv6 address.

    Twisted's own endpoints leave what made a connection to the garbage collector, which seldom comes: 1.5 kB for each
    probe of a host. This one leaves nothing.
    """

    def __init__(self, reactor: Reactor, address: str, port: int, seconds: float, source: str | None) -> None:
        self._reactor = reactor
        self._address = address
        self._port = port
        self._seconds = seconds
        self._bind = None if source is None else (source, 0)

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Fires with the connected protocol; fails with why there is none."""
        attempt = _Attempt(protocolFactory)
        made = attempt.made
        assert made is not None
        connecting: Any = self._reactor.connectTCP
        connecting(self._address, self._port, attempt, self._seconds, self._bind)
        return made


class _Attempt(ClientFactory):
    """One attempt to connect; `made` is what fires, None once it is over."""

    noisy = False

    def __init__(self, factory: IProtocolFactory) -> None:
        self._factory = factory
        self._connector: Any = None
        self.made: Deferred[IProtocol] | None = Deferred(self._given_up)

    def startedConnecting(self, connector: Any) -> None:
        self._connector = connector

    def _given_up(self, made: Deferred[IProtocol]) -> None:
        connector = self._connector
        made.errback(ConnectingCancelledError(connector.getDestination()))
        connector.stopConnecting()

    def _over(self) -> Deferred[IProtocol] | None:
        # The connector has this, and the Deferred's canceller, too.
        made, self.made, self._connector = self.made, None, None
        return made

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        made = self._over()
        assert made is not None
        try:
            protocol = self._factory.buildProtocol(addr)  # type: ignore[arg-type]  # Twisted's two interfaces differ
            if protocol is None:
                raise NoProtocol
        except Exception:
            # Without a protocol, Twisted closes the connection.
            made.errback()
            return None
        return _Introduction(protocol, made)

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        made = self._over()
        if made is not None and not made.called:
            made.errback(reason)

    def clientConnectionLost(self, connector: Any, reason: Failure) -> None:
        # As Twisted does itself where no connection was made: the transport has the connector.
        connector.transport = None


class _Introduction(Protocol):
    """What a new transport has first: hands it to the protocol, which is its own from then on, and says so."""

    def __init__(self, protocol: IProtocol, made: Deferred[IProtocol]) -> None:
        self._protocol = protocol
        self._made = made

    def makeConnection(self, transport: Any) -> None:
        transport.protocol = self._protocol
        self._protocol.makeConnection(transport)
        self._made.callback(self._protocol)


@implementer(IStreamClientEndpoint)
class NameEndpoint:
    """A host by its name: the first of its addresses that accepts, each tried a moment after the one before (RFC 8305).

    Twisted's `HostnameEndpoint` does the same, and leaves 46 objects and 6 kB of each connection to the garbage
    collector; and after a refusal it waits before it tries the next address, or says so.
    """

    def __init__(self, reactor: Reactor, name: str, port: int, seconds: float, source: str | None) -> None:
        self._reactor = reactor
        self._name = name
        self._port = port
        self._seconds = seconds
        self._source = source

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Fires with the connected protocol; fails with why there is none at the last address that was tried."""
        race = _Race(self._reactor, protocolFactory, self._endpoint)
        done = race.done
        self._reactor.nameResolver.resolveHostName(race, self._name, self._port)
        return done

    def _endpoint(self, address: str) -> AddressEndpoint:
        return AddressEndpoint(self._reactor, address, self._port, self._seconds, self._source)


@implementer(IResolutionReceiver)
class _Race:
    """The attempts to connect to a name's addresses; `done` fires with the protocol of the first that is connected."""

    def __init__(
        self, reactor: Reactor, factory: IProtocolFactory, endpoint: Callable[[str], IStreamClientEndpoint]
    ) -> None:
        self._reactor = reactor
        self._factory = factory
        self._endpoint = endpoint
        self._left: list[str] = []
        self._pending: set[Deferred[IProtocol]] = set()
        self._timer: IDelayedCall | None = None
        self._over = False
        self.done: Deferred[IProtocol] = Deferred(lambda _: self._end())

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        """The name is being looked up."""

    def addressResolved(self, address: Any) -> None:
        """The name has this address."""
        self._left.append(address.host)

    def resolutionComplete(self) -> None:
        """The name has no further address."""
        self._left.reverse()
        if self._over:
            return
        if self._left:
            self._next()
        else:
            self._over = True
            self.done.errback(DNSLookupError("it has no address"))

    def _next(self) -> None:
        self._timer = None
        attempt = self._endpoint(self._left.pop()).connect(self._factory)
        self._pending.add(attempt)
        if self._left:
            self._timer = self._reactor.callLater(_HEAD_START, self._next)
        attempt.addCallbacks(self._connected, self._failed, callbackArgs=(attempt,), errbackArgs=(attempt,))

    def _connected(self, protocol: IProtocol, attempt: Deferred[IProtocol]) -> None:
        self._pending.discard(attempt)
        self._end()
        self.done.callback(protocol)

    def _failed(self, failure: Failure, attempt: Deferred[IProtocol]) -> None:
        if self._over:
            # It was given up.
            return
        self._pending.discard(attempt)
        if self._left:
            if self._timer is not None:
                self._timer.cancel()
            self._next()
        elif not self._pending:
            self._over = True
            self.done.errback(failure)

    def _end(self) -> None:
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        pending, self._pending = self._pending, set()
        for attempt in pending:
            attempt.cancel()


@implementer(IStreamClientEndpoint)
class FirstToConnect:
    """A host with several known addresses: connects to the first that accepts.

    If none does, it fails with the failure of the last one.
    """

    def __init__(self, endpoints: Sequence[IStreamClientEndpoint]) -> None:
        if not endpoints:
            raise ValueError("there must be an endpoint")
        self._endpoints = tuple(endpoints)

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Fires with the connected protocol; fails with the last endpoint's failure."""
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        *others, last = self._endpoints
        for endpoint in others:
            try:
                return await _connected(endpoint, factory)
            except ConnectError:
                continue
        return await _connected(last, factory)


async def _connected(endpoint: IStreamClientEndpoint, factory: IProtocolFactory) -> IProtocol:
    attempt: Deferred[Any] = endpoint.connect(factory)
    protocol: IProtocol = await attempt
    return protocol


@implementer(IStreamClientEndpoint)
class Guarded:
    """An endpoint that drops a connection before a byte is sent if `refuse` raises for the peer's address."""

    def __init__(self, endpoint: IStreamClientEndpoint, refuse: Callable[[object], None]) -> None:
        self._endpoint = endpoint
        self._refuse = refuse

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Fires with the connected protocol; fails as the endpoint does, or with what `refuse` raised."""
        attempt: Deferred[IProtocol] = self._endpoint.connect(_GuardedFactory(protocolFactory, self._refuse))
        return attempt


class _GuardedFactory(Factory):
    noisy = False

    def __init__(self, factory: IProtocolFactory, refuse: Callable[[object], None]) -> None:
        self._factory = factory
        self._refuse = refuse

    def buildProtocol(self, addr: Any) -> Any:
        self._refuse(addr)
        return self._factory.buildProtocol(addr)
