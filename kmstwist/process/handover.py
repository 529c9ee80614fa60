"""A restart without a closed port: a server that starts takes the listening sockets of the one that runs.

They talk over the control socket of the running server. The successor asks for the sockets (`hand-over`; they travel as
`SCM_RIGHTS`, unix(7)), checks everything it can while the other still answers, and then tells it to leave (`leave`): it
accepts no more clients, finishes its calls and ends. The sockets stay open throughout, so that new clients wait in the
kernel's queue until the successor accepts them. The successor starts to serve when the other process has ended: two
servers never use the same state folder. It knows the end by a pipe that the other holds open and the kernel closes.

If the successor finds a mistake before it says `leave`, the other goes on as if nothing had happened.
"""

from __future__ import annotations

import json
import os
import select
import socket
import time
from array import array
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger

from kmstwist.logevents import HANDING_OVER
from kmstwist.process.control import Answer, Command
from kmstwist.process.control_client import CommandError, connect, read_answer
from kmstwist.process.listening import Listeners
from kmstwist.startup import StartupError

#: How many seconds the running server has for an answer.
_ANSWERS_WITHIN = 10.0
#: How many seconds it may need beyond the drain time that it names.
_GRACE = 10.0
_MOST_DESCRIPTORS = 64
#: Bytes of the longest answer.
_MAX_ANSWER = 65_536
#: The longest drain time, in seconds, that a server may name.
_LONGEST_DRAIN = 3600.0


class NotHandedOver(StartupError):
    """The running server does not hand over; the cure is to end it first and to start again."""

    #: sysexits.h EX_TEMPFAIL: the init script then stops the running server and starts this one as usual.
    status = 75


class HandOver:
    """What a running server does when a successor asks for its listening sockets. `table` is for the control socket."""

    def __init__(
        self,
        listeners: Listeners,
        drain: Callable[[], float],
        prepare: Callable[[], object],
        end: Callable[[], object],
        log: Logger | None = None,
    ) -> None:
        """`drain` returns the drain time in seconds; `prepare` prepares the server for an end with a successor, at once
        or in a Deferred; `end` ends it."""
        self._listeners = listeners
        self._drain = drain
        self._prepare = prepare
        self._end = end
        self._log = log or Logger(namespace="kmstwist.server")
        self._lifeline: tuple[int, int] | None = None

    @property
    def table(self) -> dict[str, Command]:
        """Every command by its name."""
        return {"hand-over": self.hand_over, "leave": self.leave}

    def hand_over(self, request: Mapping[str, object]) -> Answer:
        """Give a successor the listening sockets, and go on."""
        ports = self._listeners.ports
        if not ports:
            raise CommandError("it does not listen yet")
        return Answer({"listening": [where for where, _ in ports]}, tuple(port.fileno() for _, port in ports))

    def leave(self, request: Mapping[str, object]) -> Deferred[Answer]:
        """Accept no more clients, and end in order as soon as the successor has the answer."""
        if self._lifeline is not None:
            raise CommandError("it has handed over already")
        return maybeDeferred(self._prepare).addCallback(self._prepared)

    def _prepared(self, _: object) -> Answer:
        # The kernel closes the end that is kept, after the last thing that this process does.
        self._lifeline = os.pipe()
        HANDING_OVER.emit(self._log)
        self._listeners.leave()
        return Answer({"drain": self._drain()}, (self._lifeline[0],), afterwards=self._end)


class TakeOver:
    """The starting server's side. It blocks: there is no reactor yet that it could hold up."""

    def __init__(self, connection: socket.socket, path: Path, sockets: Mapping[str, int]) -> None:
        self._connection = connection
        self._path = path
        self._sockets = dict(sockets)
        #: For how many seconds nobody accepted clients; known once the handover is complete.
        self.waited = 0.0

    @classmethod
    def begin(cls, path: Path) -> TakeOver:
        """Get the sockets of the server whose control socket is `path`. Raises `NotHandedOver`."""
        try:
            connection = connect(path, _ANSWERS_WITHIN)
            answer, descriptors = _ask(connection, path, {"command": "hand-over"})
        except CommandError as error:
            raise NotHandedOver.of(error, "--take-over") from None
        listening = answer.get("listening")
        if not isinstance(listening, list) or len(listening) != len(descriptors) or not all(map(_listens, descriptors)):
            raise NotHandedOver(f"--take-over: what came from {path} are not its listening sockets")
        return cls(connection, path, dict(zip(listening, descriptors, strict=True)))

    def socket(self, where: str) -> int | None:
        """The descriptor of the socket that listens there, which the caller then owns; None if there is none."""
        return self._sockets.pop(where, None)

    def close(self) -> None:
        """Give up the handover; the other server goes on."""
        self._connection.close()
        for descriptor in self._sockets.values():
            os.close(descriptor)
        self._sockets.clear()

    def complete(self) -> None:
        """Tell the other server to end, and wait until it has. Raises `NotHandedOver` if it does not end."""
        begun = time.monotonic()
        try:
            answer, descriptors = _ask(self._connection, self._path, {"command": "leave"})
        except CommandError as error:
            raise NotHandedOver.of(error, "--take-over") from None
        # Sockets that this server does not listen on close when the other server ends.
        self.close()
        drain = answer.get("drain")
        if len(descriptors) != 1 or not isinstance(drain, int | float):
            raise NotHandedOver(f"--take-over: what answers at {self._path} is not a kmstwist")
        within = min(max(drain, 0.0), _LONGEST_DRAIN) + _GRACE
        lifeline = descriptors[0]
        ended, _, _ = select.select([lifeline], [], [], within)
        os.close(lifeline)
        if not ended:
            raise NotHandedOver(f"--take-over: the kmstwist at {self._path} has not ended within {within:g} s")
        self.waited = time.monotonic() - begun


def _ask(connection: socket.socket, path: Path, request: Mapping[str, object]) -> tuple[dict[str, Any], list[int]]:
    """One command's answer, and the descriptors that came with it. Raises `CommandError`."""
    room = socket.CMSG_SPACE(_MOST_DESCRIPTORS * array("i").itemsize)
    descriptors = array("i")
    data = b""
    try:
        connection.sendall(json.dumps(request).encode() + b"\n")
        while not data.endswith(b"\n"):
            more, ancillary, _, _ = connection.recvmsg(65_536, room, socket.MSG_CMSG_CLOEXEC)
            if not more:
                raise CommandError(f"the kmstwist at {path} ended the connection")
            data += more
            if len(data) > _MAX_ANSWER:
                raise CommandError(f"what answers at {path} is not a kmstwist")
            for level, kind, content in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    descriptors.frombytes(content[: len(content) - len(content) % descriptors.itemsize])
    except TimeoutError:
        raise CommandError(f"the kmstwist at {path} gave no answer within {_ANSWERS_WITHIN:g} s") from None
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror or error}") from None
    try:
        return read_answer(data, path), list(descriptors)
    except CommandError as error:
        raise CommandError(f"the kmstwist at {path}: {error}") from None


def _listens(descriptor: int) -> bool:
    with socket.socket(fileno=os.dup(descriptor)) as inherited:
        return bool(inherited.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
