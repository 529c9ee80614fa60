"""A relay that makes a host far away: what it is sent, in either direction, it sends on after a while.

delay.py PORT HOST_PORT SECONDS
"""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet import protocol
from twisted.internet import reactor as _reactor

reactor: Any = _reactor
PORT, HOST_PORT, SECONDS = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])


class End(protocol.Protocol):
    """One of the two connections; `other` is where its bytes go."""

    transport: Any
    other: End | None = None

    def __init__(self) -> None:
        self.waiting: list[bytes] = []

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)

    def dataReceived(self, data: bytes) -> None:
        reactor.callLater(SECONDS, self.send_on, data)

    def send_on(self, data: bytes) -> None:
        if self.other is None:
            self.waiting.append(data)
        else:
            self.other.transport.write(data)

    def connectionLost(self, reason: object = None) -> None:
        if self.other is not None:
            reactor.callLater(SECONDS, self.other.transport.loseConnection)


class Near(End):
    """A client's connection."""

    def connectionMade(self) -> None:
        super().connectionMade()
        protocol.ClientCreator(reactor, End).connectTCP("127.0.0.1", HOST_PORT).addCallback(self.joined)

    def joined(self, far: End) -> None:
        self.other, far.other = far, self
        for data in self.waiting:
            far.transport.write(data)


reactor.listenTCP(PORT, protocol.ServerFactory.forProtocol(Near), interface="127.0.0.1", backlog=4096)
reactor.run()
