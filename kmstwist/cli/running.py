"""Running one asynchronous job from a command: the reactor starts, the job is done, the reactor stops."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import click

_T = TypeVar("_T")


def run_in_reactor(job: Callable[[Any], Coroutine[Any, Any, _T]]) -> _T:
    """The result of `job(reactor)`; what it raises is raised here.

    A process can do this once: Twisted's reactor cannot be started again. An interrupt (Ctrl-C) ends in `click.Abort`.
    """
    from twisted.internet import task
    from twisted.internet.defer import Deferred

    results: list[_T] = []
    errors: list[Exception] = []

    async def kept(reactor: Any) -> None:
        try:
            results.append(await job(reactor))
        except Exception as error:
            errors.append(error)

    # react's manner of ending, with success as well, is SystemExit.
    with contextlib.suppress(SystemExit):
        task.react(lambda reactor: Deferred.fromCoroutine(kept(reactor)))
    if errors:
        raise errors[0]
    if not results:
        raise click.Abort
    return results[0]
