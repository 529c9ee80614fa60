"""Threads for work that blocks, also on a system that allows no more of them (RLIMIT_NPROC, a cgroup's limit of tasks).

Twisted's pool counts a thread before it starts. If one could not be started, stopping the pool fails with a traceback
there, and does not wait for the threads after it. And each piece of work leaves a cycle of four objects there, which
only the garbage collector frees: the function that does the work names itself.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure

from kmstwist.reactor import Reactor, installed_reactor

T = TypeVar("T")

#: Work for a thread: a function, its arguments, and what is called with its result, or with the Failure of it.
Work = tuple[Callable[..., Any], tuple[object, ...], Callable[[Any], object]]

#: The cure if no thread can be started.
MORE_THREADS = "have the system allow more threads: ulimit -u, TasksMax= in the unit, or a container's limit of tasks"


class PatientThread(Thread):
    """A thread that can be joined even if it never started, and that does not keep the process from ending.

    A pool's own end waits for its threads. If that end never comes, since a part of the server could not start or stop,
    the process still ends, in place of waiting for work for ever.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.daemon = True

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end, if it started."""
        if self.ident is not None:
            super().join(timeout)


class OneThread:
    """A thread that does what it is given, one piece after the other. It leaves nothing for the garbage collector."""

    def __init__(self, name: str, reactor: IReactorFromThreads) -> None:
        """`name` is the thread's; `reactor` hears of each result."""
        self._name = name
        self._reactor = reactor
        self._thread: PatientThread | None = None
        #: What there is to do. None ends the thread.
        self._given: SimpleQueue[Work | None] = SimpleQueue()
        #: Do this when its turn comes. What is given after `stop` waits for the next `start`. The queue's own method: a
        #: batch of records costs no call of ours.
        self.give: Callable[[Work], None] = self._given.put

    def start(self) -> None:
        """Begin, with what was given before. Raises RuntimeError where no thread can be started."""
        thread = PatientThread(target=self._work, name=self._name)
        thread.start()
        self._thread = thread

    def run(self, function: Callable[..., T], /, *arguments: object) -> Deferred[T]:
        """Call the function when its turn comes, as `give` does. The Deferred has its result or its error."""
        done: Deferred[T] = Deferred()
        self.give((function, arguments, partial(tell, done)))
        return done

    def stop(self) -> None:
        """End when all is done that was given before; blocks until then. Does nothing where it never started."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._given.put(None)
            thread.join()

    def _work(self) -> None:
        while (given := self._given.get()) is not None:
            function, arguments, told = given
            try:
                result = function(*arguments)
            except BaseException:
                result = Failure()
            self._reactor.callFromThread(told, result)
            # Nothing of the work is kept while the thread waits for the next one.
            del given, function, arguments, told, result


def in_own_thread(function: Callable[..., T], /, *arguments: object) -> Deferred[T]:
    """Call the function in a thread that ends with it. The Deferred has its result or its error.

    For what is done every few seconds for as long as a server runs: each piece of work leaves four objects of Twisted's
    pool to the garbage collector, and this nothing. Raises RuntimeError where no thread can be started.
    """
    done: Deferred[T] = Deferred()
    PatientThread(target=_call, args=(installed_reactor(), partial(tell, done), function, *arguments)).start()
    return done


def _call(
    reactor: IReactorFromThreads, told: Callable[[Any], object], function: Callable[..., Any], *arguments: object
) -> None:
    try:
        result = function(*arguments)
    except BaseException:
        result = Failure()
    reactor.callFromThread(told, result)


def tell(done: Deferred[T], result: T | Failure) -> None:
    """Give a Deferred its result or its error."""
    if isinstance(result, Failure):
        done.errback(result)
    else:
        done.callback(result)


def mend_threads(reactor: Reactor) -> None:
    """Let the reactor's own pool stop even if some of its threads never started."""
    # Twisted's own attribute for it, which is not in its interface.
    reactor.getThreadPool().threadFactory = PatientThread
