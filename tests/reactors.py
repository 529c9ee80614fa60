"""The reactor of the tests, and what replaces it, for the type checker."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IListeningPort

from kmstwist.reactor import Reactor, installed_reactor

#: The one that pytest-twisted runs.
reactor = installed_reactor()


def in_place_of_one(stand_in: object) -> Reactor:
    """A replacement for a reactor: it has what the tested part uses."""
    return cast(Reactor, stand_in)


def listen(factory: Any, port: int = 0) -> IListeningPort:
    """Listen on this machine with any factory."""
    return reactor.listenTCP(port, factory, interface="127.0.0.1")


def port_of(listening: IListeningPort) -> int:
    """The number of a listening port."""
    address = listening.getHost()
    assert isinstance(address, IPv4Address)
    return address.port
