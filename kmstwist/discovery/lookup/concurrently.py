"""Waiting for several coroutines at once."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, DeferredSemaphore, FirstError, gatherResults

_T = TypeVar("_T")

#: How many questions are under way at the same time: each needs a socket, and a domain may name a thousand hosts.
AT_ONCE = 50


async def together(coroutines: Iterable[Coroutine[Any, Any, _T]], at_once: int = AT_ONCE) -> list[_T]:
    """The results of all coroutines, in order. The first error is raised, and the rest is cancelled."""
    turns = DeferredSemaphore(at_once)
    waiting = list(coroutines)
    running: list[Deferred[_T]] = [turns.run(Deferred.fromCoroutine, coroutine) for coroutine in waiting]
    try:
        return await gatherResults(running, consumeErrors=True)
    except FirstError as first:
        error: Any = first.subFailure.value
        raise error from None
    finally:
        # The last first: cancelling one that has its turn would give the next one a turn.
        for rest in reversed(running):
            rest.cancel()
        for coroutine in waiting:
            # Python warns of a coroutine that never ran.
            coroutine.close()
