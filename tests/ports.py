"""Ports for the tests' servers: leased, so that no other test takes one between its choice and its use."""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

#: Below the range that systems use for outgoing connections, so that none of these takes one.
_COMMON = range(12000, 32000)

#: The open, locked files that are our leases. The system releases them with the process, however it ends.
_leases: list[IO[str]] = []


def free_port(among: Sequence[int] = _COMMON) -> int:
    """A port on which nobody listens, in TCP or UDP, over IPv4 or IPv6; it is this process's until the process ends.

    The lease binds only those who ask here: other test processes, including those of other checkouts. So a test can
    stop a server and start it again at its port, and a connection that must be refused is refused.
    """
    folder = Path(tempfile.gettempdir()) / f"kmstwist-test-ports-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    for port in random.SystemRandom().sample(among, len(among)):
        lease = (folder / str(port)).open("w")
        try:
            fcntl.flock(lease, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lease.close()
            continue
        if _is_free(port):
            _leases.append(lease)
            return port
        lease.close()
    raise AssertionError(f"no port is free among {min(among)} to {max(among)}")


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET6) as tcp, socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as udp:
        try:
            tcp.bind(("::", port))
            udp.bind(("::", port))
        except OSError:
            return False
    return True
