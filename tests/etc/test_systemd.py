"""The systemd units, checked by systemd itself, and the real daemon on a socket that outlives it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.etc.conftest import ETC
from tests.ports import free_port
from tests.system.running import BIN, kmstwist, run
from tests.waiting import PATIENCE, wait_until

UNITS = Path("/usr/lib/systemd/system")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root folder with systemd's own units, ours, and what they start."""
    units = tmp_path / "usr/lib/systemd/system"
    units.mkdir(parents=True)
    for kind in ("target", "slice", "socket"):
        for path in UNITS.glob(f"*.{kind}"):
            shutil.copy(path, units / path.name)
    for path in (ETC / "systemd").iterdir():
        shutil.copy(path, units / path.name)
    for name in ("usr/lib/kmstwist/bin/twistd", "usr/lib/kmstwist/bin/kmstwist", "bin/kill"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy("/bin/true", tmp_path / name)
    return tmp_path


@pytest.mark.needs("systemd-analyze")
@pytest.mark.parametrize("unit", ["kmstwist.service", "kmstwist.socket", "kmstwist@dmz.service"])
def test_systemd_finds_nothing_wrong_with_a_unit(root: Path, unit: str) -> None:
    result = run(["systemd-analyze", "verify", "--man=no", f"--root={root}", unit])
    assert (result.returncode, result.stdout + result.stderr) == (0, "")


@pytest.mark.needs("systemd-analyze")
def test_a_mistake_in_an_override_is_named_by_its_file_and_line(root: Path) -> None:
    folder = root / "etc/systemd/system/kmstwist.service.d"
    folder.mkdir(parents=True)
    (folder / "override.conf").write_text("[Service]\nTimeoutStopSec=soon\n")
    result = run(["systemd-analyze", "verify", "--man=no", f"--root={root}", "kmstwist.service"])
    assert "override.conf:2: Failed to parse" in result.stderr


@pytest.mark.needs("systemd-analyze")
@pytest.mark.parametrize("unit", ["kmstwist.service", "kmstwist@.service"])
def test_the_service_has_little_exposure(unit: str) -> None:
    result = run(["systemd-analyze", "security", "--offline=true", str(ETC / "systemd" / unit)])
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", result.stdout)
    assert found is not None, result.stdout + result.stderr
    assert float(found[1]) < 2.0


@pytest.mark.needs("systemd-sysusers")
def test_systemd_can_make_the_user(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    result = run(["systemd-sysusers", f"--root={tmp_path}", str(ETC / "sysusers.d/kmstwist.conf")])
    assert result.returncode == 0, result.stderr
    assert re.search(
        r"^kmstwist:x:\d+:\d+:KMS gateway:/var/lib/kmstwist:/usr/sbin/nologin$",
        (tmp_path / "etc/passwd").read_text(),
        re.MULTILINE,
    )


@pytest.mark.needs("systemd-tmpfiles", "systemd-sysusers")
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give folders away")
def test_the_folders_have_their_modes(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/group").write_text("adm:x:4:\n")
    assert run(["systemd-sysusers", f"--root={tmp_path}", str(ETC / "sysusers.d/kmstwist.conf")]).returncode == 0
    result = run(["systemd-tmpfiles", "--create", f"--root={tmp_path}", str(ETC / "tmpfiles.d/kmstwist.conf")])
    assert result.returncode == 0, result.stderr
    modes = {name: (tmp_path / name).stat().st_mode & 0o777 for name in ("var/lib/kmstwist", "var/log/kmstwist")}
    assert list(modes.values()) == [0o700, 0o755]


#: What systemd does between fork and exec for a service with a socket unit.
_AS_SYSTEMD = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="kmstwist.socket")
os.execv(sys.argv[2], sys.argv[2:])
"""


class Activated:
    """The daemon as systemd starts it for a socket unit: descriptor 3 is the socket, and the environment says so."""

    def __init__(self, folder: Path, listening: socket.socket) -> None:
        self.log = folder / "log"
        self.log.touch()
        self._seen = self.log.stat().st_size
        daemon = [
            str(BIN / "twistd"),
            "-n",
            "--pidfile=",
            f"--logfile={self.log}",
            "kms",
            f"--state-dir={folder}/state",
        ]
        descriptor = listening.fileno()
        self.process = subprocess.Popen(
            [sys.executable, "-c", _AS_SYSTEMD, str(descriptor), *daemon], pass_fds=(descriptor,)
        )
        self.wait_for(" info listening ")

    def wait_for(self, text: str, times: int = 1) -> None:
        """Wait until this daemon's part of the log has `text` this many times."""

        def said() -> str:
            return self.log.read_text()[self._seen :]

        def has_it() -> bool:
            assert self.process.poll() is None, said()
            return said().count(text) >= times

        wait_until(has_it, said)

    def stop(self) -> int:
        """Stop it cleanly, as `systemctl stop` does. Returns its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)


def test_a_socket_that_systemd_has_not_opened_is_one_clear_sentence(tmp_path: Path) -> None:
    listen = "--listen=systemd:domain=INET6:index=0"
    result = run([str(BIN / "twistd"), "-n", "--pidfile=", "kms", f"--state-dir={tmp_path}", listen])
    assert (result.returncode, result.stderr) == (
        1,
        f"kmstwist: {listen}: systemd has not opened that socket; enable the socket unit, or listen on --port\n",
    )


def test_a_restart_behind_a_socket_unit_fails_no_client(tmp_path: Path) -> None:
    """Another process holds the port; clients that connect between the two daemons wait in the kernel's queue."""
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True, backlog=4096) as listening:
        port = str(listening.getsockname()[1])
        daemon = Activated(tmp_path, listening)
        clients = ("--product", "Windows 11 / 10 Enterprise", "--count", "800", "--at-once", "8", "--timeout", "120")
        with ThreadPoolExecutor(1) as pool:
            load = pool.submit(
                kmstwist, "lab", "activate", "--port", port, "--lab-key", str(tmp_path / "state/lab.key"), *clients
            )
            for _ in range(2):
                daemon.wait_for(" conversation ", 100)
                assert not load.done(), load.result().stderr
                assert daemon.stop() == 0
                daemon = Activated(tmp_path, listening)
            result = load.result()
        assert daemon.stop() == 0
    assert result.returncode == 0, result.stderr
    assert len(re.findall(r"LAB-PC-\d{4,}\s+\d+\s+[\d.]+\s+(?:licensed|grace)", result.stdout)) == 800
    # Each client has its line, from one daemon or another.
    assert daemon.log.read_text().count(" conversation ") == 800


@pytest.mark.needs("systemd-socket-activate")
def test_sockets_without_names_are_listened_on_too(tmp_path: Path) -> None:
    """As systemd's own tool hands them over, and as `sd_listen_fds` has it: names may be left out."""
    ports = [free_port(), free_port()]
    daemon = [str(BIN / "twistd"), "-n", "--pidfile=", "kms", f"--state-dir={tmp_path}/state"]
    command = ["systemd-socket-activate", *(f"--listen=127.0.0.1:{port}" for port in ports), *daemon]
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as activated:
        try:
            wait_until(lambda: "Listening on" in (tmp_path / "log").read_text())
            for port in ports:
                result = kmstwist("probe", f"127.0.0.1:{port}")
                assert result.returncode == 0, result.stdout + (tmp_path / "log").read_text()
        finally:
            activated.terminate()


def test_systemd_is_told_that_it_is_ready_when_clients_are_answered(tmp_path: Path) -> None:
    """The real daemon with several workers, started as by `Type=notify`: when it says ready, clients are answered."""
    port = free_port()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(PATIENCE)
        daemon = subprocess.Popen(
            [
                str(BIN / "twistd"),
                "-n",
                "--pidfile=",
                f"--logfile={tmp_path}/log",
                "kms",
                f"--port={port}",
                f"--state-dir={tmp_path}/state",
                "--upstream=127.0.0.1:9",
                "--workers=2",
            ],
            env={**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "600000000"},
        )
        try:
            assert manager.recv(4096) == b"READY=1"
            assert manager.recv(4096) == b"WATCHDOG=1"
            assert kmstwist("gateway", "status", "--port", str(port), "--run-dir", f"{tmp_path}/state").returncode == 0
        finally:
            daemon.terminate()
            assert daemon.wait(PATIENCE) == 0
