"""Sending at once what the socket has room for.

Twisted's transports keep what is written until the loop has waited for the socket to be writable: two changes of what
epoll watches and a turn of the loop for each answer, of a few hundred bytes, that the socket would have taken
(measured: a sixth of a bare relay's time). So what is to be sent is offered to the socket first; what it does not take
goes the usual way, and so does all that follows on that connection, in its order.
"""

from __future__ import annotations

from typing import Any, Final

from twisted.internet import tcp
from twisted.internet.main import CONNECTION_DONE
from twisted.python.failure import Failure

_DONE: Final = Failure(CONNECTION_DONE)


def send_at_once(transport: Any, data: bytes, in_step: bool) -> bool:
    """Send data, at once if `in_step`: if all that was written before has been sent. Whether that is so still.

    Only a plain TCP connection is written to directly; TLS, and whatever stands between, has the data as ever.
    """
    if in_step and isinstance(transport, tcp.Connection) and transport.connected and not transport.TLS:
        sent = transport.writeSomeData(data)
        # An error is not a number: the transport finds it again, and tells the protocol.
        if sent == len(data):
            return True
        if isinstance(sent, int) and sent > 0:
            data = data[sent:]
    transport.write(data)
    return False


def close_when_sent(transport: Any, in_step: bool) -> None:
    """Close a connection in order when what was written has been sent; at once if it has (`in_step`).

    Twisted waits for the socket to be writable first, which takes a turn of the loop and five system calls. Only where
    the client has closed its side: what it might still have sent would have the system reset the connection.
    """
    if in_step and isinstance(transport, tcp.Connection) and transport.connected and not transport.TLS:
        transport.connectionLost(_DONE)
    else:
        transport.loseConnection()
