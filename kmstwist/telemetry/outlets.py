"""Where log lines leave the process, without ever waiting for a reader.

A pipe that nobody reads, a syslog daemon that hangs, a terminal that is stopped: a write to any of them would block the
server, and all clients with it. So a line goes to an outlet, which writes what its descriptor takes at once, keeps a
bounded number of lines while the descriptor takes nothing, and drops and counts further lines. As soon as the
descriptor takes lines again, a `log-lost` line says how many were dropped.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import stat
import sys
import syslog
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final

from twisted.internet.interfaces import IWriteDescriptor
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure
from zope.interface import implementer

from kmstwist.logevents import LOG_LOST
from kmstwist.reactor import Reactor
from kmstwist.telemetry.lines import Level

#: How many lines may wait while their reader is slower than the clients.
WAITING: Final = 20_000
#: How many seconds the process waits at its end for a reader that takes nothing.
LAST_MOMENT: Final = 2.0
#: How many bytes a pipe that is writable takes without blocking (POSIX, PIPE_BUF).
_PIECE: Final = select.PIPE_BUF
#: The same for a terminal, which is writable when it takes a few characters.
_TERMINAL_PIECE: Final = 256


@implementer(IWriteDescriptor)
class Outlet(ABC):
    """Takes entries in order, and never blocks. Each kind of outlet defines `sent`."""

    def __init__(self, reactor: Reactor, what: str, log: Logger | None) -> None:
        """`what` names the reader in the message about lost entries, such as "the journal"."""
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
        """Try to send the entry. Returns whether it is done: it was taken, or it can never be (see `lose`)."""

    def put(self, entry: bytes) -> None:
        """Send an entry, or let it wait its turn."""
        if self._waiting:
            self._wait(entry)
        elif not self.sent(entry):
            self._wait(entry)
            self._reactor.addWriter(self)

    def lose(self, why: str | None, lines: int = 1) -> None:
        """Count an entry, which may be of several lines, as lost."""
        self._lost += lines
        self._why = why

    def flows(self) -> None:
        """An entry was taken: log how many were lost before it."""
        if self._lost:
            lost, self._lost = self._lost, 0
            LOG_LOST.emit(self._log, lines=lost, detail=self._why)

    def _wait(self, entry: bytes) -> None:
        if len(self._waiting) < self.room:
            self._waiting.append(entry)
        else:
            self.lose(f"{self._what} does not keep up")

    def _keep(self, rest: bytes) -> bool:
        """Keep the rest of an entry waiting, so that lines are whole when the reader reads on."""
        if self._waiting:
            self._waiting[0] = rest
            return False
        self._waiting.append(rest)
        self._reactor.addWriter(self)
        return True

    def flush(self) -> None:
        """Send the entries that wait, as long as they are taken at once."""
        while self._waiting and self.sent(self._waiting[0]):
            self._waiting.popleft()

    def finish(self) -> None:
        """Send the entries that wait. Called when the process ends, when no client waits any more."""
        end = time.monotonic() + LAST_MOMENT
        # Entries not taken by then are lost with the process.
        while self._waiting and (left := end - time.monotonic()) > 0:
            select.select([], [self.fileno()], [], left)
            self.flush()

    # The reactor's interface for waiting until a descriptor is writable.

    @abstractmethod
    def fileno(self) -> int:
        """The descriptor."""

    def logPrefix(self) -> str:
        """The name that Twisted uses in its own messages."""
        return self._what

    def doWrite(self) -> None:
        """The descriptor takes more."""
        self.flush()
        if not self._waiting:
            self._reactor.removeWriter(self)

    def connectionLost(self, reason: Failure) -> None:
        """The descriptor was closed under the reactor: the entries that wait can no longer be sent."""
        self._reactor.removeWriter(self)
        while self._waiting:
            self._waiting.popleft()
            self.lose(reason.getErrorMessage())


class StreamOutlet(Outlet):
    """Lines to a descriptor that other processes share (standard output), and that therefore stays blocking.

    The lines of one turn of the loop are written together.
    """

    def __init__(self, descriptor: int, reactor: Reactor, log: Logger | None = None) -> None:
        super().__init__(reactor, "the reader of standard output", log)
        self._descriptor = descriptor
        mode = os.fstat(descriptor).st_mode
        # A file takes everything, and epoll does not support files.
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
            # While lines wait, they are counted one by one.
            for line in lines:
                self.put(_encoded(line))
            return
        whole = _encoded("\n".join(lines)) if lines else b""
        if self._is_file or len(whole) <= _PIECE:
            if whole:
                self.put(whole)
            return
        piece = b""
        for line in lines:
            data = _encoded(line)
            if piece and len(piece) + len(data) > _PIECE:
                # Up to this size a write to a pipe is atomic, even if other processes write to it (workers do).
                self.put(piece)
                piece = b""
            piece += data
        if piece:
            self.put(piece)

    def finish(self) -> None:
        """Send the lines that wait. Called when the process ends."""
        self._end_turn()
        super().finish()

    def sent(self, entry: bytes) -> bool:
        """Write the entry, or as much of it as the reader takes."""
        try:
            while entry:
                if not self._is_file and not self._poll.poll(0):
                    return self._keep(entry)
                entry = entry[os.write(self._descriptor, entry[: self._piece]) :]
        except OSError as error:
            self.lose(error.strerror, entry.count(b"\n"))
            return True
        self.flows()
        return True

    def fileno(self) -> int:
        """The descriptor."""
        return self._descriptor


def _encoded(line: str) -> bytes:
    return (line + "\n").encode("utf-8", errors="backslashreplace")


def stdout_outlet(reactor: Reactor) -> StreamOutlet:
    """An outlet for standard output as it is now: twistd later replaces it by a file that logs."""
    sys.stdout.flush()
    return StreamOutlet(sys.stdout.fileno(), reactor)


class SocketOutlet(Outlet):
    """Entries to a Unix socket: a datagram for each, or where `kinds` has streams, too, with a zero byte after each.

    A daemon that was restarted has a new socket at the same path.
    """

    kinds: ClassVar[tuple[socket.SocketKind, ...]] = (socket.SOCK_DGRAM,)

    def __init__(self, path: Path, reactor: Reactor, what: str, log: Logger | None = None) -> None:
        super().__init__(reactor, what, log)
        self._path = path
        self._socket: socket.socket | None = None

    def connect(self) -> socket.socket:
        """Connect to whoever listens now. Raises `OSError` if nobody does."""
        if self._socket is not None:
            # The reactor knows it by its number, which the next one need not have.
            self._reactor.removeWriter(self)
            self._socket.close()
        self._socket = None
        made = connected_to(self._path, self.kinds)
        self._socket = made
        if self._waiting:
            self._reactor.addWriter(self)
        return made

    def sent(self, entry: bytes) -> bool:
        """Send the entry, if the other side takes it now."""
        if (now := self._socket) is not None:
            # What fails is tried once more, with the daemon that is there now.
            with contextlib.suppress(OSError):
                return self._sent_to(now, entry)
        try:
            return self._sent_to(self.connect(), entry)
        except OSError as error:
            self.lose(error.strerror)
            return True

    def _sent_to(self, to: socket.socket, entry: bytes) -> bool:
        stream = to.type is socket.SOCK_STREAM
        if stream and not entry.endswith(b"\0"):
            entry += b"\0"
        try:
            taken = to.send(entry)
        except BlockingIOError:
            return False
        if taken < len(entry):
            return self._keep(entry[taken:])
        self.flows()
        return True

    def fileno(self) -> int:
        """The socket's descriptor."""
        return -1 if self._socket is None else self._socket.fileno()


