"""DNS servers that misbehave: silent ones, and ones whose answers the test sets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import DeferredQueue, maybeDeferred
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.task import Clock

from kmstwist.addresses import HostPort
from tests.ports import free_port
from tests.reactors import port_of, reactor
from tests.waiting import PATIENCE


class VirtualTime(Clock):
    """The reactor's network, with a clock that the test advances, so that the test decides how long a silence lasts."""

    def __getattr__(self, name: str) -> Any:
        return getattr(reactor, name)


class _Answering(DatagramProtocol):
    def __init__(self, answer: Callable[[bytes], bytes | None]) -> None:
        self._answer = answer
        self.heard: list[bytes] = []
        self.hearing: DeferredQueue[bytes] = DeferredQueue()

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        self.heard.append(datagram)
        self.hearing.put(datagram)
        answer = self._answer(datagram)
        if answer is not None:
            assert self.transport is not None
            self.transport.write(answer, addr)


class Misbehaving:
    """A UDP server on 127.0.0.1 whose answer to each datagram `answer` makes; None is silence."""

    def __init__(
        self, answer: Callable[[bytes], bytes | None] = lambda datagram: None, port: int | None = None
    ) -> None:
        self.protocol = _Answering(answer)
        self.port = reactor.listenUDP(port or free_port(), self.protocol, "127.0.0.1", 8192)

    @property
    def server(self) -> HostPort:
        return HostPort("127.0.0.1", port_of(self.port))

    @property
    def heard(self) -> list[bytes]:
        return self.protocol.heard

    async def hears(self) -> bytes:
        """Wait for the next datagram."""
        return await self.protocol.hearing.get().addTimeout(PATIENCE, reactor)

    async def stop(self) -> None:
        await maybeDeferred(self.port.stopListening)
