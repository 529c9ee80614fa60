"""What listens on a TCP port of this machine, as the kernel tells every user."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kmstwist.system.privileges import name_of

#: The state of a listening socket in /proc/net/tcp.
_LISTEN = "0A"


@dataclass(frozen=True, slots=True)
class Holder:
    """What listens on a TCP port, as the kernel tells every user: the sockets' inodes and the users who opened them."""

    inodes: frozenset[int]
    users: frozenset[int]

    @property
    def others(self) -> list[str]:
        """The names of those users, if this one may not look into their processes."""
        own = os.geteuid()
        return [] if own == 0 else sorted(name_of(user) for user in self.users if user != own)


def holder_of(port: int, folder: Path = Path("/proc/net")) -> Holder:
    """What listens on a TCP port of this machine: nothing, if the kernel does not say."""
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


def our_server(holder: Holder) -> int | None:
    """The kmstwist server that has a port, by its process id; None if it is another program or cannot be seen."""
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        with suppress(OSError):
            words = [os.path.basename(word) for word in (folder / "cmdline").read_bytes().split(b"\0")]
            if b"twistd" in words and b"kms" in words and _has_open(folder, holder):
                return int(folder.name)
    return None


def _has_open(folder: Path, holder: Holder) -> bool:
    sockets = {f"socket:[{inode}]" for inode in holder.inodes}
    for descriptor in (folder / "fd").iterdir():
        with suppress(OSError):
            if os.readlink(descriptor) in sockets:
                return True
    return False
