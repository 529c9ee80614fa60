"""The reactor as this program uses it, for the type checker: one name for the interfaces of Twisted's that are needed.

What only needs the time asks for an `IReactorTime`, so that a test can give it a clock; what opens sockets, starts
processes or looks names up asks for a `Reactor`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IReactorCore,
    IReactorFDSet,
    IReactorPluggableNameResolver,
    IReactorProcess,
    IReactorSocket,
    IReactorTCP,
    IReactorThreads,
    IReactorTime,
    IReactorUDP,
    IReactorUNIX,
)


class Reactor(
    IReactorCore,
    IReactorTime,
    IReactorFDSet,
    IReactorTCP,
    IReactorUDP,
    IReactorUNIX,
    IReactorSocket,
    IReactorProcess,
    IReactorThreads,
    IReactorPluggableNameResolver,
):
    """What every reactor on Linux provides, and this program uses."""


T = TypeVar("T")


class InThread(Protocol):
    """Runs a function in a thread, as `deferToThread` does; a test's own runs it when the test says so."""

    def __call__(self, function: Callable[..., T], /, *args: object) -> Deferred[T]:
        """Run it with these arguments. The Deferred has its result or its error."""


def installed_reactor() -> Reactor:
    """The reactor of this process; installs Twisted's default if there is none yet."""
    from twisted.internet import reactor

    return cast(Reactor, reactor)
