"""Threads where the system has no room for another (RLIMIT_NPROC, a cgroup's limit of tasks).

A pool of Twisted's counts a thread before it starts. One that could not be started ends the pool's end with a
traceback, and the threads after it are not waited for.
"""

from __future__ import annotations

from threading import Thread

from twisted.python.threadpool import ThreadPool

from kmstwist.reactor import Reactor

#: What to do where no thread can be started.
MORE_THREADS = "have the system allow more threads: ulimit -u, TasksMax= in the unit, or a container's limit of tasks"


class PatientThread(Thread):
    """A thread that may be waited for also where it never started."""

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end, if it began."""
        if self.ident is not None:
            super().join(timeout)


class Threads(ThreadPool):
    """A pool that ends also where some of its threads never started."""

    threadFactory = PatientThread


def mend_threads(reactor: Reactor) -> None:
    """Have the reactor's own pool end also where some of its threads never started."""
    # Twisted's own place for it, which its interface does not name.
    reactor.getThreadPool().threadFactory = PatientThread
