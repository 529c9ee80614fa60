"""The least that a Twisted relay can do: what the event loop itself costs, as a limit for the gateway.

    bare_relay.py PORT UPSTREAM_PORT FOLDER

A bind is answered from memory, a request goes over one of 32 bound connections to the host behind. No rules of RPC, no
log, no audit. FOLDER holds `bind.bin` and `ack.bin`.
"""

from __future__ import annotations

import sys
from collections import deque
from pathlib import Path
from typing import Any

from twisted.internet import epollreactor

epollreactor.install()

from twisted.internet import protocol, reactor as _reactor  # noqa: E402, I001

reactor: Any = _reactor
PORT, UPSTREAM, FOLDER = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
BIND, ACK = (FOLDER / "bind.bin").read_bytes(), (FOLDER / "ack.bin").read_bytes()
pool: deque[Upstream] = deque()
waiting: deque[tuple[Client, bytes]] = deque()


class _Pdus(protocol.Protocol):
    """Tells of each PDU; nobody here sends one before the last is answered."""

    transport: Any
    buffer = b""

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)

    def dataReceived(self, data: bytes) -> None:
        self.buffer = buffer = self.buffer + data
        if len(buffer) >= 16 and len(buffer) >= int.from_bytes(buffer[8:10], "little"):
            self.buffer = b""
            self.pdu_received(buffer)

    def pdu_received(self, pdu: bytes) -> None:
        raise NotImplementedError


class Upstream(_Pdus):
    """A bound connection to the host behind; a call at a time."""

    client: Client | None = None

    def connectionMade(self) -> None:
        super().connectionMade()
        self.transport.write(BIND)

    def pdu_received(self, pdu: bytes) -> None:
        if self.client is not None:
            self.client.transport.write(pdu)
            self.client = None
        if waiting:
            self.serve(*waiting.popleft())
        else:
            pool.append(self)

    def serve(self, client: Client, pdu: bytes) -> None:
        self.client = client
        self.transport.write(pdu)


class Client(_Pdus):
    """A client's connection."""

    bound = False

    def pdu_received(self, pdu: bytes) -> None:
        if not self.bound:
            self.bound = True
            self.transport.write(ACK)
        elif pool:
            pool.pop().serve(self, pdu)
        else:
            waiting.append((self, pdu))


for _ in range(32):
    reactor.connectTCP("127.0.0.1", UPSTREAM, protocol.ClientFactory.forProtocol(Upstream))
reactor.listenTCP(PORT, protocol.ServerFactory.forProtocol(Client), interface="127.0.0.1", backlog=4096)
reactor.run()
