"""The descriptors of many connections as one descriptor of the reactor's.

For each event, Twisted's reactors set up a context for the log and look at the descriptor a dozen times, which takes
4 µs. This set has an epoll object of its own. The reactor sees one descriptor, which is readable when something
happened on any descriptor of the set; these are then called in one turn.

Two kinds of connections are in it: those whose transport is `Accepted`, such as clients', and those of Twisted's that
`join_set` moves here.
"""

from __future__ import annotations

import os
import select
import socket
import struct
from collections.abc import Callable
from functools import cache
from typing import Any, Final, Protocol, TypeAlias, TypeVarTuple, cast

from twisted.internet import tcp
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IAddress, IDelayedCall, IProtocol, IReactorFDSet, IReadDescriptor
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from kmstwist.reactor import Reactor

#: Descriptors at most that are called in one turn of the reactor: then its timers and other descriptors have theirs.
AT_ONCE: Final = 64
_IN: Final = select.EPOLLIN
_OUT: Final = select.EPOLLOUT
_Ts = TypeVarTuple("_Ts")
_DONE: Final = Failure(CONNECTION_DONE)
_LOST: Final = Failure(CONNECTION_LOST)
#: SO_LINGER (socket(7)): on, for 0 s, so that closing drops what is unsent and resets the connection.
_RESET: Final = struct.pack("ii", 1, 0)


class Descriptor(Protocol):
    """What is waited for: one of Twisted's `FileDescriptor`s, whose two directions can end by themselves."""

    def fileno(self) -> int:
        """Its number; -1 when it is closed."""

    def doRead(self) -> Exception | None:
        """Read what there is. Returns why the connection is lost, if it is."""

    def doWrite(self) -> Exception | None:
        """Write what there is room for. Returns why the connection is lost, if it is."""

    def readConnectionLost(self, reason: Failure) -> None:
        """The other side sends no more."""

    def connectionLost(self, reason: Failure) -> None:
        """The connection is gone."""


#: Descriptors by their numbers.
_Table: TypeAlias = dict[int, Descriptor]


@implementer(IReactorFDSet, IReadDescriptor)
class DescriptorSet:
    """Stands for the reactor where descriptors are added and removed, and for all of them in the reactor."""

    def __init__(self, reactor: Reactor) -> None:
        """`reactor` is the one that waits. There is one set for each: ask `set_of` for it."""
        self._reactor = reactor
        self._epoll = select.epoll()
        self._readers: _Table = {}
        self._writers: _Table = {}
        #: The number of each, which it may not know any more when it is removed.
        self._numbers: dict[Descriptor, int] = {}
        self._log = Logger(namespace="kmstwist.server")
        reactor.addReader(cast(IReadDescriptor, self))

    def callLater(self, delay: float, function: Callable[[*_Ts], object], *arguments: *_Ts) -> IDelayedCall:
        """As the reactor's: a connection that is aborted ends a moment later, and it knows no other reactor."""
        return self._reactor.callLater(delay, function, *arguments)

    # IReactorFDSet.

    def addReader(self, reader: Any) -> None:
        """Call its `doRead` when it is readable."""
        self._add(reader, self._readers, self._writers, _IN)

    def addWriter(self, writer: Any) -> None:
        """Call its `doWrite` when it is writable."""
        self._add(writer, self._writers, self._readers, _OUT)

    def removeReader(self, reader: Any) -> None:
        """Let it be, if it is there."""
        self._remove(reader, self._readers, self._writers, _OUT)

    def removeWriter(self, writer: Any) -> None:
        """Let it be, if it is there."""
        self._remove(writer, self._writers, self._readers, _IN)

    def _add(self, descriptor: Descriptor, mine: _Table, others: _Table, event: int) -> None:
        number = descriptor.fileno()
        there = mine.get(number, others.get(number))
        if there is not None and there is not descriptor:
            # It was closed without being removed, and another has its number: the kernel forgot it at once.
            mine.pop(number, None)
            others.pop(number, None)
            del self._numbers[there]
        elif number in mine:
            return
        mine[number] = descriptor
        if number in others:
            self._epoll.modify(number, _IN | _OUT)
        else:
            self._epoll.register(number, event)
            self._numbers[descriptor] = number

    def _remove(self, descriptor: Descriptor, mine: _Table, others: _Table, other_event: int) -> None:
        number = self._numbers.get(descriptor)
        if number is None or mine.pop(number, None) is None:
            return
        if number in others:
            self._epoll.modify(number, other_event)
        else:
            self._epoll.unregister(number)
            del self._numbers[descriptor]

    def forget(self, descriptor: Descriptor) -> None:
        """Let it be, now that it is closed: the kernel's object has forgotten it already."""
        number = self._numbers.pop(descriptor, None)
        if number is not None:
            self._readers.pop(number, None)
            self._writers.pop(number, None)

    def removeAll(self) -> list[Any]:
        """Let all be. Returns them."""
        found = list(self._numbers)
        for descriptor in found:
            self.removeReader(descriptor)
            self.removeWriter(descriptor)
        return found

    def getReaders(self) -> list[Any]:
        """Those that are read from."""
        return list(self._readers.values())

    def getWriters(self) -> list[Any]:
        """Those that are written to."""
        return list(self._writers.values())

    # IReadDescriptor.

    def fileno(self) -> int:
        """The epoll object's number."""
        return self._epoll.fileno()

    def logPrefix(self) -> str:
        """What Twisted's log says of it."""
        return "clients"

    def doRead(self) -> None:
        """Call those on which something happened."""
        readers = self._readers
        for number, event in self._epoll.poll(0, AT_ONCE):
            if event != _IN:
                self._called_for_more(number, event)
                continue
            descriptor = readers.get(number)
            # It may have been removed by one before it.
            if descriptor is not None:
                self._read(descriptor)

    def _called_for_more(self, number: int, event: int) -> None:
        """Something beside bytes that can be read: room to write, an end of both directions, an error."""
        descriptor = self._readers.get(number)
        # An end and an error are found by reading, so that nothing that came before them is lost.
        if descriptor is not None and event & ~_OUT:
            self._read(descriptor)
        descriptor = self._writers.get(number)
        if descriptor is not None and event & _OUT:
            try:
                why = descriptor.doWrite()
            except Exception:
                self._failed(descriptor)
                return
            if why is not None:
                self._lost(descriptor, why)
        elif descriptor is not None and number not in self._readers:
            # Nobody reads, so the reactor would be woken without end.
            self._lost(descriptor, CONNECTION_LOST)

    def _read(self, descriptor: Descriptor) -> None:
        try:
            why = descriptor.doRead()
            if why is CONNECTION_DONE:
                descriptor.readConnectionLost(_DONE)
                # Most are closed by that.
                if descriptor in self._numbers:
                    self.removeReader(descriptor)
            elif why is not None:
                self._lost(descriptor, why)
        except Exception:
            self._failed(descriptor)

    def _failed(self, descriptor: Descriptor) -> None:
        failure = Failure()
        self._log.failure("a connection is ended by a fault of the program", failure)
        if descriptor.fileno() >= 0:
            descriptor.connectionLost(failure)

    def _lost(self, descriptor: Descriptor, why: Exception) -> None:
        descriptor.connectionLost(
            _DONE if why is CONNECTION_DONE else _LOST if why is CONNECTION_LOST else Failure(why)
        )

    def connectionLost(self, reason: Failure) -> None:
        """The reactor has ended: so have they all."""
        for descriptor in self.removeAll():
            descriptor.connectionLost(reason)


