"""Turns among the processes aside of several workers, which commit to one store.

SQLite has a writer that finds the store locked look again after 1 ms, 2, 5, 10 and so on, while a commit takes one or
two: both workers' clients wait for nobody then. Here the kernel wakes the next one. It is a courtesy among these
processes only: what keeps writers apart is SQLite's own lock, which all others wait for as ever.
"""

from __future__ import annotations

import fcntl
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from kmstwist.audit.storefile import StoreFile


@contextmanager
def turn(file: StoreFile, patience: float) -> Iterator[None]:
    """Have the store to oneself among these processes. In the main thread only.

    Raises TimeoutError if another one has it for longer than `patience` seconds: it may have been stopped. The lock is
    of the kind that belongs to an open file, which SQLite's do not know.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _wait(file, patience)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


def _wait(file: StoreFile, patience: float) -> None:
    before = signal.signal(signal.SIGALRM, _end_wait)
    try:
        signal.setitimer(signal.ITIMER_REAL, patience)
        fcntl.flock(file, fcntl.LOCK_EX)
    except TimeoutError:
        # The alarm may have come just after the turn.
        fcntl.flock(file, fcntl.LOCK_UN)
        raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _end_wait(_number: int, _frame: object) -> NoReturn:
    raise TimeoutError
