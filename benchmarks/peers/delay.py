"""A relay that makes a host far away: what it is sent, in either direction, it sends on after a while.

delay.py PORT HOST_PORT SECONDS

A connection to a host that is far is there after a way to it and back, and what its client sends goes off only then.
The relay is near and accepts at once, so it keeps what comes earlier until that moment.
"""

from __future__ import annotations

import sys
from collections import deque
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
        self.on_the_way: deque[bytes] = deque()
        #: When the other end may be sent something first.
        self.connected = 0.0

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)

    def dataReceived(self, data: bytes) -> None:
        self.on_the_way.append(data)
        reactor.callLater(max(self.connected - reactor.seconds(), 0) + SECONDS, self.arrive)

    def arrive(self) -> None:
        data = self.on_the_way.popleft()
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
        self.connected = reactor.seconds() + 2 * SECONDS
        protocol.ClientCreator(reactor, End).connectTCP("127.0.0.1", HOST_PORT).addCallback(self.joined)

    def joined(self, far: End) -> None:
        self.other, far.other = far, self
        for data in self.waiting:
            far.transport.write(data)


reactor.listenTCP(PORT, protocol.ServerFactory.forProtocol(Near), interface="127.0.0.1", backlog=4096)
reactor.run()
