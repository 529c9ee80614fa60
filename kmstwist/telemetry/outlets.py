"""Where log lines leave the process, without ever waiting for a reader.

A pipe that nobody reads, a syslog daemon that stands still, a terminal that is stopped: a write to any of them would
hold the server up, and all clients with it. So a line is handed to an outlet, which writes what its descriptor takes at
once, keeps a bounded number of lines while it takes nothing, and drops and counts those beyond. As soon as it flows
again, a `log-lost` line says how many were dropped.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import stat
import sys
import syslog
import time
from abc import ABC, abstractmethod
from collections import deque
from pathlib import Path
from typing import Any, Final

from twisted.internet.interfaces import IWriteDescriptor
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure
from zope.interface import implementer

from kmstwist.logevents import LOG_LOST
from kmstwist.reactor import Reactor

#: Lines that wait while their reader is slower than the clients.
WAITING: Final = 20_000
#: Seconds that a reader which takes nothing is waited for when the process ends.
LAST_MOMENT: Final = 2.0
#: POSIX: so many bytes go into a pipe that can be written to, without waiting (PIPE_BUF).
_PIECE: Final = select.PIPE_BUF
#: A terminal can be written to when it takes a few characters.
_TERMINAL_PIECE: Final = 256


@implementer(IWriteDescriptor)
class Outlet(ABC):
    """Takes entries in their order, and waits for nobody. `sent` is what each kind of outlet has to say."""

    def __init__(self, reactor: Reactor, what: str, log: Logger | None) -> None:
        """`what` is what stands still if entries are lost, as in "the journal"."""
        self._reactor = reactor
        self._what = what
        self._log = log or Logger(namespace="kmstwist.server")
        self._waiting: deque[bytes] = deque()
        self._lost = 0
        self._why: str | None = None

    @property
    def room(self) -> int:
        """How many entries may wait."""
        return WAITING

    @abstractmethod
    def sent(self, entry: bytes) -> bool:
        """Whether the entry needs no more care: it was taken now, or it cannot be (`lose`)."""

    def put(self, entry: bytes) -> None:
        """Send an entry, or have it wait its turn."""
        if self._waiting:
            self._wait(entry)
        elif not self.sent(entry):
            self._wait(entry)
            self._reactor.addWriter(self)

    def lose(self, why: str | None) -> None:
        """An entry is lost."""
        self._lost += 1
        self._why = why

    def flows(self) -> None:
        """An entry was taken: say what was lost before."""
        if self._lost:
            lost, self._lost = self._lost, 0
            LOG_LOST.emit(self._log, lines=lost, detail=self._why)

    def _wait(self, entry: bytes) -> None:
        if len(self._waiting) < self.room:
            self._waiting.append(entry)
        else:
            self.lose(f"{self._what} does not keep up")

    def flush(self) -> None:
        """Send what waits, for as long as it is taken at once."""
        while self._waiting and self.sent(self._waiting[0]):
            self._waiting.popleft()

    def finish(self) -> None:
        """Send what waits, now that the process ends and clients wait for nothing any more."""
        end = time.monotonic() + LAST_MOMENT
        # What is not taken by then is lost with the process, and there is nobody left to tell.
        while self._waiting and (left := end - time.monotonic()) > 0:
            select.select([], [self.fileno()], [], left)
            self.flush()

    # What the reactor wants of somebody who waits until a descriptor can be written to.

    @abstractmethod
    def fileno(self) -> int:
        """The descriptor."""

    def logPrefix(self) -> str:
        """What Twisted calls this in its own messages."""
        return self._what

    def doWrite(self) -> None:
        """More is taken."""
        self.flush()
        if not self._waiting:
            self._reactor.removeWriter(self)

    def connectionLost(self, reason: Failure) -> None:
        """The descriptor was closed under the reactor: what waits cannot be sent any more."""
        self._reactor.removeWriter(self)
        while self._waiting:
            self._waiting.popleft()
            self.lose(reason.getErrorMessage())


class StreamOutlet(Outlet):
    """Lines to a descriptor that others have, too (standard output), which therefore stays a blocking one.

    The lines of one turn of the loop are one write.
    """

    def __init__(self, descriptor: int, reactor: Reactor, log: Logger | None = None) -> None:
        super().__init__(reactor, "the reader of standard output", log)
        self._descriptor = descriptor
        mode = os.fstat(descriptor).st_mode
        # A file takes everything, and epoll knows no files.
        self._is_file = stat.S_ISREG(mode)
        self._piece = _TERMINAL_PIECE if stat.S_ISCHR(mode) else None if self._is_file else _PIECE
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)
        self._turn: list[str] = []

    def write(self, line: str, level: object) -> None:
        """Write a line by the end of this turn of the loop."""
        if not self._reactor.running:
            self.put(_encoded(line))
            return
        if not self._turn:
            self._reactor.callLater(0, self._end_turn)
        self._turn.append(line)

    def _end_turn(self) -> None:
        lines, self._turn = self._turn, []
        if self._waiting:
            # Counted one by one, as long as they wait.
            for line in lines:
                self.put(_encoded(line))
            return
        piece = b""
        for line in lines:
            data = _encoded(line)
            if piece and len(piece) + len(data) > _PIECE:
                # Up to here it is written as a whole, whoever else writes to the same pipe (workers do).
                self.put(piece)
                piece = b""
            piece += data
        if piece:
            self.put(piece)

    def finish(self) -> None:
        """Send what waits, now that the process ends."""
        self._end_turn()
        super().finish()

    def sent(self, entry: bytes) -> bool:
        """Write it, or what the reader takes of it."""
        try:
            while entry:
                if not self._is_file and not self._poll.poll(0):
                    return self._keep(entry)
                entry = entry[os.write(self._descriptor, entry[: self._piece]) :]
        except OSError as error:
            self.lose(error.strerror)
            return True
        self.flows()
        return True

    def _keep(self, rest: bytes) -> bool:
        """What is left of an entry is what waits now, so that lines are whole when the reader reads on."""
        if self._waiting:
            self._waiting[0] = rest
            return False
        self._waiting.append(rest)
        self._reactor.addWriter(self)
        return True

    def fileno(self) -> int:
        """The descriptor."""
        return self._descriptor


def _encoded(line: str) -> bytes:
    return (line + "\n").encode("utf-8", errors="backslashreplace")


def stdout_outlet(reactor: Reactor) -> StreamOutlet:
    """Standard output as it is now: twistd puts a file that logs in its place later."""
    sys.stdout.flush()
    return StreamOutlet(sys.stdout.fileno(), reactor)


class DatagramOutlet(Outlet):
    """Entries to a Unix socket, a datagram each."""

    def __init__(self, path: Path, reactor: Reactor, what: str, log: Logger | None = None) -> None:
        """Raises `OSError` where nobody listens at `path`."""
        super().__init__(reactor, what, log)
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        try:
            self._socket.connect(str(path))
        except OSError:
            self._socket.close()
            raise

    def sent(self, entry: bytes) -> bool:
        """Send it, if the other side takes it now."""
        try:
            self._socket.send(entry)
        except BlockingIOError:
            return False
        except (ConnectionRefusedError, ConnectionResetError, OSError) as error:
            if not self._sent_anew(entry):
                self.lose(error.strerror)
                return True
        self.flows()
        return True

    def _sent_anew(self, entry: bytes) -> bool:
        """Whether it was taken on a new connection: a daemon that was restarted has a new socket at the old path."""
        with contextlib.suppress(OSError):
            self._socket.connect(str(self._path))
            self._socket.send(entry)
            return True
        return False

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._socket.fileno()


_SYSLOG: Final = {
    LogLevel.debug: syslog.LOG_DEBUG,
    LogLevel.info: syslog.LOG_INFO,
    LogLevel.warn: syslog.LOG_WARNING,
    LogLevel.error: syslog.LOG_ERR,
    LogLevel.critical: syslog.LOG_CRIT,
}
SYSLOG_SOCKET: Final = Path("/dev/log")


class SyslogOutlet(DatagramOutlet):
    """Lines to the system log, each with its level's priority, in the form that syslog(3) has (RFC 3164)."""

    def __init__(
        self, identifier: str, reactor: Reactor, path: Path = SYSLOG_SOCKET, log: Logger | None = None
    ) -> None:
        super().__init__(path, reactor, "the system log", log)
        self._identifier = identifier

    def write(self, line: str, level: Any) -> None:
        """Send a line; syslog adds its own time, so the line's is left off."""
        text = line.partition(" ")[2] if line[:1] != "{" else line
        priority = syslog.LOG_DAEMON | _SYSLOG[level]
        now = time.localtime()
        when = f"{time.strftime('%b', now)} {now.tm_mday:2} {time.strftime('%H:%M:%S', now)}"
        entry = f"<{priority}>{when} {self._identifier}[{os.getpid()}]: {text}"
        self.put(entry.encode("utf-8", errors="backslashreplace"))


def syslog_outlet(identifier: str, reactor: Reactor) -> SyslogOutlet | None:
    """The system log's socket; None where there is none, or one of another kind."""
    with contextlib.suppress(OSError):
        return SyslogOutlet(identifier, reactor)
    return None
