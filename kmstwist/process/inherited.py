"""Ports that the service manager opened for us: socket activation, detected without an option.

systemd hands the sockets of a `.socket` unit to the service as file descriptors from 3 on and says so in the
environment (`sd_listen_fds(3)`). kmstwist then listens there and nowhere else, so that one service unit is right with
and without the socket unit. Twisted's `systemd:` endpoint does the listening.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path

from kmstwist.startup import StartupError

_FIRST_DESCRIPTOR = 3
_DOMAINS = {socket.AF_INET6: "INET6", socket.AF_INET: "INET", socket.AF_UNIX: "UNIX"}


def inherited_endpoints(environ: Mapping[str, str] | None = None, pid: int | None = None) -> list[str]:
    """Endpoint descriptions of the sockets that this process was started with; none if it was started by hand.

    Raises `StartupError` for a socket that cannot be listened on.
    """
    environ = _environment_at_start() if environ is None else environ
    return [
        f"systemd:domain={_domain(_FIRST_DESCRIPTOR + index, index)}:index={index}"
        for index in range(_count(environ, pid))
    ]


def unnamed_descriptor(
    description: str, environ: Mapping[str, str] | None = None, pid: int | None = None
) -> int | None:
    """The descriptor of a socket that a `systemd:` endpoint means by its index, and Twisted does not find.

    It finds only sockets that have names (`LISTEN_FDNAMES`). The manager need not give them any (`sd_listen_fds(3)`):
    neither `systemd-socket-activate` does, nor others that hand sockets over in this way.
    """
    environ = _environment_at_start() if environ is None else environ
    index = re.search(r"^systemd:(?:.*:)?index=(\d+)", description)
    if index is None or int(index[1]) >= _count(environ, pid):
        return None
    return _FIRST_DESCRIPTOR + int(index[1])


def _count(environ: Mapping[str, str], pid: int | None) -> int:
    """How many sockets this process was started with."""
    if environ.get("LISTEN_PID") != str(os.getpid() if pid is None else pid):
        return 0
    return int(environ.get("LISTEN_FDS", "0"))


def _environment_at_start() -> dict[str, str]:
    """The environment the process was started with: Twisted removes these variables from it on import."""
    try:
        raw = Path("/proc/self/environ").read_bytes()
    except OSError:
        return dict(os.environ)
    return dict(os.fsdecode(entry).split("=", 1) for entry in raw.split(b"\0") if b"=" in entry)


def _domain(descriptor: int, index: int) -> str:
    try:
        with socket.socket(fileno=os.dup(descriptor)) as inherited:
            listens = inherited.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            domain = _DOMAINS.get(socket.AddressFamily(inherited.family))
    except OSError as error:
        raise StartupError(
            f"descriptor {descriptor} of the socket unit is not a socket ({error.strerror})",
            "the unit needs ListenStream=",
        ) from None
    if not listens or domain is None:
        raise StartupError(
            f"socket {index} of the socket unit is not a listening stream socket",
            "the unit needs ListenStream=, Accept=no",
        )
    return domain
