"""`kmstwist demo` as a process: what it shows, and that it leaves nothing behind."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ports import free_port
from tests.system.running import BIN, kmstwist
from tests.waiting import PATIENCE, wait_until

MACHINES = 80


class Demo:
    """A demonstration in a session of its own, so that a signal reaches all of it as from a terminal."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [str(BIN / "kmstwist"), "demo", f"--machines={MACHINES}", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "TMPDIR": str(folder)},
            start_new_session=True,
            # If the tests run in the background, the processes that they start inherit an ignored Ctrl-C.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,
        )
        assert self.process.stdout is not None
        self.said = ""
        for line in self.process.stdout:
            self.said += line
            if "Ctrl-C ends it" in line:
                break
        found = re.search(r"Look at (http://127\.0\.0\.1:\d+/)", self.said)
        assert found, self.said
        self.url = found[1]

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=PATIENCE) as answer:
            return json.load(answer)

    def end(self, number: int, *, all_of_it: bool = True) -> tuple[int, str]:
        if all_of_it:
            os.killpg(self.process.pid, number)
        else:
            self.process.send_signal(number)
        said, _ = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, said


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    # A port of its own: the usual one may be somebody else's demonstration.
    made = Demo(tmp_path, f"--web-port={free_port()}")
    yield made
    if made.process.poll() is None:
        made.end(signal.SIGTERM, all_of_it=False)


def test_it_shows_a_year_then_calls_go_on_and_ctrl_c_removes_everything(demo: Demo) -> None:
    overview = demo.get("api/overview")
    assert (overview["mode"], overview["health"]) == ("gateway", "healthy")
    assert {(host["name"], host["state"]) for host in overview["hosts"]} == {
        ("kms01.lab.example", "up"),
        ("kms02.lab.example", "up"),
    }
    machines = demo.get("api/machines?rows=500")
    assert len({row["machine"] for row in machines["rows"]}) > MACHINES // 2
    assert all(row["machine"].startswith(("lab-", "10.")) for row in machines["rows"])
    days = [row["granted"] for row in demo.get("api/calendar")["rows"]]
    assert sum(1 for granted in days if granted) > 250
    newest = overview["calls"][0]["seq"]
    wait_until(lambda: demo.get("api/calls?rows=1")["rows"][0]["seq"] > newest)
    (call,) = demo.get("api/calls?rows=1")["rows"]
    # A live call comes from its machine's address, and its product has a name.
    assert call["became"] in ("activated", "renewed")
    assert call["address"].startswith("10.20.")
    assert re.match(r"(Windows|Office) ", call["product"])
    (folder,) = demo.folder.iterdir()
    (command,) = re.findall(r"kmstwist (lab activate .*)", demo.said)
    assert kmstwist(*shlex.split(command)).returncode == 0
    port = re.findall(r"--port (\d+)", command)[0]
    status, said = demo.end(signal.SIGINT)
    assert (status, said.strip()) == (0, "The demonstration is removed.")
    assert not folder.exists()
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", int(port))):
        pass


def test_a_closed_terminal_removes_it_too(demo: Demo) -> None:
    status, _ = demo.end(signal.SIGHUP)
    assert (status, list(demo.folder.iterdir())) == (0, [])


def test_ended_while_the_year_still_passes_it_leaves_nothing(tmp_path: Path) -> None:
    command = [str(BIN / "kmstwist"), "demo", f"--web-port={free_port()}"]
    process = subprocess.Popen(command, env={**os.environ, "TMPDIR": str(tmp_path)})
    wait_until(lambda: any(tmp_path.glob("*/gateway/audit.sqlite")))
    process.terminate()
    assert process.wait(PATIENCE) == 128 + signal.SIGTERM
    assert list(tmp_path.iterdir()) == []


def test_a_taken_port_is_one_clear_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = kmstwist("demo", "--web-port", str(port))
    assert said.returncode == 1
    assert said.stderr == (
        f"Error: port {port} of 127.0.0.1 cannot be opened (Address already in use): name another with --web-port\n"
    )
