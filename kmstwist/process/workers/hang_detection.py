"""Finding a worker that hangs: each is asked every few seconds, and killed if it does not answer.

A worker that hangs before it can be asked is found by what the kernel says about it: a start that makes progress uses
processor time, or sleeps and wakes. A start hangs if neither happens for a while, or if it takes very long; the time
allowed doubles with each attempt, because a new version may have a large audit to upgrade. A worker that can no longer
be asked, because somebody removed its control socket, is ended in order and replaced.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from kmstwist.logevents import WORKER_SILENT, WORKER_STUCK, WORKER_UNREACHABLE
from kmstwist.pacing.waits import doubled
from kmstwist.process.control_client import CommandError, NobodyThere, ask
from kmstwist.reactor import InThread
from kmstwist.system.threads import in_own_thread

#: Seconds between two questions to a worker, and how many it has for an answer to those and to commands.
HEAR_EVERY = 3.0
ANSWERS_WITHIN = 2.0
#: A worker hangs if it leaves this many questions in a row unanswered; fewer if it is about to end anyway.
_SILENT = 4
_SILENT_AT_THE_END = 2
#: Seconds after which a start without progress hangs; when the server ends, any start that takes this long.
_STILL = 10.0
_STILL_AT_THE_END = 2.0
#: How many seconds a start that makes progress may take, at the first attempt and at most: a new version may have a
#: large audit to upgrade first, and a worker killed during that begins again.
_FIRST_START = 600.0
_LONGEST_START = 3600.0
#: Seconds beyond the drain time after which a worker that does not end is killed.
GRACE = 5.0

#: The progress of a process: processor time, and how often it slept and woke.
Progress = tuple[str, ...]


class Heard(Protocol):
    """A worker, as far as this module needs it."""

    number: int
    pid: int | None
    #: When its process was started, and how often one ended soon after.
    started: float
    failures: int


HeardT = TypeVar("HeardT", bound=Heard)


class _Known:
    """What is known about one process."""

    def __init__(self, pid: int, now: float) -> None:
        self.pid = pid
        #: Whether it has ever answered.
        self.heard = False
        #: How many questions in a row it has left unanswered.
        self.missed = 0
        #: Its progress when last checked, and since when that has not changed.
        self.progress: Progress = ()
        self.since = now
        #: Whether it is being ended.
        self.ending = False


class Hearing(Generic[HeardT]):
    """Asks the workers in turn. After `stop` it is quicker about workers that hang, until `close`."""

    def __init__(
        self,
        workers: Sequence[HeardT],
        path: Callable[[HeardT], Path],
        end: Callable[[HeardT, signal.Signals], None],
        drain: Callable[[], float],
        answered: Callable[[HeardT, int, dict[str, Any]], object],
        reactor: IReactorTime,
        log: Logger,
        progress: Callable[[int], Progress] | None = None,
        in_thread: InThread = in_own_thread,
    ) -> None:
        """`path` returns a worker's control socket, `end` sends it a signal, `drain` returns how many seconds it needs
        to end in order, and `answered` is called with its process id and its answer."""
        self._workers = workers
        self._path = path
        self._end = end
        self._drain = drain
        self._answered = answered
        self._reactor = reactor
        self._log = log
        self._progress = progress or progress_of
        self._in_thread = in_thread
        self._known: dict[int, _Known] = {}
        self._asked: set[int] = set()
        self._stopping = False
        self._loop = LoopingCall(self.hear)
        self._loop.clock = reactor

    def start(self) -> None:
        """Begin to ask."""
        self._loop.start(HEAR_EVERY, now=False)

    def stop(self) -> None:
        """The workers are about to end: one that hangs does not get the drain time."""
        self._stopping = True
        self._reactor.callLater(_STILL_AT_THE_END, self.hear)
        self.hear()

    def close(self) -> None:
        """Ask no more."""
        if self._loop.running:
            self._loop.stop()

    def has_heard(self, worker: HeardT, pid: int | None) -> bool:
        """Whether this process of a worker's has ever answered."""
        known = self._known.get(worker.number)
        return known is not None and known.pid == pid and known.heard

    def hear(self) -> None:
        """Ask every worker whether it answers."""
        for worker in self._workers:
            if worker.pid is not None and worker.number not in self._asked:
                self._asked.add(worker.number)
                Deferred.fromCoroutine(self._hear_from(worker, worker.pid))

    async def _hear_from(self, worker: HeardT, pid: int) -> None:
        known = self._known.get(worker.number)
        if known is None or known.pid != pid:
            known = self._known[worker.number] = _Known(pid, self._reactor.seconds())
        try:
            answer = await self._in_thread(ask, self._path(worker), {"command": "status"}, ANSWERS_WITHIN)
        except RuntimeError:
            # No thread can be started at present; that is not the worker's fault.
            return
        except NobodyThere:
            if worker.pid == pid:
                self._unreachable(worker, known)
        except CommandError:
            if worker.pid == pid:
                self._silent(worker, known)
        else:
            known.heard = True
            known.missed = 0
            self._answered(worker, pid, answer)
        finally:
            self._asked.discard(worker.number)

    def _silent(self, worker: HeardT, known: _Known) -> None:
        known.missed += 1
        if known.missed < (_SILENT_AT_THE_END if self._stopping else _SILENT):
            return
        WORKER_SILENT.emit(self._log, worker=worker.number, worker_pid=known.pid, questions=known.missed)
        known.missed = 0
        self._end(worker, signal.SIGKILL)

    def _unreachable(self, worker: HeardT, known: _Known) -> None:
        if not known.heard:
            self._judge_start(worker, known)
            return
        # It may be about to end by itself.
        known.missed += 1
        if known.missed < _SILENT or known.ending or self._stopping:
            return
        known.ending = True
        WORKER_UNREACHABLE.emit(self._log, worker=worker.number, worker_pid=known.pid, path=str(self._path(worker)))
        self._end(worker, signal.SIGTERM)
        self._reactor.callLater(self._drain() + GRACE, self._kill, worker, known.pid)

    def _judge_start(self, worker: HeardT, known: _Known) -> None:
        if known.ending:
            return
        now = self._reactor.seconds()
        progress = self._progress(known.pid)
        if progress != known.progress:
            known.progress, known.since = progress, now
        lasted, still = now - worker.started, now - known.since
        longest = doubled(_FIRST_START, _LONGEST_START, worker.failures + 1)
        # A worker that ends while it starts has no calls under way.
        if not self._stopping and still < _STILL and lasted < longest:
            return
        if self._stopping and still < _STILL_AT_THE_END:
            return
        known.ending = True
        WORKER_STUCK.emit(
            self._log, worker=worker.number, worker_pid=known.pid, seconds=round(lasted), still_s=round(still)
        )
        self._end(worker, signal.SIGKILL)

    def _kill(self, worker: HeardT, pid: int) -> None:
        if worker.pid == pid:
            self._end(worker, signal.SIGKILL)


def progress_of(pid: int) -> Progress:
    """What the kernel counts of a process's main thread (proc(5)); nothing if it cannot be seen."""
    try:
        # After the name in brackets, which may hold anything, come the third field and those that follow.
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        status = Path(f"/proc/{pid}/status").read_text(errors="replace")
    except OSError:
        return ()
    switches = [line.split()[1] for line in status.splitlines() if "ctxt_switches" in line]
    # utime and stime are the fields 14 and 15.
    return (*fields[11:13], *switches)