@cache
def set_of(reactor: Reactor) -> DescriptorSet:
    """The reactor's set, made when it is asked for first."""
    return DescriptorSet(reactor)


def join_set(connection: tcp.Connection) -> None:
    """Move a connection that Twisted's reactor calls to the reactor's set."""
    connection.stopReading()
    connection.reactor = set_of(cast(Reactor, connection.reactor))
    connection.startReading()


class Accepted(tcp.Connection):
    """The transport of a connected socket that Twisted did not make itself: a client's, or a process's of our own."""

    logstr = "client"

    def __init__(
        self, skt: socket.socket, protocol: IProtocol, peer: IAddress, server: object, connections: DescriptorSet
    ) -> None:
        """`server` is the port that a client connected to; `connections` calls when something happens."""
        super().__init__(skt, protocol, connections)
        self.server = server
        self._peer = peer
        self.connected = 1
        self.startReading()

    def doRead(self) -> Exception | None:  # type: ignore[override]  # the two that it inherits differ, too
        """Hand the protocol what can be read. Returns why the connection has ended, if it has."""
        # Twisted's does the same in two calls, and looks at what the protocol returns.
        try:
            data = self.socket.recv(self.bufferSize)
        except BlockingIOError:
            return None
        except OSError:
            return CONNECTION_LOST
        if not data:
            return CONNECTION_DONE
        self.protocol.dataReceived(data)
        return None

    def connectionLost(self, reason: Failure) -> None:
        """Close the socket and tell the protocol, once."""
        if self.disconnected:
            return
        protocol, skt = self.protocol, self.socket
        connections: Any = self.reactor
        self.disconnected, self.connected = 1, 0
        if self.producer is not None:
            self.producer.stopProducing()
            self.producer = None
        if isinstance(reason.value, ConnectionAborted):
            skt.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        # It is nobody else's, so closing it says all that shutting it down before would.
        skt.close()
        connections.forget(self)
        # The protocol has the transport: no cycle is left.
        del self.protocol, self.socket, self.fileno
        protocol.connectionLost(reason)

    def getHost(self) -> IAddress:
        """Our side's address."""
        return address_of(self.socket.family, self.socket.getsockname())

    def getPeer(self) -> IAddress:
        """The client's address."""
        return self._peer


def address_of(family: int, address: Any) -> IAddress:
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
