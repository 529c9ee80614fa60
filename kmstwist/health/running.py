"""Which server has the port: asked of the kernel and of control sockets, before anybody is called another program."""

from __future__ import annotations

import os
import pwd
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kmstwist.findings import Finding, from_json
from kmstwist.process.asking import CommandError, NotAllowed, ask, connect, control_sockets, socket_path

_PATIENCE = 5.0
#: The state of a listening socket in /proc/net/tcp.
_LISTEN = "0A"
_PEER = struct.Struct("3i")


@dataclass(frozen=True, slots=True)
class Running:
    """What is known of the server that runs.

    `status` is its own, None where none was given; `why` says in a sentence why not. `hidden` is whether that is only
    because this user may not ask. `elsewhere` is the folder of a server that is not where it was looked for.
    """

    status: dict[str, Any] | None = None
    why: str = ""
    hidden: bool = False
    elsewhere: Path | None = None

    @property
    def findings(self) -> list[Finding] | None:
        """What the server finds wrong with itself, as its `/readyz` says it; None where it does not tell."""
        try:
            return None if self.status is None else [from_json(row) for row in self.status["findings"]]
        except (LookupError, TypeError, AttributeError):
            # An earlier version, which runs until it is restarted.
            return None


@dataclass(frozen=True, slots=True)
class Holder:
    """Who listens on a TCP port, as the kernel tells every user: the sockets' inodes and the users who opened them."""

    inodes: frozenset[int]
    users: frozenset[int]

    @property
    def others(self) -> list[str]:
        """The names of those users, where this one may not look into their processes."""
        own = os.geteuid()
        return [] if own == 0 else sorted(user_name(user) for user in self.users if user != own)


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


def holder_of(port: int, folder: Path = Path("/proc/net")) -> Holder:
    """Who listens on a TCP port of this machine; nobody, where the kernel does not tell."""
    inodes, users = set(), set()
    for name in ("tcp", "tcp6"):
        lines: list[str] = []
        with suppress(OSError):
            lines = (folder / name).read_text().splitlines()[1:]
        for line in lines:
            # sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode
            columns = line.split()
            if columns[3] == _LISTEN and int(columns[1].rpartition(":")[2], 16) == port:
                users.add(int(columns[7]))
                inodes.add(int(columns[9]))
    return Holder(frozenset(inodes), frozenset(users))


def user_name(uid: int) -> str:
    """A user's name, or the number of one who has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _ask(path: Path) -> Running:
    try:
        return Running(ask(path, {"command": "status"}, _PATIENCE))
    except CommandError as error:
        return Running(why=str(error), hidden=isinstance(error, NotAllowed))


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
