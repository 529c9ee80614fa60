"""A server that may open few files: connections to the site take none from clients, and the server says so."""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.system import running
from tests.system.running import Server, fields, kmstwist
from tests.waiting import PATIENCE, wait_until

FILES = 256


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Server, int]]:
    """A lab with a site and few files, and the site's port."""
    web = free_port()
    wrapper = tmp_path / "bin"
    wrapper.mkdir()
    real = running.BIN
    (wrapper / "twistd").write_text(f'#!/bin/sh\nulimit -n {FILES}\nexec "{real}/twistd" "$@"\n')
    (wrapper / "twistd").chmod(0o755)
    monkeypatch.setattr(running, "BIN", wrapper)
    with Server(tmp_path / "state", f"--web=127.0.0.1:{web}") as one:
        monkeypatch.setattr(running, "BIN", real)
        yield one, web


def test_idle_web_connections_and_silent_clients_leave_room_for_clients(server: tuple[Server, int]) -> None:
    one, web = server
    told = fields(one.wait_for(" warn descriptors-few "))
    assert (told["limit"], told["wanted"]) == (str(FILES), "20000")
    room = int(told["clients"])
    assert FILES // 8 < room < FILES
    activate = ("lab", "activate", "--port", str(one.port), "--lab-key", str(one.key), "--count", "5", "--product")
    product = "Windows 11 / 10 Enterprise"
    with ExitStack() as held:
        for _ in range(2 * FILES):
            held.enter_context(socket.create_connection(("127.0.0.1", web), timeout=PATIENCE))
        assert kmstwist(*activate, product).returncode == 0
        # When clients hold all that they may, further ones are cut, and the site still answers.
        clients = [
            held.enter_context(socket.create_connection(("127.0.0.1", one.port), timeout=PATIENCE))
            for _ in range(room + 20)
        ]
        one.wait_for("reason=server-connections")
        assert all(client.fileno() > 0 for client in clients)
        descriptors = Path(f"/proc/{one.process.pid}/fd")
        assert len(list(descriptors.iterdir())) < FILES - 16
    wait_until(lambda: kmstwist(*activate, product).returncode == 0)
    assert one.stop() == 0
    assert "descriptors-out" not in "\n".join(one.lines)


def balancer(web: int) -> HTTPConnection:
    """A connection to the site."""
    return HTTPConnection("127.0.0.1", web, timeout=PATIENCE)


def ready(connection: HTTPConnection) -> tuple[int, str]:
    """What /readyz says over a connection that stays open."""
    connection.request("GET", "/readyz")
    with connection.getresponse() as response:
        return response.status, response.read().decode()


def waits(client: socket.socket) -> bool:
    """Whether a client is neither served nor cut."""
    client.setblocking(False)
    try:
        client.recv(1)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


def cpu_seconds(pid: int) -> float:
    """The processor time of a process."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / 100


def test_if_they_do_run_out_it_is_logged_and_the_loop_does_not_spin(server: tuple[Server, int]) -> None:
    one, web = server
    with socket.create_connection(("127.0.0.1", one.port), timeout=PATIENCE), closing(balancer(web)) as asking:
        # A balancer's connection, which it keeps.
        assert ready(asking) == (200, "healthy\n")
        # As a leak would, but from outside: lower the running process's limit below what it has open.
        resource.prlimit(one.process.pid, resource.RLIMIT_NOFILE, (12, FILES))
        one.wait_for(" error descriptors-out ")
        status, text = ready(asking)
        assert (status, text.splitlines()[0]) == (200, "degraded")
        assert "so few open files are left" in text
        begun, used = time.monotonic(), cpu_seconds(one.process.pid)
        held = [socket.create_connection(("127.0.0.1", one.port), timeout=PATIENCE) for _ in range(20)]
        wait_until(lambda: time.monotonic() - begun > 2)
        # A busy loop would have used most of this time.
        assert cpu_seconds(one.process.pid) - used < 1
        # No client is accepted only to be cut: they wait in the kernel's queue.
        assert [each for each in held if not waits(each)] == []
        resource.prlimit(one.process.pid, resource.RLIMIT_NOFILE, (FILES, FILES))
        one.wait_for(" info descriptors-free ")
        for each in held:
            each.close()
    assert kmstwist("probe", f"127.0.0.1:{one.port}").returncode == 0
