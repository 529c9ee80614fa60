"""The Debian package: built, installed, run, upgraded, removed and purged on this very system, under an overlay.

The overlay is a copy-on-write view of the machine's whole file system in a mount namespace of its own: dpkg, adduser
and the init script are the real ones, and nothing of what they do remains afterwards.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.system.running import run

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "packaging/deb/build"

_OVERLAY = """
set -e
mount -t tmpfs tmpfs "$0"
mkdir "$0/upper" "$0/work" "$0/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$0/upper,workdir=$0/work" "$0/root"
mount -t proc proc "$0/root/proc"
mount --rbind /dev "$0/root/dev"
mount -t tmpfs tmpfs "$0/root/run"
mount -t tmpfs tmpfs "$0/root/var/lib/kmstwist" 2>/dev/null && umount "$0/root/var/lib/kmstwist" || true
rm -rf "$0/root/var/lib/kmstwist" "$0/root/etc/kmstwist"
exec chroot "$0/root" /bin/bash
"""


class Machine:
    """A shell as root in the overlay, kept open, with one command at a time."""

    def __init__(self, folder: Path) -> None:
        self._shell = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "/bin/sh", "-c", _OVERLAY, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd="/",
            env={"PATH": "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive"},
        )

    def __call__(self, command: str, status: int = 0) -> str:
        """The command's output; its exit status must be as expected."""
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        self._shell.stdin.write(f'{{ {command}\n}} </dev/null; status=$?; echo; echo "@@ $status"\n')
        self._shell.stdin.flush()
        lines: list[str] = []
        for line in self._shell.stdout:
            if line.startswith("@@ "):
                assert line == f"@@ {status}\n", "".join(lines)
                return "".join(lines)[:-1]
            lines.append(line)
        raise AssertionError("the machine ended:\n" + "".join(lines))

    def end(self) -> None:
        """Stop everything that runs there."""
        self._shell.kill()
        self._shell.communicate()


def build(folder: Path, version: str) -> Path:
    """The package, from an environment that is built once."""
    result = run(
        [str(BUILD), "--work", str(folder / "work"), "--out", str(folder), "--version", version, "--compress", "gzip"]
    )
    assert result.returncode == 0, result.stderr
    return Path(result.stdout.strip())


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The package, and its successor."""
    folder = tmp_path_factory.mktemp("deb")
    return build(folder, "1.0"), build(folder, "1.1")


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A machine to install on."""
    folder = tmp_path / "overlay"
    folder.mkdir()
    one = Machine(folder)
    try:
        yield one
    finally:
        one.end()


def overlay_works() -> bool:
    """Whether we are root and may mount."""
    probe = (
        "cd /mnt && mount -t tmpfs tmpfs /mnt && mkdir /mnt/u /mnt/w /mnt/m && "
        "mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/u,workdir=/mnt/w /mnt/m"
    )
    return (
        os.geteuid() == 0
        and subprocess.run(["unshare", "--mount", "/bin/sh", "-c", probe], capture_output=True, check=False).returncode
        == 0
    )


