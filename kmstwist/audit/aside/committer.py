"""The process that commits batches while many records come, as the server starts and ends it. All here may block."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

from kmstwist.audit.aside import process

#: Seconds that it may take to end.
_END: Final = 10.0


class Committer:
    """One such process, with the server's end of the socket to it. Raises OSError where it cannot be started."""

    def __init__(self, store: Path, identity: tuple[int, int], patience: float) -> None:
        self.channel, theirs = socket.socketpair()
        self.channel.setblocking(False)
        #: Whether it was told to end: it does not by itself then.
        self.told_to_end = False
        #: What it said at last, once it has ended: why, where it knew that.
        self.last_words = ""
        program = [sys.executable, "-I", "-S", str(Path(process.__file__).resolve())]
        where = os.pathsep.join(filter(os.path.isabs, sys.path))
        with theirs:
            try:
                self._process: subprocess.Popen[bytes] = subprocess.Popen(
                    [*program, str(store.absolute()), *map(str, identity), str(patience), where],
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    # Not the server's: what is read there are lines of its log.
                    stderr=subprocess.PIPE,
                )
            except OSError:
                self.channel.close()
                raise

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def kill(self) -> None:
        """End one that hangs. Does not block."""
        self._process.kill()

    def end(self) -> int:
        """Let it end, and wait for that; its exit status."""
        self.told_to_end = True
        # The reactor reads the end, and closes it.
        with suppress(OSError):
            self.channel.shutdown(socket.SHUT_RDWR)
        try:
            _, said = self._process.communicate(timeout=_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            _, said = self._process.communicate()
        _, _, self.last_words = said.decode(errors="replace").rstrip("\n").rpartition("\n")
        return self._process.returncode
