"""Sending at once what the socket has room for.

Twisted's transports keep written bytes until the loop has waited for the socket to be writable. For each answer of a
few hundred bytes, which the socket would have taken, that costs two changes of what epoll watches and a turn of the
loop (a sixth of a bare relay's time, as measured). So the bytes are offered to the socket first. Those it does not take
go the usual way, and so do all that follow on that connection, in order.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

from twisted.internet import tcp
from twisted.internet.interfaces import IPushProducer
from twisted.internet.main import CONNECTION_DONE
from twisted.python.failure import Failure

_DONE: Final = Failure(CONNECTION_DONE)


class ClientTransport(Protocol):
    """What is needed of a connection's transport. Twisted's for TCP, Unix sockets and TLS have it."""

    def write(self, data: bytes, /) -> None:
        """Send the data after all that was written before."""

    def loseConnection(self) -> None:
        """Close the connection when all that was written has been sent."""

    def loseWriteConnection(self) -> None:
        """Close our side when all that was written has been sent."""

    def abortConnection(self) -> None:
        """Close the connection at once; what has not been sent is lost."""

    def registerProducer(self, producer: IPushProducer, streaming: bool, /) -> None:
        """Pause this producer while too much waits to be sent."""

    def unregisterProducer(self) -> None:
        """Forget the producer."""

    def getHost(self) -> object:
        """Our side's address."""


class Sender:
    """Writes to one Twisted transport.

    Only a plain TCP connection is written to directly; TLS and other layers get the data in the usual way.
    """

    __slots__ = ("_socket", "_transport", "producer")

    def __init__(self, transport: ClientTransport, producer: IPushProducer | None = None) -> None:
        """`producer` is paused while the transport holds too much for a peer that does not read."""
        # It may be a TCP connection, which has more than `ClientTransport`; None when the connection is over.
        self._transport: Any = transport
        plain = transport if isinstance(transport, tcp.Connection) and not transport.TLS else None
        #: The socket as long as all that was written has been sent; None from when the transport holds something.
        self._socket = None if plain is None else plain.getHandle()
        self.producer = producer
        if producer is not None and plain is None:
            transport.registerProducer(producer, True)

    def send(self, data: bytes) -> None:
        """Send data after all that was sent before."""
        if self._socket is not None:
            try:
                sent = self._socket.send(data)
            except OSError:
                # There is no room, or an error that the transport will meet again and tell the protocol.
                sent = 0
            if sent == len(data):
                return
            data = data[sent:]
            self._socket = None
            if self.producer is not None:
                self._transport.registerProducer(self.producer, True)
        if self._transport is not None:
            self._transport.write(data)

    def let_go(self) -> None:
        """The connection is over: let go of its transport, which may have what has this. What is sent now is lost."""
        self._socket = self._transport = None

    def close(self) -> None:
        """Close the connection cleanly when all that was written has been sent; at once if it has been.

        Twisted waits for the socket to be writable first, which takes a turn of the loop and five system calls. Call
        this only if the client has closed its side: with unread bytes, the system would reset the connection.
        """
        transport = self._transport
        if self._socket is not None and transport.connected:
            transport.connectionLost(_DONE)
        else:
            transport.unregisterProducer()
            transport.loseConnection()
