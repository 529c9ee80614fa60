"""The audit in the real server: a reply goes out after its record, so a killed process loses no answered call."""

from __future__ import annotations

import random
import re
import signal
import socket
import sqlite3
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from kmstwist.lab.keys import LabKey
from tests.ports import free_port
from tests.system.running import BIN, Server, kmstwist, run
from tests.waiting import PATIENCE

PRODUCT = "Windows 11 / 10 Enterprise"


def recorded(state_dir: Path) -> Counter[str]:
    """How many good answers each machine has in the audit."""
    with closing(sqlite3.connect(f"file:{state_dir / 'lab-audit.sqlite'}?mode=ro", uri=True)) as store:
        rows = store.execute("SELECT machine FROM records WHERE hresult = 0").fetchall()
    return Counter(machine.lower() for (machine,) in rows)


def acknowledged(table: str) -> set[str]:
    """The machines that the client command shows with an answer."""
    return {match.lower() for match in re.findall(r"^\s*(\S+-\d{4})\s+\d+\s+[\d.]+\s", table, re.MULTILINE)}


def test_a_server_killed_under_load_has_a_record_of_every_answer_it_gave_and_none_twice(tmp_path: Path) -> None:
    state = tmp_path / "lab"
    chance = random.Random(20261122)
    seen: set[str] = set()
    for number in range(6):
        with Server(state) as server, ThreadPoolExecutor(1) as pool:
            options = ("--port", str(server.port), "--lab-key", str(server.key), "--timeout", "2")
            clients = pool.submit(
                kmstwist, "lab", "activate", "--product", PRODUCT, "--count", "1000", "--at-once", "32",
                "--prefix", f"R{number}", *options,
            )  # fmt: skip
            server.wait_for(" conversation ", chance.randint(20, 400))
            server.process.send_signal(signal.SIGKILL)
            answered = acknowledged(clients.result().stdout)
        assert answered
        seen |= answered
        store = recorded(state)
        assert seen <= set(store)
        assert set(store.values()) == {1}


def test_every_call_and_every_refusal_is_in_the_reports(tmp_path: Path) -> None:
    with Server(tmp_path / "lab") as server:
        store = ("--store", str(tmp_path / "lab" / "lab-audit.sqlite"), "--format", "csv")
        common = ("lab", "activate", "--port", str(server.port), "--lab-key", str(server.key), "--product", PRODUCT)
        assert kmstwist(*common, "--count", "26").returncode == 0
        with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as scanner:
            scanner.sendall(b"GET / HTTP/1.1\r\nHost: kms\r\n\r\n")
            # It is told that this is RPC; then the connection is closed.
            with scanner.makefile("rb") as stream:
                assert stream.read()[:3] == b"\x05\x00\x0d"
        server.wait_for("rpc-not-rpc")
        assert server.stop() == 0
        clients = kmstwist("report", "clients", *store).stdout.splitlines()
        assert len(clients) == 27
        refused = kmstwist("report", "refused", *store).stdout
        assert "rpc-not-rpc" in refused


def test_a_store_that_is_not_a_database_gives_one_clear_sentence(tmp_path: Path) -> None:
    state = tmp_path / "lab"
    state.mkdir()
    (state / "lab-audit.sqlite").write_bytes(b"no database" * 1000)
    result = run([str(BIN / "twistd"), "-n", "--pidfile=", "kms", "--port=0", f"--state-dir={state}"])
    assert result.returncode == 1
    assert "lab-audit.sqlite" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_wrong_central_store_is_one_clear_sentence_without_its_password(tmp_path: Path) -> None:
    (tmp_path / "kmstwist.toml").write_text('[audit]\nforward_to = "postgresql://u:se@cret@h:port/db"\n')
    daemon = [str(BIN / "twistd"), "-n", "--pidfile=", "kms", f"--config={tmp_path / 'kmstwist.toml'}", "--port=0"]
    result = run([*daemon, f"--state-dir={tmp_path / 'state'}"])
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert "kmstwist.toml:2: audit.forward_to" in result.stderr
    assert "se@cret" not in result.stdout + result.stderr


def test_a_call_that_ends_in_a_fault_is_recorded_with_what_it_said_in_clear(tmp_path: Path) -> None:
    with Server(tmp_path / "state", f"--upstream=127.0.0.1:{free_port()}") as server:
        lab_key = tmp_path / "lab.key"
        LabKey.load_or_create(lab_key, random.randbytes)
        asked = kmstwist(
            *("lab", "activate", "--port", str(server.port), "--lab-key", str(lab_key), "--kms-version", "4"),
            *("--product", "Windows Server 2022 Standard"),
        )
        assert asked.returncode == 1
        assert server.stop() == 0
    store = tmp_path / "state/audit.sqlite"
    shown = kmstwist("report", "failures", "--machine", "lab-pc-*", "--store", str(store), "--format", "csv")
    assert "upstream-refused" in shown.stdout
