"""Real processes for tests: `twistd kms` and the `kmstwist` command of the environment the tests run in."""

from __future__ import annotations

import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType

from tests.ports import free_port
from tests.system.forked import start
from tests.waiting import PATIENCE

BIN = Path(sys.executable).parent
#: Output of this width and without colours, wherever the tests run.
_PLAIN = {"COLUMNS": "120", "NO_COLOR": "1"}
_FIELD = re.compile(r'(\w+)=("(?:[^"\\]|\\.)*"|\S+)')


def fields(line: str) -> dict[str, str]:
    """The `key=value` fields of a log line."""
    return {key: value.strip('"') for key, value in _FIELD.findall(line)}


class Server:
    """`twistd -n kms` in a separate process; ready when its log says that it listens."""

    def __init__(self, state_dir: Path, *options: str, port: int | None = None) -> None:
        self.port = port or free_port()
        self.state_dir = state_dir
        self.lines: list[str] = []
        self._new: queue.Queue[str | None] = queue.Queue()
        command = [str(BIN / "twistd"), "-n", "--pidfile=", "kms"]
        command += [f"--port={self.port}", f"--state-dir={state_dir}", *options]
        said, says = os.pipe()
        self._said = os.fdopen(said, encoding="utf-8")
        try:
            self.process = start(command, state_dir.parent, os.environ, says, says)
        finally:
            os.close(says)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self.wait_for(r'[ "]listening[ "]')
        except BaseException:
            # The caller did not get this object, so it cannot end the process.
            self.process.kill()
            self.process.wait(PATIENCE)
            raise

    def _read(self) -> None:
        with self._said:
            for line in self._said:
                self._new.put(line.rstrip("\n"))
        self._new.put(None)

    def wait_for(self, pattern: str, times: int = 1) -> str:
        """Wait for the log line in which `pattern` is found for the `times`-th time."""
        found = 0
        for line in self.lines:
            found += bool(re.search(pattern, line))
            if found == times:
                return line
        while True:
            line_or_end = self._next(pattern)
            if line_or_end is None:
                raise AssertionError(f"the server ended without saying {pattern!r}:\n" + "\n".join(self.lines))
            self.lines.append(line_or_end)
            found += bool(re.search(pattern, line_or_end))
            if found == times:
                return line_or_end

    def _next(self, pattern: str) -> str | None:
        """The next line, or None at the log's end."""
        try:
            return self._new.get(timeout=PATIENCE)
        except queue.Empty:
            raise AssertionError(f"the server does not say {pattern!r}:\n" + "\n".join(self.lines)) from None

    def conversations(self, number: int) -> list[dict[str, str]]:
        """Wait for the first `number` conversation lines. Returns their fields."""
        self.wait_for(r" conversation ", number)
        return [fields(line) for line in self.lines if " conversation " in line][:number]

    @property
    def key(self) -> Path:
        """The lab's key file."""
        return self.state_dir / "lab.key"

    def rss(self) -> int:
        """Resident memory in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0]) * 1024

    def kill(self) -> None:
        """End the process as a crash would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(PATIENCE)

    def stop(self) -> int:
        """Stop the process cleanly. Returns its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(PATIENCE)
        self.read_to_end()
        return status

    def read_to_end(self) -> None:
        """Read the remaining lines of an ended process and its workers."""
        self._reader.join(PATIENCE)
        while (line := self._new.get(timeout=PATIENCE)) is not None:
            self.lines.append(line)
        self._new.put(None)

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(PATIENCE)


def kmstwist(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run the `kmstwist` command.

    Those that ask a server have the patience of the tests unless they are given another: a busy machine is not a fault.
    """
    if arguments[:1] == ("probe",) or arguments[:2] == ("lab", "activate"):
        arguments = (*arguments, *(() if "--timeout" in arguments else ("--timeout", f"{PATIENCE:g}")))
    command = [str(BIN / "kmstwist"), *arguments]
    environment = {**os.environ, **_PLAIN, **(env or {})}
    with TemporaryFile() as out, TemporaryFile() as err:
        process = start(command, Path.cwd(), environment, out.fileno(), err.fileno())
        try:
            status = process.wait(600)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        printed = []
        for file in (out, err):
            file.seek(0)
            printed.append(TextIOWrapper(file).read())
    return subprocess.CompletedProcess(command, status, *printed)


def run(
    command: Sequence[str], env: dict[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, with its output as text."""
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        cwd=cwd,
        env={**os.environ, **_PLAIN, **(env or {})},
    )
