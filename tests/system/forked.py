"""Processes of the program that need not load it again: each is forked from one that has (`tests.system.zygote`).

They are separate processes in all that the tests examine: arguments, environment, folder, streams, signals, status.
Tests of the start itself, and those that set Python's own environment variables, start a program as everybody does.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.system.zygote import NUMBER

_HERE = Path(__file__)
#: The programs that can be forked, from the environment that the tests run in.
_PROGRAMS = [str(Path(sys.executable).with_name(name)) for name in ("twistd", "kmstwist")]
#: Variables that Python or the loader reads only at the start.
_AT_START = ("PYTHON", "LC_", "LANG", "LD_", "MALLOC", "COVERAGE")


class _Zygote:
    """The process that the others are forked from; started at its first use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._control: socket.socket | None = None
        self._as_started: dict[str, str] = {}

    def fits(self, command: Sequence[str], environment: Mapping[str, str]) -> bool:
        """Whether a forked process would behave as this command in this environment."""
        started = self._as_started if self._control is not None else _at_start(os.environ)
        return command[0] in _PROGRAMS and _at_start(environment) == started

    def ask(self, message: bytes, files: Sequence[int]) -> None:
        with self._lock:
            if self._control is None:
                self._control = self._start()
            socket.send_fds(self._control, [message], files)

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._as_started = _at_start(os.environ)
        with theirs:
            # The long word makes room for the command lines of the forked processes.
            command = [sys.executable, str(_HERE.with_name("zygote.py")), "-" * 4000]
            process = subprocess.Popen(command, stdin=theirs.fileno(), cwd=_HERE.parents[2])

        def end() -> None:
            ours.close()
            process.wait()

        atexit.register(end)
        return ours


def _at_start(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(_AT_START)}


_ZYGOTE = _Zygote()


class Forked:
    """A forked process, used like `subprocess.Popen`; its standard input is empty."""

    def __init__(
        self, arguments: Sequence[str], folder: Path, environment: Mapping[str, str], out: int, err: int
    ) -> None:
        self.args = list(arguments)
        self.returncode: int | None = None
        self._lock = threading.Lock()
        asked = {"arguments": self.args, "environment": dict(environment), "folder": str(folder)}
        self._told, tell = os.pipe()
        empty = os.open(os.devnull, os.O_RDONLY)
        try:
            _ZYGOTE.ask(json.dumps(asked).encode(), [empty, out, err, tell])
        finally:
            os.close(empty)
            os.close(tell)
        self.pid = self._read()

    def __del__(self) -> None:
        os.close(self._told)

    def _read(self) -> int:
        told = os.read(self._told, NUMBER.size)
        assert told, "the process that forks has ended"
        number: int = NUMBER.unpack(told)[0]
        return number

    def poll(self) -> int | None:
        """The exit status, or None while it runs."""
        return self._wait(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the exit status."""
        status = self._wait(timeout)
        if status is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return status

    def _wait(self, timeout: float | None) -> int | None:
        if self.returncode is None and select.select([self._told], [], [], timeout)[0]:
            with self._lock:
                if self.returncode is None:
                    self.returncode = self._read()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def start(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], out: int, err: int
) -> Forked | subprocess.Popen[bytes]:
    """A process that runs this command: forked if possible, otherwise started as everybody does."""
    if _ZYGOTE.fits(command, environment):
        return Forked(command, folder, environment, out, err)
    return subprocess.Popen(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
