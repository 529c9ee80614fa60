"""The SysV init script starts, stops and reports on the real daemon, with start-stop-daemon and without."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import signal
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.etc.conftest import ETC, InitScript
from tests.ports import free_port
from tests.system.running import kmstwist, run
from tests.waiting import wait_until


def test_it_starts_reports_its_state_and_stops(init: InitScript) -> None:
    assert init("status").returncode == 3
    started = init("start")
    assert (started.returncode, started.stderr) == (0, "")
    assert kmstwist("probe", f"127.0.0.1:{init.port}").returncode == 0
    status = init("status")
    assert (status.returncode, status.stdout) == (0, f"kmstwist: KMS gateway is running (pid {init.pid()})\n")
    again = init("start")
    assert (again.returncode, "already" in again.stdout) == (0, True)
    stopped = init("stop")
    assert (stopped.returncode, stopped.stderr) == (0, "")
    assert init("status").returncode == 3
    assert init("stop").returncode == 0
    assert " stopped " in init.log.read_text()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to drop it")
def test_it_drops_root_and_gives_its_state_to_its_user_and_nothing_else(plain_init: InitScript) -> None:
    init = plain_init
    assert init("start").returncode == 0
    nobody = pwd.getpwnam("nobody").pw_uid
    status = Path(f"/proc/{init.pid()}/status").read_text()
    assert re.findall(r"^(?:Uid|Gid):\s+(\d+)\s+(\d+)\s+(\d+)", status, re.MULTILINE)[0] == (str(nobody),) * 3
    assert "Groups:\t0" not in status
    modes = {path: path.stat().st_mode & 0o777 for path in (init.root / "state", init.root / "run", init.root / "log")}
    assert list(modes.values()) == [0o700, 0o755, 0o755]
    assert {path.stat().st_uid for path in (init.root / "state", init.log, init.root / "state/lab.key")} == {nobody}
    assert {path.stat().st_uid for path in (init.root / "run", init.root / "log", init.pidfile)} == {0}
    assert (init.root / "state/lab.key").stat().st_mode & 0o777 == 0o600


def test_a_restart_is_another_process_with_the_same_memory(init: InitScript) -> None:
    assert init("try-restart").returncode == 0
    assert init("status").returncode == 3
    assert init("start").returncode == 0
    before = init.pid()
    key = (init.root / "state/lab.key").read_bytes()
    assert init("restart").returncode == 0
    assert init.pid() != before
    assert (init.root / "state/lab.key").read_bytes() == key
    assert kmstwist("probe", f"127.0.0.1:{init.port}").returncode == 0


def test_a_restart_under_load_fails_no_client(init: InitScript) -> None:
    """The new daemon takes over the running one's socket: clients that connect in between wait."""
    assert init("start").returncode == 0
    clients = ("--product", "Windows 11 / 10 Enterprise", "--count", "800", "--at-once", "8", "--timeout", "120")
    where = ("--port", str(init.port), "--lab-key", str(init.root / "state/lab.key"))
    with ThreadPoolExecutor(1) as pool:
        load = pool.submit(kmstwist, "lab", "activate", *where, *clients)
        for number in (1, 2):
            wait_for_text(init.log, " conversation ", 100 * number)
            restarted = init("restart")
            assert (restarted.returncode, restarted.stdout) == (0, "kmstwist: KMS gateway restarted\n")
        result = load.result()
    assert result.returncode == 0, result.stderr
    assert len(re.findall(r"LAB-PC-\d{4,}\s+\d+\s+[\d.]+\s+(?:licensed|grace)", result.stdout)) == 800
    assert init("stop").returncode == 0
    text = init.log.read_text()
    # Each client has its line, from one of the three daemons, and the last one also shut down cleanly.
    assert [text.count(f" {event} ") for event in ("conversation", "took-over", "stopped")] == [800, 2, 3]


def wait_for_text(path: Path, text: str, times: int) -> None:
    """Wait until the file has the text this many times."""
    wait_until(lambda: path.read_text().count(text) >= times, path.read_text)


def test_a_restart_with_a_mistake_in_the_configuration_leaves_the_daemon_as_it_was(plain_init: InitScript) -> None:
    init = plain_init
    config = init.root / "kmstwist.toml"
    config.write_text("")
    config.chmod(0o644)
    init.set(CONFIG=str(config))
    assert init("start").returncode == 0
    before = init.pid()
    config.write_text("[gateway]\ndeadlin = 5\n")
    result = init("restart")
    assert result.returncode == 1
    assert "gateway.deadlin: no such option" in result.stderr
    assert result.stderr.splitlines()[-1] == (
        f"kmstwist: KMS gateway keeps running as before (pid {before}); the line above says why it did not restart"
    )
    assert init("status").stdout == f"kmstwist: KMS gateway is running (pid {before})\n"
    assert kmstwist("probe", f"127.0.0.1:{init.port}").returncode == 0


def test_a_restart_at_another_port_ends_the_daemon_first(plain_init: InitScript) -> None:
    init = plain_init
    assert init("start").returncode == 0
    before, old = init.pid(), init.port
    init.port = free_port()
    init.set()
    result = init("restart")
    assert result.returncode == 0
    assert f"no kmstwist runs with the control socket {init.root}/state/control-{init.port}.sock" in result.stderr
    assert result.stdout.splitlines() == [
        "kmstwist: the running daemon is stopped first",
        "kmstwist: KMS gateway stopped",
        "kmstwist: KMS gateway started",
    ]
    assert init.pid() != before
    assert kmstwist("probe", f"127.0.0.1:{init.port}").returncode == 0
    assert kmstwist("probe", f"127.0.0.1:{old}").returncode == 2


