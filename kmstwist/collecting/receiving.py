"""Connections and datagrams from the senders of events."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from itertools import count
from typing import Protocol

from twisted.internet import protocol
from twisted.internet.interfaces import IAddress, ITransport
from twisted.python.failure import Failure

from kmstwist.collecting.framing import MOST, Frames

#: After how many seconds without a byte a connection may be closed for a new one of the same sender, if there are too
#: many.
SILENT = 60.0


class Taker(Protocol):
    """What takes messages in."""

    connections: set[Stream]
    #: How many there may be.
    most: int

    @property
    def full(self) -> bool:
        """Whether no more is to be read."""

    def seconds(self) -> float:
        """The time in seconds, from any beginning."""

    def may_send(self, address: str) -> bool:
        """Whether messages from this address are taken."""

    def take(self, message: bytes, sender: str) -> None:
        """Take a message in."""

    def drop(self, number: int, sender: str, reason: str) -> None:
        """Count messages that could not be taken, and log that."""


class Stream(protocol.Protocol):
    """A sender's connection."""

    transport: ITransport
    #: Grows with whatever any of them brings.
    _time = count()

    def __init__(self, collector: Taker, sender: str) -> None:
        self._collector = collector
        self.sender = sender
        #: When bytes last came: its place in the order of all connections, and the collector's seconds.
        self.heard, self.heard_at = 0, 0.0
        self._frames = Frames()
        self._too_long = 0
        self._paused = False

    def connectionMade(self) -> None:
        """Begin to read, unless there is no room."""
        self._collector.connections.add(self)
        self.heard, self.heard_at = next(self._time), self._collector.seconds()
        # A sender that loses its power never closes its connection.
        with suppress(AttributeError):
            self.transport.setTcpKeepAlive(1)  # type: ignore[attr-defined]
        if self._collector.full:
            self.pause()

    def dataReceived(self, data: bytes) -> None:
        """Take the messages that are whole by now."""
        self.heard, self.heard_at = next(self._time), self._collector.seconds()
        for message in self._frames.feed(data):
            self._collector.take(message, self.sender)
        if self._frames.too_long > self._too_long:
            self._collector.drop(self._frames.too_long - self._too_long, self.sender, "too-long")
            self._too_long = self._frames.too_long

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        """Take the last line, which may have no line end."""
        if rest := self._frames.end():
            self._collector.take(rest, self.sender)
        self._collector.connections.discard(self)

    def pause(self) -> None:
        """Stop reading, so that the sender keeps its messages."""
        if not self._paused:
            self._paused = True
            self.transport.pauseProducing()  # type: ignore[attr-defined]

    def resume(self) -> None:
        """Read on."""
        if self._paused:
            self._paused = False
            with suppress(AttributeError):
                self.transport.resumeProducing()  # type: ignore[attr-defined]

    def finish(self) -> None:
        """Close the connection; messages that have arrived are taken."""
        self.transport.loseConnection()


class Streams(protocol.ServerFactory):
    """Takes the connections of permitted senders."""

    noisy = False

    def __init__(self, collector: Taker) -> None:
        self._collector = collector

    def buildProtocol(self, addr: IAddress | None) -> Stream | None:
        """A stream; None, which closes the connection, if the sender is not permitted or there are too many."""
        address: str = addr.host  # type: ignore[union-attr]
        if not self._collector.may_send(address):
            return None
        if len(self._collector.connections) >= self._collector.most and not self._make_room(address):
            self._collector.drop(0, address, "connections")
            return None
        return Stream(self._collector, address)

    def _make_room(self, address: str) -> bool:
        """Close a connection to make room. Returns whether one was closed.

        It is one of the sender with the most connections, if this sender has fewer; or one of this sender's own that
        has been silent for a while, since the sender may have forgotten it.
        """
        connections = self._collector.connections
        number = Counter(each.sender for each in connections)
        busiest, most = number.most_common(1)[0]
        whose = busiest if number[address] + 1 < most else address
        silent = min((each for each in connections if each.sender == whose), key=lambda each: each.heard, default=None)
        if silent is None or (whose == address and self._collector.seconds() - silent.heard_at < SILENT):
            return False
        connections.discard(silent)
        self._collector.drop(0, whose, "connections")
        silent.finish()
        return True


class Datagrams(protocol.DatagramProtocol):
    """A message in each datagram."""

    noisy = False

    def __init__(self, collector: Taker) -> None:
        self._collector = collector

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        """Take the message, if there is room."""
        if not self._collector.may_send(addr[0]):
            return
        if self._collector.full or len(datagram) > MOST:
            self._collector.drop(1, addr[0], "no-room" if self._collector.full else "too-long")
        elif message := datagram.strip(b"\0\r\n \t"):
            self._collector.take(message, addr[0])
