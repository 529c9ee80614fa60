"""Threads on a system that allows no more of them (RLIMIT_NPROC, a cgroup's limit of tasks).

Twisted's pool counts a thread before it starts. If one could not be started, stopping the pool fails with a traceback
there, and does not wait for the threads after it.
"""

from __future__ import annotations

from threading import Thread
from typing import Any

from twisted.python.threadpool import ThreadPool

from kmstwist.reactor import Reactor

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


class Threads(ThreadPool):
    """A pool that can be stopped even if some of its threads never started."""

    threadFactory = PatientThread


def mend_threads(reactor: Reactor) -> None:
    """Let the reactor's own pool stop even if some of its threads never started."""
    # Twisted's own attribute for it, which is not in its interface.
    reactor.getThreadPool().threadFactory = PatientThread
