"""Log rotation: logrotate takes our file, and no line is lost while clients keep coming."""

from __future__ import annotations

import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from tests.etc.conftest import ETC, InitScript
from tests.system.running import kmstwist, run

_CONFIG = ETC / "logrotate.d/kmstwist"


def config_for(init: InitScript) -> Path:
    """Our logrotate file, as it is, but for the temporary root's paths and user."""
    user, group = (init.user, "nogroup") if init.user else (str(os.getuid()), str(os.getgid()))
    text = _CONFIG.read_text()
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
    text = _CONFIG.read_text().replace("    su kmstwist adm\n", "").replace(" kmstwist adm", " root root")
    (tmp_path / "conf").write_text(text)
    (tmp_path / "conf").chmod(0o644)
    result = run(["logrotate", "--debug", "--state", str(tmp_path / "state"), str(tmp_path / "conf")])
    assert result.returncode == 0
    assert "error" not in result.stderr.lower()


def wait_for_the_new_file(init: InitScript) -> None:
    """Until the daemon has opened the new log: the signal only asks for it, and days lie between real rotations."""
    deadline = time.monotonic() + 20
    while str(init.log) not in open_files(init.pid()):
        assert time.monotonic() < deadline


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
                result = run(["logrotate", "--force", "--state", str(init.root / "rotated"), str(config)])
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
    result = run(["/usr/sbin/rsyslogd", "-N1", "-f", str(ETC / "rsyslog.d/kmstwist.conf")])
    complaints = [line for line in result.stderr.splitlines() if "error" in line.lower()]
    # A snippet has no input of its own, and rsyslog stops at that.
    assert [
        line for line in complaints if "no active inputs" not in line.lower() and "no active actions" not in line
    ] == []
