"""A stale pid file is replaced; one that cannot be written is explained."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kmstwist.process.pidfile import prepare_pid_file
from kmstwist.startup import StartupError


def twistd(path: Path | str, **options: Any) -> dict[str, Any]:
    return {"pidfile": str(path), "nodaemon": 0, "rundir": ".", **options}


def test_its_own_number_is_stale(tmp_path: Path) -> None:
    """In a container the first process always has pid 1, so after a crash the file has the pid of the next one."""
    path = tmp_path / "kms.pid"
    path.write_text(f"{os.getpid()}\n")
    prepare_pid_file(twistd(path))
    assert not path.exists()


def test_another_program_s_number_is_stale_and_a_twistd_s_is_not(tmp_path: Path) -> None:
    path = tmp_path / "kms.pid"
    other = [sys.executable, "-c", "import sys; print(1, flush=True); sys.stdin.read()"]
    for words, stale in ((other, True), ([*other, "/usr/bin/twistd"], False)):
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            path.write_text(str(process.pid))
            if stale:
                prepare_pid_file(twistd(path))
            else:
                with pytest.raises(StartupError, match=f"runs already, as process {process.pid} "):
                    prepare_pid_file(twistd(path))
            assert path.exists() is not stale
            process.communicate()
    prepare_pid_file(twistd(path))
    assert not path.exists()


@pytest.mark.parametrize("content", [b"", b"\n"])
def test_an_empty_one_is_stale(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "kms.pid"
    path.write_bytes(content)
    prepare_pid_file(twistd(path))
    assert not path.exists()


def test_a_file_that_is_not_a_pid_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "kms.toml"
    path.write_text("[server]\n")
    with pytest.raises(StartupError, match="holds no process id"):
        prepare_pid_file(twistd(path))
    assert path.read_text() == "[server]\n"


def test_a_pid_file_that_cannot_be_written_is_reported_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match=r"is a folder; name a file in it \(--pidfile\)"):
        prepare_pid_file(twistd(tmp_path))
    with pytest.raises(StartupError, match=r"there is no folder .*none for the pid file kms.pid; make it"):
        prepare_pid_file(twistd(tmp_path / "none/kms.pid"))
    with pytest.raises(StartupError, match=r"cannot be written: .*; name another --pidfile, or none"):
        prepare_pid_file(twistd("/proc/kms.pid"))


def test_in_the_foreground_there_is_no_pid_file_unless_one_is_named(tmp_path: Path) -> None:
    assert prepare_pid_file(twistd(tmp_path / "twistd.pid", nodaemon=1)) is None
    options = twistd(tmp_path / "kms.pid", nodaemon=1)
    assert prepare_pid_file(options) == tmp_path / "kms.pid"
    # twistd must not write its own.
    assert options["pidfile"] == ""


def test_a_link_is_not_followed_and_a_pipe_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("1")
    (tmp_path / "link").symlink_to(tmp_path / "other")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe"):
        with pytest.raises(StartupError, match="name another --pidfile"):
            prepare_pid_file(twistd(tmp_path / name))
    assert (tmp_path / "other").read_text() == "1"
