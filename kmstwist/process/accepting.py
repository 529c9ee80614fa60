"""Accepting clients on a listening port that Twisted has opened.

Twisted's port prepares each transport for what no client of ours needs (names for its log, TLS later on), and asks for
the name of each IPv6 address. A relay spends a fifth of its time on that. Here each client gets the plain transport of
`transport.fdset`. What lies above, such as an endpoint's TLS, finds an ordinary TCP transport.
"""

from __future__ import annotations

import errno
import resource
import socket
from collections.abc import Callable
from typing import Any, Final, cast

from twisted.internet import tcp
from twisted.internet.interfaces import IDelayedCall, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from kmstwist.reactor import Reactor
from kmstwist.transport.fdset import Accepted, address_of, set_of

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
        peer = address_of(port.addressFamily, address)
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
