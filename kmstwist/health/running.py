"""Which server has the port, by asking the kernel and the control sockets, before calling it another program."""

from __future__ import annotations

import os
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kmstwist.findings import Finding, from_json
from kmstwist.process.control_client import (
    CommandError,
    NoAnswer,
    NotAllowed,
    ask,
    connect,
    control_sockets,
    socket_path,
)
from kmstwist.system.portholder import Holder, holder_of

_PATIENCE = 5.0
_PEER = struct.Struct("3i")


@dataclass(frozen=True, slots=True)
class Running:
    """What is known of the server that runs.

    `status` is its own, None where none was given; `why` says in a sentence why not. `hidden` is whether that is only
    because this user may not ask, and `hung` whether one listens and does not answer. `elsewhere` is the folder of a
    server that is not where it was looked for.
    """

    status: dict[str, Any] | None = None
    why: str = ""
    hidden: bool = False
    hung: bool = False
    elsewhere: Path | None = None

    @property
    def findings(self) -> list[Finding] | None:
        """What the server finds wrong with itself, as its `/readyz` says it; None where it does not tell."""
        try:
            return None if self.status is None else [from_json(row) for row in self.status["findings"]]
        except (LookupError, TypeError, AttributeError):
            # An earlier version, which runs until it is restarted.
            return None


def find_server(run_dir: Path, port: int, name: str | None = None) -> Running:
    """The server of this port, or of this name: in `run_dir`, or another one of this machine that listens there."""
    expected = socket_path(run_dir.absolute(), name or port)
    first = _ask(expected)
    if first.status is not None:
        return first
    holder = holder_of(port)
    for path in control_sockets(name or port):
        if path != expected and _listens(_server_at(path), holder):
            found = _ask(path)
            if found.status is not None:
                return Running(found.status, elsewhere=path.parent)
    return first


def _ask(path: Path) -> Running:
    try:
        return Running(ask(path, {"command": "status"}, _PATIENCE))
    except CommandError as error:
        return Running(why=str(error), hidden=isinstance(error, NotAllowed), hung=isinstance(error, NoAnswer))


def _server_at(path: Path) -> int | None:
    """The process that listens on a control socket; None where this user may not ask it."""
    try:
        with connect(path, _PATIENCE) as connection:
            peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    except (CommandError, OSError):
        return None
    pid: int = _PEER.unpack(peer)[0]
    return pid


def _listens(pid: int | None, holder: Holder) -> bool:
    """Whether a process has one of the port's sockets open."""
    if pid is None:
        return False
    try:
        descriptors = list(Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False
    for descriptor in descriptors:
        with suppress(OSError, ValueError):
            name = os.readlink(descriptor)
            if name.startswith("socket:[") and int(name[8:-1]) in holder.inodes:
                return True
    return False