@pytest.mark.needs("dpkg-deb")
@pytest.mark.xdist_group("deb")
@pytest.mark.skipif(not overlay_works(), reason="needs root and overlay mounts, to install without leaving a trace")
def test_it_installs_runs_upgrades_in_place_and_leaves_no_trace(packages: tuple[Path, Path], machine: Machine) -> None:
    first, second = packages
    port = free_port()
    said = machine(f"dpkg --install {first} 2>&1")
    assert "no init system runs here, so it was not started" in said
    assert machine("kmstwist --version").startswith("kmstwist, version")
    assert machine("stat -c '%U %a' /var/lib/kmstwist").strip() == "kmstwist 700"

    # The administrator's own changes to the configuration, and a daemon that runs as its own user.
    machine(f"echo 'KMS_OPTS=--port={port}' >>/etc/default/kmstwist; echo '# ours' >>/etc/kmstwist/kmstwist.toml")
    assert "started" in machine("/etc/init.d/kmstwist start")
    assert machine(f"kmstwist probe 127.0.0.1:{port}").startswith("KMS OK")
    before = machine("cat /run/kmstwist/kmstwist.pid")
    assert machine("stat -c %U /proc/$(cat /run/kmstwist/kmstwist.pid)").strip() == "kmstwist"
    key = machine("sha256sum </var/lib/kmstwist/lab.key")

    # The log's folder as an earlier version left it, and what its user planted there for root.
    machine("touch /root/victim; chown kmstwist /var/log/kmstwist; ln -s /root/victim /var/log/kmstwist/planted.log")
    said = machine(f"dpkg --install {second} 2>&1")
    assert "Unpacking kmstwist (1.1) over (1.0)" in said
    assert machine(f"kmstwist probe 127.0.0.1:{port}").startswith("KMS OK")
    assert machine("stat -c '%U %a' /var/log/kmstwist /run/kmstwist").split() == ["root", "755", "root", "755"]
    machine("test ! -L /var/log/kmstwist/planted.log && test -f /var/log/kmstwist/kmstwist.log")
    assert machine("stat -c '%U %s' /root/victim").strip() == "root 0"
    assert machine("cat /run/kmstwist/kmstwist.pid") != before
    assert machine("sha256sum </var/lib/kmstwist/lab.key") == key
    assert machine("tail -1 /etc/kmstwist/kmstwist.toml").strip() == "# ours"
    assert machine("tail -1 /etc/default/kmstwist").strip() == f"KMS_OPTS=--port={port}"
    assert re.search(r" stopped conversations=\d+ ", machine("cat /var/log/kmstwist/kmstwist.log"))

    machine("dpkg --remove kmstwist 2>&1")
    assert machine("/etc/init.d/kmstwist stop; echo $?").strip() == "0"
    machine("test -e /var/lib/kmstwist/lab.key && test -e /etc/kmstwist/kmstwist.toml && ! test -e /usr/lib/kmstwist")
    # dpkg's copies of a configuration, and an instance's, are deleted; keys are kept, by their names.
    machine("cd /etc/kmstwist && touch two.toml kmstwist.toml.dpkg-dist tsig.key gateway.keytab")
    purged = machine("dpkg --purge kmstwist 2>&1")
    assert "  /etc/kmstwist/tsig.key\n" in purged
    assert "  /etc/kmstwist/gateway.keytab\n" in purged
    assert sorted(machine("ls /etc/kmstwist").split()) == ["gateway.keytab", "tsig.key"]
    machine("rm -r /etc/kmstwist")
    left = machine(
        "ls -d /etc/*/*kmstwist* /var/*/kmstwist /run/kmstwist /usr/lib/kmstwist 2>/dev/null || true; "
        "getent passwd kmstwist || true"
    )
    assert left == ""


@pytest.mark.needs("dpkg-deb")
@pytest.mark.xdist_group("deb")
def test_a_package_builds_reproducibly_and_has_what_active_directory_needs(
    packages: tuple[Path, Path], tmp_path: Path
) -> None:
    first = packages[0]
    (tmp_path / "work").symlink_to(first.parent / "work")
    again = build(tmp_path, "1.0")
    assert again.read_bytes() == first.read_bytes()
    listed = run(["dpkg-deb", "--contents", str(first)]).stdout
    for package in ("gssapi", "evtx", "psycopg"):
        assert f"/site-packages/{package}/__init__.py" in listed
    assert "direct_url.json" not in listed


@pytest.mark.needs("dpkg-deb", "lintian")
@pytest.mark.xdist_group("deb")
def test_lintian_finds_nothing(packages: tuple[Path, Path]) -> None:
    result = run(["lintian", "--allow-root", "--fail-on", "error,warning", str(packages[0])])
    assert (result.returncode, result.stdout) == (0, "")
