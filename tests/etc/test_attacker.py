"""Root's work for kmstwist follows nothing that the service's user planted, at any path and of any kind.

The attacker has the rights of a daemon that was broken into. It has planted what it can at a path that root reads or
writes, pointing to a file of root's or to a place where only root can make one. Afterwards both must be unchanged.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from kmstwist.system.privileges import Identity, can_change
from tests.etc.conftest import ETC, InitScript
from tests.ports import free_port
from tests.system.running import BIN, kmstwist, run
from tests.waiting import wait_until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, whom the attacker is after")
NOBODY = pwd.getpwnam("nobody")
KINDS = ("link", "link-to-nothing", "hard-link", "pipe", "folder-link")


class Plant:
    """A file of root's, a place for one, and what an attacker plants to reach them."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o755)
        self.victim = folder / "victim"
        self.victim.write_text("root's own\n")
        self.victim.chmod(0o640)
        self.nothing = folder / "nothing"
        self._was = self._seen()

    def at(self, path: Path, kind: str) -> None:
        """Plant it as the attacker could: the attacker owns what is made."""
        path.unlink(missing_ok=True)
        if kind == "link":
            path.symlink_to(self.victim)
        elif kind == "link-to-nothing":
            path.symlink_to(self.nothing)
        elif kind == "hard-link":
            # Where the kernel does not protect them (fs.protected_hardlinks), any user can make one.
            path.hardlink_to(self.victim)
        elif kind == "folder-link":
            path.symlink_to(self.victim.parent)
        else:
            os.mkfifo(path, 0o666)
        if kind != "hard-link":
            os.chown(path, NOBODY.pw_uid, NOBODY.pw_gid, follow_symlinks=False)

    def _seen(self) -> tuple[object, ...]:
        found = self.victim.lstat()
        folder = self.victim.parent.lstat()
        return (
            (found.st_ino, found.st_uid, found.st_gid, found.st_mode, self.victim.read_text()),
            (folder.st_uid, folder.st_gid, folder.st_mode, os.listdir(self.victim.parent)),
        )

    def check(self) -> None:
        """Nothing has changed, and nothing was made."""
        assert self._seen() == self._was
        assert not os.path.lexists(self.nothing)


@pytest.fixture
def plant(root: Path) -> Plant:
    """The attacker's targets."""
    return Plant(root / "roots")


def theirs(folder: Path) -> Path:
    """A folder of the attacker's."""
    folder.mkdir(mode=0o755, exist_ok=True)
    os.chown(folder, NOBODY.pw_uid, NOBODY.pw_gid)
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_planted_for_the_log_and_the_pid_file_goes_and_the_service_starts(
    plain_init: InitScript, plant: Plant, kind: str
) -> None:
    init = plain_init
    # An earlier version gave both folders to the service's user, so the attacker owned them for long.
    for path in (init.log, init.pidfile, init.pidfile.with_suffix(".pid.before")):
        theirs(path.parent)
        plant.at(path, kind)
    # None of them waits for a pipe.
    for action in ("status", "rotate", "reload", "restart"):
        init(action)
        plant.check()
        assert {folder.stat().st_uid for folder in (init.log.parent, init.pidfile.parent)} <= {0, NOBODY.pw_uid}
    assert init("status").returncode == 0
    assert kmstwist("probe", f"127.0.0.1:{init.port}").returncode == 0
    assert init.log.is_file()
    assert not init.log.is_symlink()
    assert init.log.stat().st_nlink == 1
    plant.check()
    # From then on the attacker can plant nothing there.
    who = Identity(NOBODY.pw_uid, NOBODY.pw_gid, (NOBODY.pw_gid,))
    assert not any(can_change(who, folder) for folder in (init.log.parent, init.pidfile.parent))


@pytest.mark.parametrize("kind", ["link", "link-to-nothing", "hard-link"])
def test_what_is_planted_in_the_state_folder_is_opened_with_its_owners_rights_only(
    plain_init: InitScript, plant: Plant, kind: str
) -> None:
    init = plain_init
    state = init.root / "state"
    # Each group either stops the start or lets it go on.
    names = ("lab-audit.sqlite", "lab-audit.sqlite.lock", "lab-audit.sqlite-wal", f"switches-{init.port}.json")
    for group in (("lab.key",), ("lab.sqlite",), (f"control-{init.port}.sock", *names)):
        theirs(state)
        for name in group:
            plant.at(state / name, kind)
        # Whether it starts depends on what is missing; what matters is what root did.
        init("start")
        plant.check()
        init("stop")
        shutil.rmtree(state)
    started = init("start")
    assert started.returncode == 0, started.stderr


@pytest.mark.parametrize("setting", ["STATE_DIR", "RUN_DIR", "LOG_DIR"])
def test_a_folder_inside_one_of_the_attackers_is_refused(plain_init: InitScript, plant: Plant, setting: str) -> None:
    init = plain_init
    around = theirs(init.root / "around")
    (around / "inner").symlink_to(plant.victim.parent)
    (around / "inner/there").mkdir()
    before = sorted(os.listdir(plant.victim.parent))
    for folder in (around / "new", around / "inner", around / "inner/new", around / "inner/there"):
        init.set(**{setting: str(folder)})
        refused = init("start")
        assert refused.returncode == 1
        assert "can be changed by nobody" in refused.stderr or "is a link" in refused.stderr, refused.stderr
        assert not (around / "new").exists()
        assert sorted(os.listdir(plant.victim.parent)) == before
    assert (plant.victim.parent / "there").stat().st_uid == 0


