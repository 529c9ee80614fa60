"""Log rotation: logrotate takes our file, and no line is lost while clients keep coming."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from tests.etc.conftest import ETC, InitScript
from tests.system.running import kmstwist, run
from tests.waiting import PATIENCE, wait_until

# Not on the path of those who are not root.
LOGROTATE = "/usr/sbin/logrotate"
_CONFIG = ETC / "logrotate.d/kmstwist"
_SNIPPET = ETC / "rsyslog.d/kmstwist.conf"


def stanza(files: str) -> str:
    """What our logrotate file says about some files."""
    found = re.search(rf"^{re.escape(files)} \{{.*?^\}}", _CONFIG.read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[0]


def config_for(init: InitScript) -> Path:
    """Our logrotate file, with the temporary root's paths and user."""
    user, group = (init.user, "nogroup") if init.user else (str(os.getuid()), str(os.getgid()))
    text = stanza("/var/log/kmstwist/*.log")
    text = text.replace("/var/log/kmstwist/", f"{init.log.parent}/").replace("kmstwist adm", f"{user} {group}")
    text = text.replace("/etc/init.d/kmstwist rotate", f"KMSTWIST_DEFAULTS={init.defaults} {init.script} rotate")
    text = (
        text.replace("/etc/init.d/kmstwist", str(init.script)).replace("dateext", "").replace("rotate 30", "rotate 999")
    )
    path = init.root / "logrotate.conf"
    path.write_text(text)
    path.chmod(0o644)
    return path


@pytest.mark.needs("logrotate")
def test_logrotate_finds_nothing_wrong_with_the_file(tmp_path: Path) -> None:
    text = _CONFIG.read_text().replace(" kmstwist adm", " root root")
    (tmp_path / "conf").write_text(text)
    (tmp_path / "conf").chmod(0o644)
    result = run([LOGROTATE, "--debug", "--state", str(tmp_path / "state"), str(tmp_path / "conf")])
    assert result.returncode == 0
    assert "error" not in result.stderr.lower()


def wait_for_the_new_file(init: InitScript) -> None:
    """Wait until the daemon has opened the new log: the signal only asks for it. Real rotations are days apart."""
    wait_until(lambda: str(init.log) in open_files(init.pid()))


def open_files(pid: int) -> set[str]:
    """The paths of the files a process has open; the clients' connections come and go while the list is read."""
    paths = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            paths.add(os.readlink(descriptor))
    return paths


@pytest.mark.needs("logrotate")
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, as logrotate's su does")
def test_a_rotation_under_load_loses_no_line(root: Path) -> None:
    init = InitScript(root)
    config = config_for(init)
    assert init("start").returncode == 0
    try:
        key = init.root / "state/lab.key"
        arguments = ("--port", str(init.port), "--lab-key", str(key), "--product", "Windows 11 / 10 Enterprise")
        with ThreadPoolExecutor(1) as pool:
            clients = pool.submit(kmstwist, "lab", "activate", *arguments, "--count", "1200", "--at-once", "8")
            while not clients.done() or len(list(init.log.parent.iterdir())) < 3:
                result = run([LOGROTATE, "--force", "--state", str(init.root / "rotated"), str(config)])
                assert result.returncode == 0, result.stderr
                wait_for_the_new_file(init)
        assert clients.result().returncode == 0, clients.result().stderr
    finally:
        assert init("stop").returncode == 0
    parts = sorted(init.log.parent.iterdir())
    assert len(parts) >= 3
    text = "".join(run(["zcat", "--force", str(path)]).stdout for path in parts)
    # One line for each of the clients, none torn.
    lines = re.findall(r"^\S+Z info conversation client=\S+ .* bytes_out=\d+$", text, re.MULTILINE)
    assert len(lines) == 1200
    assert text.count("conversation client=") == 1200


