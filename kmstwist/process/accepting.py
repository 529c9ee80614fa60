"""Accepting clients on a listening port that Twisted has opened.

Twisted prepares each transport for what no client of ours needs (names for its log, TLS later on), and asks for the
name of each IPv6 address. A relay spends a fifth of its time on that. Ours is the same `tcp.Connection` without it, and
a set of descriptors calls it (`transport.fdset`). What lies above, such as an endpoint's TLS, finds an ordinary TCP
transport.
"""

from __future__ import annotations

import errno
import os
import resource
import socket
import struct
from collections.abc import Callable
from typing import Any, Final, cast

from twisted.internet import tcp
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IAddress, IDelayedCall, IProtocol, IReactorFDSet, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from kmstwist.reactor import Reactor
from kmstwist.transport.fdset import set_of

#: Clients at most that are accepted in one turn of the loop, and for how many descriptors of the process there is one.
#: Those that are closed for them, or closed at once, have their descriptors until the turn's end.
AT_ONCE: Final = 64
_FOR_EACH: Final = 32
#: There is nothing left to accept a client with: descriptors (of the process, of the system) or memory.
_NO_ROOM: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
#: The client is gone already, or the firewall does not let it in (accept(2)); there may be others behind it.
_GONE: Final = frozenset({errno.ECONNABORTED, errno.EPERM, errno.EPROTO, errno.EINTR})
#: Seconds before it is tried again where it failed.
_REST: Final = 1.0
#: SO_LINGER (socket(7)): on, for 0 s, so that closing drops what is unsent and resets the connection.
_RESET: Final = struct.pack("ii", 1, 0)


class Accepted(tcp.Connection):
    """The transport of a client's connection, over TCP or a socket in the file system."""

    logstr = "client"

    def __init__(
        self, skt: socket.socket, protocol: IProtocol, peer: IAddress, server: object, reactor: IReactorFDSet
    ) -> None:
        """`server` is the port that the client connected to; `reactor` calls when something happens."""
        super().__init__(skt, protocol, reactor)
        self.server = server
        self._peer = peer
        self.connected = 1
        self.startReading()

    def connectionLost(self, reason: Failure) -> None:
        """Close the socket and tell the protocol, once."""
        if self.disconnected:
            return
        protocol, skt = self.protocol, self.socket
        self.disconnected, self.connected = 1, 0
        if self.producer is not None:
            self.producer.stopProducing()
            self.producer = None
        self.reactor.removeReader(self)
        self.reactor.removeWriter(self)
        if isinstance(reason.value, ConnectionAborted):
            skt.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        # It is nobody else's, so closing it says all that shutting it down before would.
        skt.close()
        # The protocol has the transport: no cycle is left.
        del self.protocol, self.socket, self.fileno
        protocol.connectionLost(reason)

    def getHost(self) -> IAddress:
        """Our side's address."""
        return _address(self.socket.family, self.socket.getsockname())

    def getPeer(self) -> IAddress:
        """The client's address."""
        return self._peer


def _address(family: int, address: Any) -> IAddress:
    """A socket's address as Twisted's object."""
    if family == socket.AF_INET:
        return cast(IAddress, IPv4Address("TCP", *address))
    if family == socket.AF_INET6:
        host, port, flow, scope = address
        # Only an address that is valid on one link needs its name: fe80::1%eth0.
        if scope:
            host = socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0]
        return cast(IAddress, IPv6Address("TCP", host, port, flow, scope))
    return cast(IAddress, UNIXAddress(os.fsencode(address) or None))


@implementer(IReadDescriptor)
class Acceptor:
    """Accepts clients for the factory of one of Twisted's ports, in its place."""

    def __init__(self, port: tcp.Port, no_room: Callable[[], object]) -> None:
        """`port` is open; `no_room` is called when no client can be accepted for want of descriptors or memory."""
        self._port: Any = port
        self._reactor = cast(Reactor, port.reactor)
        self._connections = set_of(self._reactor)
        self._no_room = no_room
        self._again: IDelayedCall | None = None
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._at_once = AT_ONCE if limit == resource.RLIM_INFINITY else min(AT_ONCE, max(1, limit // _FOR_EACH))
        self._log = Logger(namespace="kmstwist.server")
        port.stopReading()

    def start(self) -> None:
        """Accept clients."""
        self._rest_no_more()
        self._reactor.addReader(self)

    def stop(self) -> None:
        """Accept no more: new clients wait in the kernel's queue."""
        self._rest_no_more()
        self._reactor.removeReader(self)

    def _rest_no_more(self) -> None:
        again, self._again = self._again, None
        if again is not None and again.active():
            again.cancel()

    def fileno(self) -> int:
        """The listening socket's number."""
        number: int = self._port.fileno()
        return number

    def logPrefix(self) -> str:
        """What Twisted's log says of it."""
        return "accepting"

    def doRead(self) -> None:
        """Accept the clients that wait."""
        listening = self._port.socket
        for _ in range(self._at_once):
            try:
                client, address = listening.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _GONE:
                    continue
                self._rest(error)
                return
            try:
                self._serve(client, address)
            except Exception:
                self._log.failure("a client is turned away by a fault of the program")
                client.close()

    def _rest(self, error: OSError) -> None:
        """Accept nobody for a moment: the reactor would try again at once, without end."""
        self.stop()
        self._again = self._reactor.callLater(_REST, self.start)
        if error.errno in _NO_ROOM:
            self._no_room()
        else:
            self._log.failure("no client can be accepted", Failure(error))

    def _serve(self, client: socket.socket, address: Any) -> None:
        port = self._port
        peer = _address(port.addressFamily, address)
        protocol = port.factory.buildProtocol(peer)
        if protocol is None:
            client.close()
            return
        transport = Accepted(client, protocol, peer, port, self._connections)
        try:
            protocol.makeConnection(transport)
        except Exception:
            # Before its number is given to another client's socket.
            transport.stopReading()
            transport.stopWriting()
            raise

    def connectionLost(self, reason: Failure) -> None:
        """The reactor has ended; the port closes its socket itself."""
