"""A process that loads the program once, and forks itself for each process that a test needs.

`tests.system.forked` starts it, and asks over the socket that is its standard input: a message with the arguments, the
environment and the folder in JSON, and four open files: the three standard streams, and one that gets the process's id
and, when it has ended, its status.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import tempfile
import time
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from struct import Struct
from typing import Any

#: The longest message: arguments and environment are a few thousand bytes.
LONGEST = 1 << 17
#: The process's id, and its status.
NUMBER = Struct("q")
#: Modules that most servers and commands load. None installs a reactor, which must not be shared.
_READ = (
    *("twisted.scripts.twistd", "twisted.scripts._twistd_unix", "twisted.application.app", "twisted.names.client"),
    *("twisted.internet.epollreactor", "twisted.internet.task", "twisted.trial.itrial", "twisted.words.iwords"),
    *("sqlalchemy", "sqlalchemy.dialects.sqlite", "click", "rich.table", "jinja2", "twisted.web.server"),
    *("kmstwist.server.tap", "kmstwist.lab.service", "kmstwist.lab.cipher"),
    *("kmstwist.cli.main", "kmstwist.cli.lab.lab", "kmstwist.cli.audit.report", "kmstwist.cli.checks.probe"),
)


def _become(asked: dict[str, Any], streams: list[int]) -> None:
    """Take on the streams, the environment, the folder and the arguments of a separately started process."""
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
    os.closerange(3, 1024)
    os.environ.clear()
    os.environ.update(asked["environment"])
    time.tzset()
    tempfile.tempdir = None
    os.chdir(asked["folder"])
    sys.argv[:] = asked["arguments"]
    _show([sys.executable, *sys.argv])
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        former = getattr(sys, name)
        raw = open(number, "rb" if number == 0 else "wb", closefd=False)  # noqa: SIM115 - open as long as the process runs
        stream = TextIOWrapper(raw, former.encoding, former.errors, line_buffering=number == 2)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _show(command: list[str]) -> None:
    """Show this command line in /proc and ps, as far as there is room: kmstwist recognises itself by it."""
    numbers = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = int(numbers[45]), int(numbers[46])
    line = "".join(f"{word}\0" for word in command).encode(errors="surrogateescape")
    ctypes.memmove(start, line[: end - start - 1].ljust(end - start, b"\0"), end - start)


def _serve(control: socket.socket) -> bool:
    """Fork on request and report how each process ends, until nobody can ask any more.

    True in a process that was forked.
    """
    poll = select.poll()
    poll.register(control, select.POLLIN)
    running: dict[int, tuple[int, int]] = {}
    while True:
        for descriptor, _ in poll.poll():
            if descriptor in running:
                poll.unregister(descriptor)
                pid, told = running.pop(descriptor)
                status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                # Whoever asked may have gone.
                with suppress(BrokenPipeError):
                    os.write(told, NUMBER.pack(status))
                os.close(told)
                os.close(descriptor)
                continue
            message, files, _, _ = socket.recv_fds(control, LONGEST, 4)
            if not message:
                return False
            *streams, told = files
            pid = os.fork()
            if pid == 0:
                # Another file will get its number.
                control.detach()
                _become(json.loads(message), streams)
                return True
            for file in streams:
                os.close(file)
            with suppress(BrokenPipeError):
                os.write(told, NUMBER.pack(pid))
            ends = os.pidfd_open(pid)
            running[ends] = (pid, told)
            poll.register(ends, select.POLLIN)


def main() -> None:
    """Load the program, then run what is asked for."""
    sys.path[0] = os.path.dirname(sys.executable)
    for name in _READ:
        importlib.import_module(name)
    assert "twisted.internet.reactor" not in sys.modules
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if not _serve(socket.socket(fileno=os.dup(0))):
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if os.path.basename(sys.argv[0]) == "twistd":
        from twisted.scripts.twistd import run as program
    else:
        from kmstwist.cli.main import main as program
    try:
        sys.exit(program())
    finally:
        # A process that has loaded more takes longer to end, and a second signal would become its exit status.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


if __name__ == "__main__":
    main()
