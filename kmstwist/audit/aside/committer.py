"""Having batches committed by a process of their own, while many come.

Why a process. SQLite's driver takes the interpreter's lock a few times for each statement, and beside a reactor that
works it waits for each of them: some 45 times for a batch, with 145 calls of the system to hand the lock to and fro,
and the clients of the batch wait for all of that. Another process has a lock of its own.

Why not always. It takes memory, and the time of a message there and back; a server that is asked now and then has
nothing from it. So it is there while many records come, and whoever uses it can do without at every moment: what it
did not store is for the server's own thread to store.
"""

from __future__ import annotations

import marshal
import select
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from twisted.logger import Logger

from kmstwist.audit.aside import process
from kmstwist.logevents import AUDIT_ASIDE_ENDED

#: Records of a batch that is a large one: the thread commits a smaller one sooner than a message goes there and back.
#: Such batches within a second after which the process is started.
LARGE: Final = 24
MANY: Final = 10
#: Seconds after the last of them that it stays, and after which another is started in place of one that ended.
STAYS: Final = 60
#: Seconds that it may take to end.
_END: Final = 10.0
#: Seconds that it may take to answer beside those for another process's lock: a stopped one never does.
HANGS: Final = 10.0


class FileLost(Exception):
    """The file that the process has open is not the one at its place any more, or not whole."""


class Committer:
    """One such process. Raises OSError where it cannot be started."""

    def __init__(self, store: Path, identity: tuple[int, int], patience: float) -> None:
        self._channel, theirs = socket.socketpair()
        self._patience = patience
        with theirs:
            try:
                self._process: subprocess.Popen[bytes] = subprocess.Popen(
                    [
                        *(sys.executable, "-I", "-S", str(Path(process.__file__).resolve())),
                        *(str(store.absolute()), *map(str, identity), str(patience)),
                    ],
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                )
            except OSError:
                self._channel.close()
                raise
        self._ready = False

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def ready(self) -> bool:
        """Whether it takes batches by now. Raises OSError if it has ended.

        It is ready when it has seen the file, and takes batches from the next time on: in between the server looks once
        more whether that is the file that it opened.
        """
        if self._ready:
            return True
        if select.select([self._channel], (), (), 0)[0]:
            self._hear()
            self._ready = True
        return False

    def commit(self, batch: bytes) -> bool:
        """Have a batch committed; whether it is stored.

        Raises FileLost; TimeoutError if the process hangs, and another OSError if it has ended: the batch may be stored
        then.
        """
        self._channel.settimeout(self._patience + HANGS)
        self._channel.sendall(batch)
        said = self._hear()
        if said == process.LOST:
            raise FileLost
        return said == process.STORED

    def _hear(self) -> bytes:
        said = self._channel.recv(1)
        if not said:
            raise ConnectionError("it ended")
        return said

    def end(self, *, at_once: bool = False) -> int:
        """Let it end, and wait for that; its exit status. `at_once` is for one that hangs."""
        self._channel.close()
        if at_once:
            self._process.kill()
        try:
            return self._process.wait(_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


class Aside:
    """Whether there is such a process, and what it does. For one thread; `patience` is SQLite's, in seconds."""

    log = Logger()

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._committer: Committer | None = None
        #: Large batches in this second, and the seconds since the last one.
        self._large = 0
        self._quiet = 0
        #: Seconds to go until one may be started.
        self._pause = 0
        #: How many batches such processes have stored.
        self.committed = 0

    @property
    def pid(self) -> int | None:
        """The process that is there."""
        return None if self._committer is None else self._committer.pid

    def commit(
        self, store: Path, identity: tuple[int, int], records: int, statements: Sequence[tuple[str, tuple[Any, ...]]]
    ) -> bool | None:
        """Have a large batch committed, of so many records; whether it is stored. None where it was not handed over.

        Raises FileLost.
        """
        if records >= LARGE:
            self._large += 1
            self._quiet = 0
            if self._committer is None and self._large >= MANY and not self._pause:
                self._start(store, identity)
        committer = self._committer
        if committer is None or records < LARGE:
            return None
        try:
            if not committer.ready():
                return None
            try:
                batch = marshal.dumps(list(statements))
            except ValueError:
                # Not every value can be sent; SQLite's driver may take it.
                return None
            stored = committer.commit(batch)
            self.committed += stored
            return stored
        except OSError as error:
            self._failed(error)
            return False

    def tick(self) -> None:
        """A second has gone by."""
        self._large = 0
        self._quiet += 1
        self._pause = max(0, self._pause - 1)
        if self._quiet >= STAYS:
            self.end()

    def end(self) -> None:
        """Have no process, and no connection of one to the store."""
        committer, self._committer = self._committer, None
        if committer is not None:
            committer.end()

    def _start(self, store: Path, identity: tuple[int, int]) -> None:
        try:
            self._committer = Committer(store, identity, self._patience)
        except OSError as error:
            self._failed(error)

    def _failed(self, error: OSError) -> None:
        self._pause = STAYS
        committer, self._committer = self._committer, None
        # What it is at must have come to an end before the thread does the same.
        status = None if committer is None else committer.end(at_once=isinstance(error, TimeoutError))
        detail = "it hung" if isinstance(error, TimeoutError) else str(error)
        AUDIT_ASIDE_ENDED.emit(self.log, status=status, detail=detail)
