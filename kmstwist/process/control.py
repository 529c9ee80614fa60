"""The control socket: a Unix socket through which `kmstwist` commands talk to a running server on the same machine.

One JSON object a line each way: `{"command": "drain", "upstream": "kms1"}`, and back `{"ok": true, …}` or `{"ok":
false, "error": "a sentence"}`. The socket's mode is 0600: whoever may connect is the server's own user, or root.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IHalfCloseableProtocol, IListeningPort, IUNIXTransport
from twisted.internet.protocol import Factory, connectionDone
from twisted.logger import Logger
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from kmstwist.logevents import CONTROL_UNAVAILABLE, DEFECT
from kmstwist.process.control_client import CommandError
from kmstwist.process.unix_port import survive_without_name
from kmstwist.reactor import Reactor
from kmstwist.startup import StartupError
from kmstwist.system.privileges import Identity, can_change

#: A command: its request to its answer (a mapping, an `Answer`, or None), or a Deferred of it.
Command = Callable[[Mapping[str, object]], Any]

_MAX_LINE = 65_536
#: How many seconds the kernel may take to accept a connection to a server that runs.
_LIVES_WITHIN = 2.0
#: The listening process, its user and its group (unix(7), SO_PEERCRED).
_PEER = struct.Struct("3i")


@dataclass(frozen=True)
class Answer:
    """An answer that carries open file descriptors, and what to do when its connection has ended after it."""

    fields: Mapping[str, object]
    descriptors: tuple[int, ...] = ()
    afterwards: Callable[[], object] | None = None


@implementer(IHalfCloseableProtocol)
class ControlProtocol(LineOnlyReceiver):
    """One administrator's connection. Whoever has closed their side, as `nc -N` does, is still answered."""

    transport: IUNIXTransport
    delimiter = b"\n"
    MAX_LENGTH = _MAX_LINE

    def __init__(self, commands: Mapping[str, Command], log: Logger) -> None:
        self._commands = commands
        self._log = log
        self._afterwards: list[Callable[[], object]] = []
        #: Commands that have no answer yet, and whether the other side sends no more of them.
        self._under_way = 0
        self._has_said_all = False

    def readConnectionLost(self) -> None:
        """End the connection when all is answered."""
        self._has_said_all = True
        self._end_when_answered()

    def writeConnectionLost(self) -> None:
        """Our side is closed, as we asked."""

    def _end_when_answered(self) -> None:
        if self._has_said_all and not self._under_way:
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Do what an answer left to do at the end of the connection."""
        for afterwards in self._afterwards:
            afterwards()

    def lineReceived(self, line: bytes) -> None:
        """Do one command."""
        self._under_way += 1
        try:
            request = json.loads(line)
            name = request["command"]
            if not isinstance(name, str):
                raise TypeError
        except (ValueError, TypeError, KeyError, RecursionError):
            self._reply({"ok": False, "error": "a request is one JSON object with a command"})
            return
        command = self._commands.get(name)
        if command is None:
            there = ", ".join(sorted(self._commands))
            self._reply({"ok": False, "error": f"this server does not know the command {name!r}; it has: {there}"})
            return
        maybeDeferred(command, request).addCallbacks(self._done, self._failed)

    def _done(self, answer: Answer | Mapping[str, Any] | None) -> None:
        if isinstance(answer, Answer):
            for descriptor in answer.descriptors:
                self.transport.sendFileDescriptor(descriptor)
            if answer.afterwards is not None:
                self._afterwards.append(answer.afterwards)
            answer = answer.fields
        self._reply({"ok": True, **(answer or {})})

    def _failed(self, failure: Failure) -> None:
        if not failure.check(CommandError):
            DEFECT.emit(self._log, detail="a control command", traceback=failure.getTraceback())
        self._reply({"ok": False, "error": failure.getErrorMessage()})

    def _reply(self, answer: Mapping[str, object]) -> None:
        self._under_way -= 1
        self.sendLine(json.dumps(answer, default=str).encode())
        self._end_when_answered()


class ControlFactory(Factory):
    """Makes a `ControlProtocol` of each connection."""

    noisy = False

    def __init__(self, commands: Mapping[str, Command], log: Logger) -> None:
        self._commands = commands
        self._log = log

    def buildProtocol(self, addr: object) -> ControlProtocol:
        """A protocol for one connection."""
        return ControlProtocol(self._commands, self._log)


class ControlService(Service):
    """The control socket as a service. A server without one still answers clients, so its absence is a warning."""

    def __init__(
        self,
        path: Path,
        commands: Mapping[str, Command],
        reactor: Reactor,
        log: Logger | None = None,
        identity: Identity | None = None,
    ) -> None:
        """`identity` is the user this process becomes: in a folder of root's, root makes it and gives it away."""
        self.path = path
        self._commands = commands
        self._reactor = reactor
        self._log = log or Logger(namespace="kmstwist.server")
        self._identity = identity
        self._port: IListeningPort | None = None

    def privilegedStartService(self) -> None:
        """Open the socket now if the user that this process becomes cannot."""
        super().privilegedStartService()
        identity, folder = self._identity, self.path.parent.absolute()
        if identity is None or not folder.is_dir() or can_change(identity, folder):
            return
        self._open()
        if self._port is not None:
            # Nobody else could have replaced it.
            os.chown(self.path, identity.uid, identity.gid, follow_symlinks=False)

    def startService(self) -> None:
        """Open the socket, and replace one that a killed server left."""
        super().startService()
        if self._port is None:
            self._open()

    def _open(self) -> None:
        factory = ControlFactory(self._commands, self._log)
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _alone_in(self.path.parent):
                _remove_left_over(self.path)
                # The socket has its mode from the first instant, and not only after a chmod.
                umask = os.umask(0o177)
                try:
                    self._port = self._reactor.listenUNIX(str(self.path), factory, mode=0o600)
                finally:
                    os.umask(umask)
            survive_without_name(self._port)
        except (OSError, CannotListenError, CommandError) as error:
            CONTROL_UNAVAILABLE.emit(self._log, path=str(self.path), detail=str(error))

    def stopService(self) -> Deferred[None] | None:
        """Close the socket and remove it."""
        super().stopService()
        if self._port is None:
            return None
        port, self._port = self._port, None
        stopped: Deferred[None] | None = port.stopListening()
        return stopped


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Keep other servers from opening sockets in a folder: two that start at once would remove each other's."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # On a file system without locks there is nobody to ask.
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _remove_left_over(path: Path) -> None:
    """Remove a socket that nobody listens on. Raises `CommandError` if somebody does."""
    if (holder := _holder(path)) is None:
        path.unlink(missing_ok=True)
    else:
        raise CommandError(f"another kmstwist{holder} has it", "give this one a --run-dir of its own")


def refuse_second(path: Path) -> None:
    """Raise `StartupError` if another server listens on this control socket; the error names its process."""
    try:
        holder = _holder(path)
    except OSError:
        # A server without a control socket still answers clients, and says at the start that it has none.
        return
    if holder is not None:
        raise StartupError(
            f"the control socket {path} is in use by another kmstwist{holder.rstrip(',')}",
            "stop it, or give this one a --run-dir of its own",
        )


def _holder(path: Path) -> str | None:
    """The process that listens on a socket, in words that follow a name; None if none does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trial:
        trial.settimeout(_LIVES_WITHIN)
        try:
            trial.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return None
        except (TimeoutError, BlockingIOError):
            # Its queue of waiting connections is full: the server hangs, but it is there.
            return ""
        pid: int = _PEER.unpack(trial.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))[0]
        return f", process {pid}," if pid else ""
