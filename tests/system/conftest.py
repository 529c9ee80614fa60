"""Real processes: `twistd kms` as an administrator starts it, on a port of its own, ended as a service manager ends it."""

from __future__ import annotations

import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kmstwist.lab.keys import LabKey

#: How long, in seconds, a process may take to say what it is expected to say; only a failing test ever waits so long.
PATIENCE = 30.0

Line = dict[str, Any]


class Server:
    """A running `twistd kms`. Its log is JSON, one object a line, read by a thread as it is written."""

    def __init__(self, process: subprocess.Popen[str], state_dir: Path) -> None:
        self.process = process
        self.state_dir = state_dir
        self.lines: list[Line] = []
        self.output: list[str] = []
        self._fresh: queue.SimpleQueue[Line | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        address = self.wait_for(lambda line: line["event"] == "listening")["address"]
        self.port = int(address.rpartition(":")[2])

    def _read(self) -> None:
        assert self.process.stdout is not None
        for text in self.process.stdout:
            self.output.append(text)
            if text.startswith("{"):
                self._fresh.put(json.loads(text))
        self._fresh.put(None)

    def wait_for(self, wanted: Callable[[Line], bool]) -> Line:
        """The next log line, not returned before, that is wanted."""
        while True:
            try:
                line = self._fresh.get(timeout=PATIENCE)
            except queue.Empty:
                pytest.fail(f"no such line within {PATIENCE:g} s; the last were {self.output[-5:]}")
            if line is None:
                pytest.fail(f"the server ended: {''.join(self.output)}")
            self.lines.append(line)
            if wanted(line):
                return line

    def conversation(self, socket_: socket.socket | None = None, **fields: object) -> Line:
        """The line of the conversation that `socket_` (by its port) or these fields name, waited for."""
        if socket_ is not None:
            fields["port"] = socket_.getsockname()[1]
        return self.wait_for(lambda line: line["event"] == "conversation" and fields.items() <= line.items())

    def drain(self) -> None:
        """Take all lines up to the end of the log, once the server has stopped."""
        while (line := self._fresh.get(timeout=PATIENCE)) is not None:
            self.lines.append(line)

    def connect(self) -> socket.socket:
        """A TCP connection to the server."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)

    @property
    def key(self) -> LabKey:
        """The lab's key, where it is a lab."""
        return LabKey.load(self.state_dir / "lab.key")

    def resident(self) -> int:
        """The process's memory, in KiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS:")).split()[1])

    def stop(self) -> None:
        """End the process as a service manager does; it must stop in order, and have logged no defect.

        twistd ends itself with the signal it was sent once everything has stopped, so that is its status.
        """
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        assert status in (0, -signal.SIGTERM), "".join(self.output)
        assert any('"event": "stopped"' in text for text in self.output), "".join(self.output)
        assert not any("defect" in text or "Traceback" in text for text in self.output), "".join(self.output)


StartServer = Callable[..., Server]


@pytest.fixture(scope="session")
def start_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartServer]:
    """`start_server("--upstream=127.0.0.1:1")` starts a server with these options; all are stopped at the end."""
    servers: list[Server] = []

    def start(*options: str, port: int = 0) -> Server:
        state_dir = tmp_path_factory.mktemp("server")
        process = subprocess.Popen(
            [
                str(Path(sys.executable).parent / "twistd"),
                "-n",
                "--pidfile=",
                "kms",
                f"--port={port}",
                f"--state-dir={state_dir}",
                "--log-format=json",
                *options,
            ],
            cwd=state_dir,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            server = Server(process, state_dir)
        except BaseException:
            process.kill()
            raise
        servers.append(server)
        return server

    yield start
    for server in reversed(servers):
        server.stop()


@pytest.fixture(scope="module")
def lab(start_server: StartServer) -> Iterator[Server]:
    """A lab for one module's tests."""
    server = start_server()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def gateway(start_server: StartServer, lab: Server) -> Iterator[Server]:
    """A gateway before that lab."""
    server = start_server(f"--upstream=127.0.0.1:{lab.port}")
    yield server
    server.stop()
