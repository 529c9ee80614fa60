"""The clock is set back, set forward and slewed under a running gateway, by libfaketime, and no client notices.

libfaketime moves the wall clock only, as an administrator or NTP does; the monotonic clock goes on.
"""

from __future__ import annotations

import socket
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.canned import BIND, REQUEST, receive_pdu
from tests.collecting.test_service import line
from tests.ports import free_port
from tests.system.running import BIN, Server, kmstwist
from tests.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.needs("faketime")

PLAIN = {"LD_PRELOAD": ""}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The host behind the gateway, whose clock is not changed."""
    with Server(tmp_path_factory.mktemp("lab") / "state") as server:
        yield server


class Clock:
    """What libfaketime adds to the wall clock; it reads a file each time."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.set("+0")

    def set(self, change: str) -> None:
        """Set it, as in "-120" (seconds) or "+0 x1.05" (its speed)."""
        new = self._file.with_suffix(".new")
        new.write_text(change)
        new.replace(self._file)


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clock:
    [library] = Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")
    monkeypatch.setenv("LD_PRELOAD", str(library))
    monkeypatch.setenv("FAKETIME_TIMESTAMP_FILE", str(tmp_path / "clock"))
    monkeypatch.setenv("FAKETIME_NO_CACHE", "1")
    monkeypatch.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
    return Clock(tmp_path / "clock")


@pytest.mark.parametrize("change", ["-120", "-100000", "+3600", "+0 x0.5", "+0 x2"])
def test_a_clock_that_is_set_under_a_running_gateway_holds_no_client_up_and_cuts_none_off(
    clock: Clock, lab: Server, tmp_path: Path, change: str
) -> None:
    config = tmp_path / "kmstwist.toml"
    config.write_text("[server.timeouts]\nfirst_byte = 3\nidle = 300\n")
    with Server(tmp_path / "state", f"--upstream=127.0.0.1:{lab.port}", f"--config={config}") as gateway:
        address = ("127.0.0.1", gateway.port)
        with (
            socket.create_connection(address, PATIENCE) as bound,
            socket.create_connection(address, PATIENCE) as silent,
        ):
            bound.sendall(BIND)
            receive_pdu(bound)
            clock.set(change)
            asked = kmstwist(
                *("lab", "activate", f"--port={gateway.port}", f"--lab-key={lab.key}", "--count=5"),
                *("--product", "Windows 10 Professional"),
                env=PLAIN,
            )
            assert asked.returncode == 0, asked.stdout + asked.stderr
            # Clients that were connected before are still connected.
            bound.sendall(REQUEST)
            assert receive_pdu(bound)
            # A deadline that was set before holds, and so do those set after it.
            with pytest.raises(ConnectionResetError):
                silent.recv(1)
            gateway.wait_for(r" conversation .* end=open ")


def test_a_clock_that_is_set_back_keeps_no_command_that_runs_for_long_from_its_work(
    clock: Clock, tmp_path: Path
) -> None:
    store, port = tmp_path / "audit.sqlite", free_port()
    command = [str(BIN / "kmstwist"), "events", "listen", f"--store={store}", f"--bind=tcp:127.0.0.1:{port}"]

    def stored() -> int:
        with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as reader:
            number: int = reader.execute("SELECT count(*) FROM events").fetchone()[0]
            return number

    listening = subprocess.Popen([*command, "--from=127.0.0.1", "--no-dns"], stderr=subprocess.PIPE, text=True)
    assert listening.stderr is not None
    try:
        while "events-listening" not in listening.stderr.readline():
            assert listening.poll() is None
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as sender:
            for number in range(1, 4):
                if number == 2:
                    # By now it waits for its next look.
                    clock.set("-100000")
                sender.sendall(line(number))
                wait_until(lambda number=number: stored() == number)  # type: ignore[misc]
    finally:
        listening.kill()
        listening.communicate()
