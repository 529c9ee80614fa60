"""Work that is done one piece at a time, and for which those that ask take turns."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

T = TypeVar("T")


class Turns(Generic[T]):
    """Runs one piece of work at a time, the next of each client in turn.

    A client that asks for much waits for itself: another one waits for one piece of each client before it.
    """

    def __init__(self) -> None:
        #: What each client asked for, those that are next first.
        self._waiting: dict[str, deque[tuple[Deferred[T], Callable[[], Deferred[T]]]]] = {}
        self._busy = False

    def run(self, client: str, work: Callable[[], Deferred[T]]) -> Deferred[T]:
        """Call `work` when it is this client's turn; fires with its result, or fails as it does."""
        done: Deferred[T] = Deferred()
        self._waiting.setdefault(client, deque()).append((done, work))
        if not self._busy:
            self._next()
        return done

    def _next(self) -> None:
        self._busy = bool(self._waiting)
        if self._busy:
            client = next(iter(self._waiting))
            asked = self._waiting.pop(client)
            done, work = asked.popleft()
            if asked:
                self._waiting[client] = asked
            work().addBoth(self._finished, done)

    def _finished(self, result: T | Failure, done: Deferred[T]) -> None:
        self._next()
        # A failure fails it.
        done.callback(result)
