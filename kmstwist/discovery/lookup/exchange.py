"""One DNS message out, one back: over UDP, and over TCP where the answer is too long for UDP.

It uses Twisted and not `dns.query` in a thread: so the withdrawal on an orderly stop ends when its time is up, a
cancelled update leaves no thread behind, and the waits can be tested in virtual time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from enum import Enum
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.error import CannotListenError, ConnectError, ConnectionClosed, ConnectionRefusedError
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.protocol import ConnectedDatagramProtocol, Factory, connectionDone
from twisted.protocols.basic import Int16StringReceiver
from twisted.python.failure import Failure

from kmstwist.addresses import HostPort
from kmstwist.reactor import Reactor
from kmstwist.transport.endpoints import address_endpoint

_HEADER_SIZE = 12
#: The most bytes of a datagram that are read: twice what a server sends unless it is asked for more.
_MOST_BYTES = 8192
_FLAG_RESPONSE = 0x80
_FLAG_TRUNCATED = 0x02


class Silence(Enum):
    """Why there is no answer; the value is the sentence for it."""

    TIMED_OUT = "The DNS server {server} gave no answer within {seconds:g} seconds."
    CLOSED = "Nothing answers at {server}: is a DNS server running there?"
    NO_TCP = "The DNS server {server} accepts no TCP connection, needed for its long answer."
    NO_WAY = "This machine has no route to the DNS server {server}."


class NoAnswer(Exception):
    """The server took no message, or did not answer in time; the text is a sentence, `why` says which it was."""

    def __init__(self, why: Silence, server: HostPort, seconds: float) -> None:
        super().__init__(why.value.format(server=server, seconds=seconds))
        self.why = why

    @property
    def refused(self) -> bool:
        """Whether this was known at once, without a timeout."""
        return self.why is not Silence.TIMED_OUT


async def exchange(reactor: Reactor, server: HostPort, message: bytes, timeouts: Sequence[float]) -> bytes:
    """Send a DNS message to a server (an address) and return the answer of the same id.

    `timeouts` are the seconds to wait after each sending over UDP; TCP, where it is needed, gets their sum. An update
    may be sent again without harm: to add a record that is there, or to remove one that is not, changes nothing.
    Raises `NoAnswer`.
    """
    seconds = sum(timeouts)
    answer = await _told(_over_udp(reactor, server, message, timeouts), server, seconds, Silence.CLOSED)
    if answer[2] & _FLAG_TRUNCATED:
        answer = await _told(_over_tcp(reactor, server, message, seconds), server, seconds, Silence.NO_TCP)
    return answer


async def exchange_over_tcp(reactor: Reactor, server: HostPort, message: bytes, seconds: float) -> bytes:
    """As `exchange`, but over TCP only, within `seconds`. Raises `NoAnswer`."""
    return await _told(_over_tcp(reactor, server, message, seconds), server, seconds, Silence.CLOSED)


async def _told(asking: Awaitable[bytes], server: HostPort, seconds: float, closed: Silence) -> bytes:
    try:
        return await asking
    except (DeferredTimeout, ConnectTimeout):
        raise NoAnswer(Silence.TIMED_OUT, server, seconds) from None
    except (ConnectError, ConnectionClosed, ConnectionRefusedError):
        raise NoAnswer(closed, server, seconds) from None
    except (OSError, CannotListenError):
        raise NoAnswer(Silence.NO_WAY, server, seconds) from None


def _answers(datagram: bytes, message: bytes) -> bool:
    return len(datagram) >= _HEADER_SIZE and datagram[:2] == message[:2] and bool(datagram[2] & _FLAG_RESPONSE)


class _Asking(ConnectedDatagramProtocol):
    """Sends one datagram, over a socket connected to its server: only that server's datagrams come in."""

    def __init__(self, server: HostPort, message: bytes) -> None:
        self._server = server
        self._message = message
        self.answer: Deferred[bytes] = Deferred()

    def startProtocol(self) -> None:
        transport: Any = self.transport
        transport.connect(self._server.host, self._server.port)

    def send(self) -> None:
        transport: Any = self.transport
        try:
            transport.write(self._message)
        except OSError as error:
            if not self.answer.called:
                self.answer.errback(error)

    def datagramReceived(self, datagram: bytes, addr: object = None) -> None:
        if not self.answer.called and _answers(datagram, self._message):
            self.answer.callback(datagram)

    def connectionRefused(self) -> None:
        if not self.answer.called:
            self.answer.errback(ConnectionRefusedError())

    def stopProtocol(self) -> None:
        # The epoll reactor closes a connected UDP socket itself; other reactors report the refusal.
        self.connectionRefused()


async def _over_udp(reactor: Reactor, server: HostPort, message: bytes, timeouts: Sequence[float]) -> bytes:
    asking = _Asking(server, message)
    port = reactor.listenUDP(0, asking, "::" if ":" in server.host else "", _MOST_BYTES)
    waited = timeouts[0]
    resends = []
    for seconds in timeouts[1:]:
        resends.append(reactor.callLater(waited, asking.send))
        waited += seconds
    try:
        asking.send()
        return await asking.answer.addTimeout(waited, reactor)
    finally:
        for resend in resends:
            if resend.active():
                resend.cancel()
        await maybeDeferred(port.stopListening)


class _AskingOverTcp(Int16StringReceiver):
    """Sends one message with the two bytes of its length before it (RFC 7766 section 8)."""

    def __init__(self, message: bytes) -> None:
        self._message = message
        self.answer: Deferred[bytes] = Deferred()

    def connectionMade(self) -> None:
        self.sendString(self._message)

    def stringReceived(self, string: bytes) -> None:
        if not self.answer.called and _answers(string, self._message):
            self.answer.callback(string)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self.answer.called:
            self.answer.errback(reason)


async def _over_tcp(reactor: Reactor, server: HostPort, message: bytes, seconds: float) -> bytes:
    endpoint = address_endpoint(reactor, server.host, server.port, seconds)
    factory: Any = Factory.forProtocol(lambda: _AskingOverTcp(message))
    asking: Any = await endpoint.connect(factory)
    try:
        answer: bytes = await asking.answer.addTimeout(seconds, reactor)
        return answer
    finally:
        asking.transport.abortConnection()
