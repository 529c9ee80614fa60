"""What several verbs share: a reactor for one coroutine, and how failures are told."""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import click

from kmstwist.transport.address import AddressError, HostPort, parse_host_port

ResultT = TypeVar("ResultT")


class HostPortType(click.ParamType[HostPort]):
    """HOST or HOST:PORT on the command line."""

    name = "HOST[:PORT]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> HostPort:
        """The address, or a usage error that says what would be one."""
        if isinstance(value, HostPort):
            return value
        try:
            return parse_host_port(value)
        except AddressError as error:
            self.fail(str(error), param, ctx)


class SecondsType(click.FloatRange):
    """Seconds to wait: more than none, and no more than an hour."""

    def __init__(self) -> None:
        super().__init__(0, 3600, min_open=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number; what is none is refused, though it compares with no bound."""
        seconds: float = super().convert(value, param, ctx)
        if math.isnan(seconds):
            self.fail(f"{value} is not a number of seconds.", param, ctx)
        return seconds


HOST_PORT = HostPortType()
SECONDS = SecondsType()
#: The configuration that an installed server runs with.
DEFAULT_CONFIG = Path("/etc/kmstwist/kmstwist.toml")
EXISTING_PATH = click.Path(path_type=Path)


def run_reactor(main: Callable[[Any], Coroutine[Any, Any, ResultT]]) -> ResultT:
    """Run `main(reactor)` to its end on Twisted's reactor and give its result; its exception is raised here."""
    from twisted.internet import reactor
    from twisted.internet.defer import Deferred
    from twisted.python.failure import Failure

    outcome: list[Any] = []

    def finish(result: Any) -> None:
        outcome.append(result)
        stopper: Any = reactor
        if stopper.running:
            stopper.stop()

    running: Any = reactor
    running.callWhenRunning(lambda: Deferred.fromCoroutine(main(reactor)).addBoth(finish))
    running.run()
    if not outcome:
        raise click.Abort
    result = outcome[0]
    if isinstance(result, Failure):
        result.raiseException()
    kept: ResultT = result
    return kept