def connected_to(path: Path, kinds: Sequence[socket.SocketKind]) -> socket.socket:
    """A socket of the first of these kinds that whoever listens at `path` has. Raises `OSError`."""
    first, *others = kinds
    made = socket.socket(socket.AF_UNIX, first | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        made.connect(str(path))
    except OSError as error:
        made.close()
        if error.errno != errno.EPROTOTYPE or not others:
            raise
        return connected_to(path, others)
    return made


_SYSLOG: Final = {
    LogLevel.debug: syslog.LOG_DEBUG,
    LogLevel.info: syslog.LOG_INFO,
    LogLevel.warn: syslog.LOG_WARNING,
    LogLevel.error: syslog.LOG_ERR,
    LogLevel.critical: syslog.LOG_CRIT,
}
SYSLOG_SOCKET: Final = Path("/dev/log")


class SyslogOutlet(SocketOutlet):
    """Lines to the system log, each with its level's priority, in the format of syslog(3) (RFC 3164).

    Where there is no system log (yet), lines are lost and counted.
    """

    kinds = (socket.SOCK_DGRAM, socket.SOCK_STREAM)

    def __init__(
        self, identifier: str, reactor: Reactor, path: Path = SYSLOG_SOCKET, log: Logger | None = None
    ) -> None:
        super().__init__(path, reactor, "the system log", log)
        self._identifier = identifier

    def write(self, line: str, level: Level) -> None:
        """Send a line, which has no time of its own: the entry has one in front."""
        priority = syslog.LOG_DAEMON | _SYSLOG[level]
        now = time.localtime()
        when = f"{time.strftime('%b', now)} {now.tm_mday:2} {time.strftime('%H:%M:%S', now)}"
        entry = f"<{priority}>{when} {self._identifier}[{os.getpid()}]: {line}"
        self.put(entry.encode("utf-8", errors="backslashreplace"))
