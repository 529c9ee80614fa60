"""Host names looked up as the system does it (`getaddrinfo`: hosts file, search domains, DNS), in separate threads.

While a DNS server is silent a look-up takes many seconds, and nothing can end it early. Twisted's own resolver makes
one for each connection, in the reactor's threads, and the process waits for all of them when it ends. Here a name is
looked up once for everybody who asks at the same time, and the process does not wait for look-ups at its end.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress, IHostnameResolver, IHostResolution, IResolutionReceiver
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool
from zope.interface import implementer

from kmstwist.reactor import Reactor
from kmstwist.system.threads import PatientThread

#: How many names are looked up at the same time; further ones wait.
_THREADS = 8
_ADDRESSES: dict[int, Callable[..., IAddress]] = {socket.AF_INET: IPv4Address, socket.AF_INET6: IPv6Address}


class _LooseThread(PatientThread):
    """A thread that the interpreter does not wait for when it ends."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs, daemon=True)


class _LooseThreads(ThreadPool):
    threadFactory = _LooseThread


@implementer(IHostResolution)
class _Resolution:
    def __init__(self, name: str) -> None:
        self.name = name

    def cancel(self) -> None:
        """Do nothing: a look-up cannot be ended early; its result is ignored."""


@implementer(IHostnameResolver)
class SharedLookups:
    """Looks each name up once for everybody who asks during the look-up."""

    def __init__(
        self,
        reactor: Reactor,
        otherwise: IHostnameResolver,
        getaddrinfo: Callable[..., Sequence[tuple[Any, ...]]] = socket.getaddrinfo,
    ) -> None:
        """`otherwise` resolves names for anything but a TCP connection to any kind of address."""
        self._reactor = reactor
        self._otherwise = otherwise
        self._getaddrinfo = getaddrinfo
        self._threads = _LooseThreads(0, _THREADS, "lookups")
        self._threads.start()
        self._waiting: dict[tuple[str, int], list[IResolutionReceiver]] = {}

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        """See `IHostnameResolver`: the receiver is given each address, and told when there are no more."""
        if addressTypes is not None or transportSemantics != "TCP":
            return self._otherwise.resolveHostName(
                resolutionReceiver, hostName, portNumber, addressTypes, transportSemantics
            )
        resolution = _Resolution(hostName)
        resolutionReceiver.resolutionBegan(resolution)
        question = (hostName, portNumber)
        if question in self._waiting:
            self._waiting[question].append(resolutionReceiver)
        else:
            self._waiting[question] = [resolutionReceiver]
            deferToThreadPool(
                self._reactor, self._threads, self._getaddrinfo, hostName, portNumber, 0, socket.SOCK_STREAM
            ).addErrback(_no_such_name).addCallback(self._found, question)
        return resolution

    def _found(self, found: Sequence[tuple[Any, ...]], question: tuple[str, int]) -> None:
        addresses = [_ADDRESSES[family]("TCP", *where) for family, _, _, _, where in found if family in _ADDRESSES]
        for receiver in self._waiting.pop(question):
            for address in addresses:
                receiver.addressResolved(address)
            receiver.resolutionComplete()


def _no_such_name(failure: Failure) -> Sequence[tuple[Any, ...]]:
    # ValueError: a label that is too long for the wire.
    failure.trap(OSError, ValueError)
    return ()


def share_lookups(reactor: Reactor) -> None:
    """Make the reactor look names up in this way from now on."""
    reactor.installNameResolver(SharedLookups(reactor, reactor.nameResolver))
