"""Waiting for several coroutines at once."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, FirstError, gatherResults

_T = TypeVar("_T")


async def together(coroutines: Iterable[Coroutine[Any, Any, _T]]) -> list[_T]:
    """The results of all, in their order; the first error is raised as itself, and the rest is given up."""
    running = [Deferred.fromCoroutine(coroutine) for coroutine in coroutines]
    try:
        return await gatherResults(running, consumeErrors=True)
    except FirstError as first:
        for rest in running:
            rest.cancel()
        error: Any = first.subFailure.value
        raise error from None