def test_a_crash_leaves_a_pid_file_and_the_next_start_is_not_misled(plain_init: InitScript) -> None:
    init = plain_init
    assert init("start").returncode == 0
    os.kill(init.pid(), signal.SIGKILL)
    wait_until(lambda: init("status").returncode != 0)
    assert init("status").returncode == 1
    # Another process has this pid now: the script must neither take it for ours nor kill it.
    init.pidfile.write_text(f"{os.getpid()}\n")
    assert init("status").returncode == 1
    assert init("stop").returncode == 0
    assert init("start").returncode == 0
    assert init("status").returncode == 0


def test_rotate_makes_the_daemon_reopen_its_log(plain_init: InitScript) -> None:
    init = plain_init
    assert init("rotate").returncode == 0
    assert init("start").returncode == 0
    init.log.rename(init.log.with_suffix(".1"))
    assert init("rotate").returncode == 0
    wait_until(init.log.exists)
    with socket.create_connection(("127.0.0.1", init.port)) as client:
        client.sendall(b"this is not an RPC PDU")
        with contextlib.suppress(ConnectionResetError):
            while client.recv(1000):
                pass
    assert init("stop").returncode == 0
    assert " conversation " in init.log.read_text()
    assert " conversation " not in init.log.with_suffix(".1").read_text()


def refused(init: InitScript, code: int) -> str:
    result = init("start")
    assert result.returncode == code, result
    assert "Traceback" not in result.stderr
    return result.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, which alone may choose a user")
def test_an_unknown_user_is_named_with_the_cure(plain_init: InitScript) -> None:
    init = plain_init
    init.set(RUN_AS="no-such-user")
    assert refused(init, 6).startswith("kmstwist: there is no user no-such-user: adduser --system")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to make a folder of another user")
def test_a_folder_of_another_owner_is_named_with_the_cure(plain_init: InitScript) -> None:
    init = plain_init
    (init.root / "state").mkdir()
    line = refused(init, 1)
    assert line == (
        f"kmstwist: the folder {init.root}/state belongs to root, and kmstwist runs as nobody: "
        f"chown -R nobody: {init.root}/state\n"
    )


def test_a_folder_that_cannot_be_made_is_named(plain_init: InitScript) -> None:
    init = plain_init
    init.set(STATE_DIR="/proc/nowhere")
    assert "the folder /proc/nowhere cannot be made" in refused(init, 1)


def test_a_missing_configuration_is_named(plain_init: InitScript) -> None:
    init = plain_init
    init.set(CONFIG="/nowhere/kmstwist.toml")
    assert refused(init, 6).startswith("kmstwist: the configuration /nowhere/kmstwist.toml cannot be read")


def test_a_missing_program_is_named_and_stopping_it_is_not_an_error(plain_init: InitScript) -> None:
    init = plain_init
    init.set(TWISTD="/nowhere/twistd")
    assert refused(init, 5).startswith("kmstwist: /nowhere/twistd is not there; install kmstwist")
    assert init("stop").returncode == 0


def test_the_daemon_itself_reports_a_taken_port(plain_init: InitScript) -> None:
    init = plain_init
    with socket.create_server(("::", init.port), family=socket.AF_INET6):
        lines = refused(init, 1).splitlines()
    assert lines[0].startswith(f"kmstwist: port {init.port} is in use by another program")
    assert lines[1].startswith("kmstwist: KMS gateway did not start")
    assert len(lines) == 2


def test_the_daemon_itself_reports_a_wrong_option(plain_init: InitScript) -> None:
    init = plain_init
    init.set(KMS_OPTS="--prot=1")
    assert "there is no option --prot; did you mean --port?" in refused(init, 1)


@pytest.mark.parametrize("action", ["reload", "force-reload"])
def test_a_reload_without_a_running_daemon_is_an_error(root: Path, action: str) -> None:
    result = InitScript(root)(action)
    assert (result.returncode, result.stderr) == (7, "kmstwist: KMS gateway is not running\n")


def test_it_prints_its_usage(root: Path) -> None:
    result = InitScript(root)("bogus")
    assert result.returncode == 2
    assert "start|stop|restart" in result.stderr


def test_a_second_instance_is_a_link_and_a_default_file(root: Path) -> None:
    script = InitScript(root)
    link = root / "S03kmstwist-dmz"
    link.symlink_to(script.script)
    result = run(["/bin/sh", str(link), "status"], env=script.environment)
    assert (result.returncode, result.stdout) == (3, "kmstwist-dmz: KMS gateway is not running\n")


def test_the_header_is_as_lsb_requires() -> None:
    text = (ETC / "init.d/kmstwist").read_text()
    header = text.split("### BEGIN INIT INFO\n")[1].split("### END INIT INFO")[0]
    keywords = re.findall(r"^# ([\w-]+):", header, re.MULTILINE)
    assert {"Provides", "Required-Start", "Required-Stop", "Default-Start", "Default-Stop", "Short-Description"} <= set(
        keywords
    )
    assert subprocess.run(["/bin/sh", "-n", str(ETC / "init.d/kmstwist")], check=False).returncode == 0


def test_the_default_file_sets_only_what_the_script_reads() -> None:
    names = set(re.findall(r"^#?([A-Z_]+)=", (ETC / "default/kmstwist").read_text(), re.MULTILINE))
    script = (ETC / "init.d/kmstwist").read_text()
    settable = script.split("# What /etc/default/NAME may set.\n")[1].split("\n\n")[0]
    assert names == set(re.findall(r"^([A-Z_]+)=", settable, re.MULTILINE))
