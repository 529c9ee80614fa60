"""Servers for the tests of RPC on the wire: real processes whose log is read as JSON."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kmstwist.lab.keys import LabKey
from tests.waiting import PATIENCE

from . import running

Line = dict[str, Any]


class Server(running.Server):
    """A running `twistd kms` that logs JSON."""

    _next_line = 0

    def conversation(self, **fields: object) -> Line:
        """Wait for the next line of a conversation with these fields, after the one returned last."""
        while True:
            while self._next_line < len(self.lines):
                line = read_line(self.lines[self._next_line])
                self._next_line += 1
                if line.get("event") == "conversation" and fields.items() <= line.items():
                    return line
            fresh = self._new.get(timeout=PATIENCE)
            assert fresh is not None, f"the server ended without a conversation of {fields}"
            self.lines.append(fresh)

    def all_conversations(self) -> list[Line]:
        """The lines of all conversations among those read so far."""
        return [line for line in map(read_line, self.lines) if line.get("event") == "conversation"]

    def connect(self) -> socket.socket:
        """A TCP connection to the server."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)

    def lab_key(self) -> LabKey:
        """The lab's key, where it is a lab."""
        return LabKey.load(self.key)

    def end(self) -> None:
        """Stop the process as a service manager does; it must shut down cleanly and have logged no defect.

        twistd ends itself with the signal it was sent once everything has stopped, so that may be its status.
        """
        log = "\n".join(self.lines)
        assert self.stop() in (0, -signal.SIGTERM), log
        assert any(read_line(line).get("event") == "stopped" for line in self.lines), log
        assert not any(read_line(line).get("event") in (None, "defect") for line in self.lines), log


def read_line(text: str) -> Line:
    """A log line; an empty one for text that is not JSON, such as a traceback."""
    line: Line = json.loads(text) if text.startswith("{") else {}
    return line


StartServer = Callable[..., Server]


@pytest.fixture(scope="session")
def start_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartServer]:
    """`start_server("--upstream=127.0.0.1:1")` starts a server with these options; all are ended at the end."""
    servers: list[Server] = []

    def start(*options: str, port: int | None = None) -> Server:
        server = Server(tmp_path_factory.mktemp("server") / "state", "--log-format=json", *options, port=port)
        servers.append(server)
        return server

    yield start
    for server in reversed(servers):
        server.end()


@pytest.fixture(scope="module")
def lab(start_server: StartServer) -> Server:
    """A lab for one module's tests."""
    return start_server()


@pytest.fixture(scope="module")
def gateway(start_server: StartServer, lab: Server) -> Server:
    """A gateway before that lab."""
    return start_server(f"--upstream=127.0.0.1:{lab.port}")
