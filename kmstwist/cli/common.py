"""Code that several verbs share: parameter types, and a reactor for one coroutine."""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from kmstwist.addresses import AddressError, HostPort, is_address, parse_host_port
from kmstwist.networks import network_of
from kmstwist.problem import WrongValue

if TYPE_CHECKING:
    from kmstwist.reactor import Reactor

ResultT = TypeVar("ResultT")


class HostPortType(click.ParamType[HostPort]):
    """HOST or HOST:PORT on the command line."""

    name = "HOST[:PORT]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> HostPort:
        """The address, or a usage error that says how to write one."""
        if isinstance(value, HostPort):
            return value
        try:
            found = parse_host_port(value)
            if ":" in found.host and not str(value).startswith("[") and value.rpartition(":")[2].isdigit():
                # An IPv6 address, whose last part may have been meant as a port.
                address, _, port = value.rpartition(":")
                if is_address(address):
                    told = f"taken for {found}; for port {port} of another address write [{address}]:{port}"
                    click.echo(told, err=True)
            return found
        except AddressError as error:
            self.fail(str(error), param, ctx)


HOST_PORT = HostPortType()


class NetworkType(click.ParamType[object]):
    """An address or a network on the command line."""

    name = "ADDRESS[/BITS]"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> object:
        """The network; without a size, that of one address."""
        if not isinstance(value, str):
            return value
        try:
            return network_of(value)
        except WrongValue as error:
            self.fail(str(error), param, ctx)


NETWORK = NetworkType()


class FiniteRange(click.FloatRange):
    """A number within limits. Click's own range accepts `nan`, which is neither too small nor too large."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number, or a usage error."""
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a number.", param, ctx)
        return number


#: Seconds to wait: more than 0, at most an hour.
SECONDS = FiniteRange(0, 3600, min_open=True)


class AnyPath(click.Path):
    """A path. The code that uses it checks whether this user may read it, and gives a message with a cure."""

    def __init__(
        self, *, exists: bool = False, file_okay: bool = True, dir_okay: bool = True, allow_dash: bool = False
    ):
        super().__init__(exists, file_okay, dir_okay, readable=False, allow_dash=allow_dash, path_type=Path)


ANY_PATH = AnyPath()


def run_reactor(main: Callable[[Reactor], Coroutine[Any, Any, ResultT]]) -> ResultT:
    """Run `main(reactor)` on Twisted's reactor and return its result; its exception is raised here.

    Raises `KeyboardInterrupt` if a signal stopped it.
    """
    from twisted.internet.defer import Deferred
    from twisted.python.failure import Failure

    from kmstwist.clock import run_on_monotonic_time
    from kmstwist.reactor import installed_reactor

    reactor = installed_reactor()
    run_on_monotonic_time(reactor)
    outcome: list[ResultT | Failure] = []

    def finish(result: ResultT | Failure) -> None:
        outcome.append(result)
        if reactor.running:
            reactor.stop()

    interrupted: list[bool] = []
    # When a signal stops the reactor, its connections end; the result of `main` is meaningless then.
    reactor.addSystemEventTrigger("before", "shutdown", lambda: interrupted.append(not outcome))
    reactor.callWhenRunning(lambda: Deferred.fromCoroutine(main(reactor)).addBoth(finish))
    reactor.run()
    if not outcome or any(interrupted):
        raise KeyboardInterrupt
    result = outcome[0]
    if isinstance(result, Failure):
        result.raiseException()
    return result
