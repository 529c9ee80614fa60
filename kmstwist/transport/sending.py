"""Sending at once what the socket has room for.

Twisted's transports keep written bytes until the loop has waited for the socket to be writable. For each answer of a
few hundred bytes, which the socket would have taken, that costs two changes of what epoll watches and a turn of the
loop (a sixth of a bare relay's time, as measured). So the bytes are offered to the socket first. Those it does not take
go the usual way, and so do all that follow on that connection, in order.
"""

from __future__ import annotations

from typing import Any, Final

from twisted.internet import tcp
from twisted.internet.main import CONNECTION_DONE
from twisted.python.failure import Failure

_DONE: Final = Failure(CONNECTION_DONE)


def send_at_once(transport: Any, data: bytes, in_step: bool) -> bool:
    """Send data, at once if `in_step` (all that was written before has been sent). Returns whether that is still so.

    Only a plain TCP connection is written to directly; TLS and other layers get the data in the usual way.
    """
    if in_step and isinstance(transport, tcp.Connection) and transport.connected and not transport.TLS:
        sent = transport.writeSomeData(data)
        # Not a number means an error: the transport will meet it again, and tell the protocol.
        if sent == len(data):
            return True
        if isinstance(sent, int) and sent > 0:
            data = data[sent:]
    transport.write(data)
    return False


def close_when_sent(transport: Any, in_step: bool) -> None:
    """Close a connection cleanly when all that was written has been sent; at once if it has been (`in_step`).

    Twisted waits for the socket to be writable first, which takes a turn of the loop and five system calls. Call this
    only if the client has closed its side: with unread bytes, the system would reset the connection.
    """
    if in_step and isinstance(transport, tcp.Connection) and transport.connected and not transport.TLS:
        transport.connectionLost(_DONE)
    else:
        transport.loseConnection()