@pytest.mark.needs("rsyslogd")
def test_rsyslog_finds_nothing_wrong_with_the_snippet() -> None:
    result = run(["/usr/sbin/rsyslogd", "-N1", "-f", str(_SNIPPET)])
    complaints = [line for line in result.stderr.splitlines() if "error" in line.lower()]
    # A snippet has no input of its own, and rsyslog stops at that.
    assert [
        line for line in complaints if "no active inputs" not in line.lower() and "no active actions" not in line
    ] == []


@pytest.fixture
def rsyslog(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A syslog daemon with our snippet and a socket of its own, `socket`; its log is `kmstwist.log`."""
    (tmp_path / "rsyslog.conf").write_text(
        f"""
        module(load="imuxsock" SysSock.Use="off")
        input(type="imuxsock" Socket="{tmp_path}/socket" RateLimit.Interval="0")
        {_SNIPPET.read_text().replace("/var/log/", f"{tmp_path}/")}
        *.* {tmp_path}/others.log
        """
    )
    daemon = subprocess.Popen(
        ["/usr/sbin/rsyslogd", "-n", "-f", str(tmp_path / "rsyslog.conf"), "-i", str(tmp_path / "pid")]
    )
    try:
        wait_until(lambda: (tmp_path / "socket").exists())
        yield daemon
    finally:
        daemon.kill()
        daemon.wait(PATIENCE)


@pytest.mark.needs("rsyslogd", "logrotate")
def test_a_rotation_of_what_rsyslog_writes_loses_no_line(tmp_path: Path, rsyslog: subprocess.Popen[bytes]) -> None:
    log = tmp_path / "kmstwist.log"
    own = stanza("/var/log/kmstwist.log")
    # The test signals its daemon as Debian's script signals the machine's.
    telling = "if [ -x /usr/lib/rsyslog/rsyslog-rotate ]; then /usr/lib/rsyslog/rsyslog-rotate; fi"
    assert telling in own
    config = tmp_path / "logrotate.conf"
    config.write_text(
        own.replace("/var/log/kmstwist.log", str(log))
        .replace("dateext", "")
        .replace(telling, f"kill -HUP {rsyslog.pid}")
    )
    config.chmod(0o644)
    sent = 0

    def send() -> None:
        nonlocal sent
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as way:
            way.connect(str(tmp_path / "socket"))
            for tag in ("kmstwist", "kmstwist-dmz", "other"):
                way.send(f"<30>Jan  1 00:00:00 {tag}[7]: info conversation client=10.0.0.1 number={sent}".encode())
        sent += 1

    for _ in range(4):

        def written() -> bool:
            send()
            return log.exists() and log.stat().st_size > 0

        wait_until(written)
        rotated = run([LOGROTATE, "--force", "--state", str(tmp_path / "rotated"), str(config)])
        assert rotated.returncode == 0, rotated.stderr
    wait_until(written)

    def numbers(tag: str) -> list[int]:
        """The numbers of the lines with this tag that have reached the files."""
        text = "".join(run(["zcat", "--force", str(path)]).stdout for path in tmp_path.glob("kmstwist.log*"))
        line = rf"^\S+ \S+ {tag}\[7\]: info conversation client=10\.0\.0\.1 number=(\d+)$"
        return sorted(map(int, re.findall(line, text, re.MULTILINE)))

    # An rsyslogd that is told to end does not read the rest of its socket, so wait for the last line first.
    wait_until(
        lambda: all(len(numbers(tag)) >= sent for tag in ("kmstwist", "kmstwist-dmz")),
        lambda: f"{sent} lines were sent, and not all of them come: {numbers('kmstwist')}, {numbers('kmstwist-dmz')}",
    )
    others = tmp_path / "others.log"
    wait_until(lambda: others.exists() and f"number={sent - 1}\n" in others.read_text())
    rsyslog.terminate()
    assert rsyslog.wait(PATIENCE) == 0
    for tag in ("kmstwist", "kmstwist-dmz"):
        assert numbers(tag) == list(range(sent))
    assert "kmstwist" not in others.read_text()
    # The log's reader understands these lines.
    shown = kmstwist("log", str(log), "--client", "10.0.0.1", "--lines", "1")
    assert shown.stdout.endswith(f" number={sent - 1}\n")