@pytest.mark.parametrize("setting", ["STATE_DIR", "RUN_DIR", "LOG_DIR"])
def test_a_link_of_roots_own_into_a_folder_of_the_attackers_is_refused(plain_init: InitScript, setting: str) -> None:
    init = plain_init
    around = theirs(init.root / "around")
    (around / "there").mkdir()
    (init.root / "to-it").symlink_to(around / "there")
    (init.root / "to-around").symlink_to(around)
    for folder, why in ((init.root / "to-it", "is a link"), (init.root / "to-around/new", "can be changed by nobody")):
        init.set(**{setting: str(folder)})
        refused = init("start")
        assert (refused.returncode, why in refused.stderr) == (1, True), refused.stderr
    assert os.listdir(around) == ["there"]
    assert os.listdir(around / "there") == []
    assert (around / "there").stat().st_uid == 0


@pytest.mark.parametrize("kind", KINDS)
def test_the_packages_postinst_takes_the_logs_folder_back_and_follows_nothing(
    root: Path, plant: Plant, kind: str
) -> None:
    text = (ETC.parent / "packaging/deb/postinst").read_text()
    block = re.search(r"^    if \[ ! -d /var/log/kmstwist \].*?^    fi$", text, re.MULTILINE | re.DOTALL)
    assert block is not None
    folder = theirs(root / "log")
    plant.at(folder / "kmstwist.log", kind)
    (folder / "kmstwist.log.1").write_text("a line\n")
    script = block[0].replace("/var/log/kmstwist", str(folder)).replace("= kmstwist ", "= nobody ")
    assert run(["/bin/sh", "-ec", script.replace("-g adm", "-g root")]).returncode == 0
    plant.check()
    assert (folder.stat().st_uid, stat.S_IMODE(folder.stat().st_mode)) == (0, 0o755)
    assert os.listdir(folder) == ["kmstwist.log.1"]


@pytest.mark.parametrize("kind", KINDS)
def test_twistd_by_hand_follows_nothing_either(root: Path, plant: Plant, kind: str) -> None:
    folder = theirs(root / "folder")
    pid, log, sock = folder / "kms.pid", folder / "kms.log", folder / "kms.sock"
    for path in (pid, log, sock):
        plant.at(path, kind)
    command = [str(BIN / "twistd"), "--uid=nobody", f"--pidfile={pid}", f"--logfile={log}", "kms"]
    command += [f"--state-dir={folder}/state", f"--listen=unix:{sock}", f"--listen=tcp:{free_port()}"]
    said = run(command)
    plant.check()
    if kind == "pipe":
        # A log may be a pipe; the socket's place is taken, and whoever started the daemon is told.
        assert "Traceback" not in said.stderr
    # The owner removes what kept it from starting.
    for path in (pid, log, sock):
        path.unlink(missing_ok=True)
    clean = run(command)
    try:
        assert clean.returncode == 0, clean.stderr
        assert stat.S_ISREG(pid.lstat().st_mode)
        assert (pid.stat().st_uid, log.stat().st_uid, sock.stat().st_uid) == (NOBODY.pw_uid,) * 3
        # Only a server that stays root is refused.
        assert " starting " in log.read_text()
        assert " as-root " not in log.read_text()
        plant.check()
    finally:
        if clean.returncode == 0:
            os.kill(int(pid.read_text()), 15)
            wait_until(lambda: not pid.exists())


def test_the_folders_that_systemd_and_the_package_make_are_roots_but_for_the_state() -> None:
    lines = [line.split() for line in (ETC / "tmpfiles.d/kmstwist.conf").read_text().splitlines()]
    owners = {words[1]: (words[2], words[3]) for words in lines if words and words[0] == "d"}
    assert owners.pop("/var/lib/kmstwist") == ("0700", "kmstwist")
    assert owners == {"/run/kmstwist": ("0755", "root"), "/var/log/kmstwist": ("0755", "root")}


@pytest.mark.needs("logrotate")
def test_logrotate_follows_nothing_that_is_planted(root: Path, plant: Plant) -> None:
    # Even if the attacker had the folder: our file relies on what logrotate itself refuses.
    folder = theirs(root / "log")
    for kind in KINDS:
        plant.at(folder / f"{kind}.log", kind)
    text = (ETC / "logrotate.d/kmstwist").read_text().split("\n}\n")[0].replace("/var/log/kmstwist/", f"{folder}/")
    text = text.replace("kmstwist adm", "nobody nogroup").replace("if [ -x /etc/init.d/kmstwist ]", "if false")
    config = root / "conf"
    config.write_text(text + "\n}\n")
    config.chmod(0o644)
    run(["/usr/sbin/logrotate", "--force", "--state", str(root / "rotated"), str(config)])
    plant.check()


@pytest.fixture
def other_socket(root: Path) -> Iterator[Path]:
    """Somebody else's socket, which would take anything from root."""
    path = root / "other.sock"
    listener = subprocess.Popen(
        ["/usr/bin/env", "python3", "-c", _LISTENER, str(path)], stdout=subprocess.PIPE, text=True
    )
    wait_until(path.exists)
    yield path
    listener.kill()
    said, _ = listener.communicate()
    assert said == ""


_LISTENER = """
import socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
while True:
    connection, _ = listener.accept()
    print(connection.recv(100), flush=True)
    connection.close()
"""


def test_roots_commands_do_not_follow_a_link_in_the_control_sockets_place(root: Path, other_socket: Path) -> None:
    state = theirs(root / "state")
    (state / "control-1688.sock").symlink_to(other_socket)
    asked = kmstwist("gateway", "status", "--run-dir", str(state))
    assert asked.returncode == 1
    assert "is a link, and not the control socket of a kmstwist" in asked.stderr
