"""The process that commits batches for a server: a program of its own, run as a file by `committer`.

    python -I -S process.py STORE DEVICE INODE SECONDS PATH

Standard input is a socket. The server sends batches, each a list of records as rows (`access.message`), and waits for
one byte to each: whether the batch is on the disk, in the file of this device and inode, which is still the one at its
place, and whole. Where it is not stored the server tries by itself, and learns why. SECONDS is how long another
process's lock is waited for. The process ends when the server closes the socket, or ends itself, however that
comes about; a server that is told to stop still has records to store, so that the signals that say so are nothing to
this process.

PATH is the server's `sys.path`, so that both are of one installation. Twisted is not loaded.
"""

from __future__ import annotations

import marshal
import os
import signal
import socket
import sqlite3
import struct
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from kmstwist.audit.inserting import Statement

READY: Final = b"r"
STORED: Final = b"s"
NOT_STORED: Final = b"n"
LOST: Final = b"l"

#: How long a batch is, before it: marshal asks a file for each value by itself, which takes 7 µs a record.
LENGTH: Final = struct.Struct("!I")


def _batches(channel: socket.socket) -> Iterator[list[tuple[Any, ...]]]:
    """The batches that come, until the other end is closed."""
    with channel.makefile("rb") as stream:
        while len(length := stream.read(LENGTH.size)) == LENGTH.size:
            (number,) = LENGTH.unpack(length)
            batch = stream.read(number)
            if len(batch) < number:
                return
            yield marshal.loads(batch)  # noqa: S302 - by the server that started this process, over a socket without a name


def serve(channel: socket.socket, path: Path, identity: tuple[int, int], patience: float) -> None:
    """Commit what comes, until the other end is closed."""
    # Only here, where this file is run: the server has it anyway.
    from kmstwist.audit.aside.commit_turns import turn
    from kmstwist.audit.aside.pragmas import ANY, WRITING
    from kmstwist.audit.inserting import commit, statements_for
    from kmstwist.audit.rows import from_values
    from kmstwist.audit.storefile import StoreFile

    def is_committed(statements: list[Statement]) -> bool:
        try:
            with turn(file, patience):
                commit(store, statements)
        except (sqlite3.Error, OverflowError, UnicodeError, TimeoutError):
            # The server tries the same, and reports what that comes to.
            store.rollback()
            return False
        return True

    def answer(statements: list[Statement]) -> bytes:
        if file.fault():
            return LOST
        stored = is_committed(statements)
        # What is in the way of a commit may be that, too.
        if file.fault():
            return LOST
        return STORED if stored else NOT_STORED

    # Opened before SQLite opens it and closed after: see there.
    file = StoreFile(path)
    with closing(sqlite3.connect(path, timeout=patience, isolation_level=None)) as store:
        for pragma in (*WRITING, *ANY):
            store.execute(pragma)
        if file.identity != identity or file.fault():
            return
        channel.sendall(READY)
        for rows in _batches(channel):
            channel.sendall(answer(statements_for(list(map(from_values, rows)), rows)))


def main(arguments: list[str]) -> None:
    """Run on standard input."""
    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    from kmstwist.audit import inserting as _loaded  # noqa: F401 - what is put aside next
    from kmstwist.startup import put_aside

    put_aside()
    path, device, inode, patience, _ = arguments
    with socket.socket(fileno=sys.stdin.fileno()) as channel:
        try:
            serve(channel, Path(path), (int(device), int(inode)), float(patience))
        except ConnectionError:
            # The server is gone, or has told us to end before it heard of the last batch.
            pass
        except (sqlite3.Error, OSError) as error:
            # The server logs the last line.
            sys.exit(f"it could not use {path}: {error}")


if __name__ == "__main__":
    sys.path[:] = sys.argv[5].split(os.pathsep)
    main(sys.argv[1:])
