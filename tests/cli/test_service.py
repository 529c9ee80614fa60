"""A service from the wheel: its files are written below a root, and removed again."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from kmstwist.cli.service.files import MARK, PACKAGED, service_files, unreachable
from kmstwist.configuration.reading import load
from tests.system.running import kmstwist, run

ROOT = Path(__file__).parents[2]
UNIT = "etc/systemd/system/kmstwist.service"
CONFIGURATION = "etc/kmstwist/kmstwist.toml"


def files_below(root: Path) -> set[str]:
    """All that is below the root, without what a table of users has beside it."""
    users = {"etc/passwd", "etc/group", "etc/shadow", "etc/gshadow", "etc/.pwd.lock"}
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()} - users


def test_everything_is_written_and_removed(tmp_path: Path) -> None:
    told = kmstwist("service", "install", "--root", str(tmp_path))
    assert told.returncode == 0, told.stderr
    assert files_below(tmp_path) == {
        UNIT,
        "etc/systemd/system/kmstwist@.service",
        "etc/systemd/system/kmstwist.socket",
        "etc/sysusers.d/kmstwist.conf",
        CONFIGURATION,
        "etc/default/kmstwist",
        "usr/local/share/man/man1/kmstwist.1",
        "usr/local/share/man/man8/kmstwist-twistd.8",
        "usr/local/share/bash-completion/completions/kmstwist",
        "usr/local/share/zsh/site-functions/_kmstwist",
        "usr/local/share/fish/vendor_completions.d/kmstwist.fish",
    }
    load(tmp_path / CONFIGURATION)
    assert stat.S_IMODE((tmp_path / CONFIGURATION).stat().st_mode) == 0o640
    unit = (tmp_path / UNIT).read_text()
    assert PACKAGED not in unit
    assert f"ExecStart={sys.prefix}/bin/twistd " in unit
    again = kmstwist("service", "install", "--root", str(tmp_path))
    assert not [line for line in again.stdout.splitlines() if line.startswith(("written", "renewed", "made"))]
    assert kmstwist("service", "remove", "--root", str(tmp_path)).returncode == 0
    assert files_below(tmp_path) == {CONFIGURATION, "etc/default/kmstwist"}
    assert kmstwist("service", "remove", "--purge", "--root", str(tmp_path)).returncode == 0
    assert files_below(tmp_path) == set()
    assert not (tmp_path / "etc/kmstwist").exists()


@pytest.mark.needs("systemd-sysusers")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes users")
def test_the_user_is_made_and_may_read_the_configuration(tmp_path: Path) -> None:
    assert kmstwist("service", "install", "--root", str(tmp_path)).returncode == 0
    (entry,) = (tmp_path / "etc/passwd").read_text().splitlines()
    name, _, _, group, _, home, shell = entry.split(":")
    assert (name, home, shell) == ("kmstwist", "/var/lib/kmstwist", "/usr/sbin/nologin")
    assert (tmp_path / CONFIGURATION).stat().st_gid == int(group)


@pytest.mark.needs("systemd-analyze")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    kmstwist("service", "install", "--root", str(tmp_path))
    units = [str(path) for path in (tmp_path / "etc/systemd/system").iterdir() if "@" not in path.name]
    told = run(["systemd-analyze", "verify", "--man=no", *units])
    assert [line for line in told.stderr.splitlines() if "kmstwist" in line] == []


@pytest.mark.needs("mandoc")
def test_the_mark_is_a_comment_of_each_language(tmp_path: Path) -> None:
    kmstwist("service", "install", "--root", str(tmp_path))
    share = tmp_path / "usr/local/share"
    shown = run(["mandoc", "-Tascii", str(share / "man/man1/kmstwist.1")])
    assert "service install`; " not in shown.stdout
    assert run(["bash", "-n", str(share / "bash-completion/completions/kmstwist")]).returncode == 0
    assert (share / "zsh/site-functions/_kmstwist").read_text().startswith("#compdef kmstwist\n")


def test_the_administrator_s_files_are_neither_overwritten_nor_removed(tmp_path: Path) -> None:
    (tmp_path / UNIT).parent.mkdir(parents=True)
    (tmp_path / UNIT).write_text("mine")
    told = kmstwist("service", "install", "--root", str(tmp_path))
    assert (told.returncode, "nothing was changed" in told.stderr) == (1, True)
    assert files_below(tmp_path) == {UNIT}
    kmstwist("service", "remove", "--root", str(tmp_path))
    assert (tmp_path / UNIT).read_text() == "mine"


def test_a_changed_configuration_stays(tmp_path: Path) -> None:
    kmstwist("service", "install", "--root", str(tmp_path))
    (tmp_path / CONFIGURATION).write_text("# mine\n")
    kmstwist("service", "install", "--root", str(tmp_path))
    assert (tmp_path / CONFIGURATION).read_text() == "# mine\n"


def test_an_older_version_of_ours_is_renewed(tmp_path: Path) -> None:
    kmstwist("service", "install", "--root", str(tmp_path))
    (tmp_path / UNIT).write_text(f"# {MARK}\nold\n")
    told = kmstwist("service", "install", "--root", str(tmp_path))
    assert f"renewed  {tmp_path / UNIT}" in told.stdout.splitlines()
    assert "ExecStart=" in (tmp_path / UNIT).read_text()


def test_a_root_that_does_not_exist_is_reported(tmp_path: Path) -> None:
    told = kmstwist("service", "install", "--root", str(tmp_path / "none"))
    assert (told.returncode, "is not a folder" in told.stderr) == (1, True)


def test_a_program_that_the_service_could_not_reach_is_found(tmp_path: Path) -> None:
    assert "below /root" in unreachable(Path("/root/.local/share/pipx/venvs/kmstwist"))
    closed = tmp_path / "closed"
    (closed / "venv").mkdir(parents=True)
    closed.chmod(0o700)
    assert f"{closed} is closed to them" in unreachable(closed / "venv")


def test_the_wheel_brings_the_files(tmp_path: Path) -> None:
    built = run([sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path), str(ROOT)])
    assert built.returncode == 0, built.stderr
    wheel = next(tmp_path.glob("kmstwist-*.whl"))
    fresh = tmp_path / "fresh"
    # What the wheel needs is here already; only its files are looked at.
    assert run([sys.executable, "-m", "venv", "--without-pip", str(fresh)]).returncode == 0
    pip = [sys.executable, "-m", "pip", "--python", str(fresh / "bin/python")]
    done = run([*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel)])
    assert done.returncode == 0, done.stderr
    from_source = {file.place: file.text for file in service_files(fresh)}
    code = (
        "import sys; from pathlib import Path; from kmstwist.cli.service.files import service_files\n"
        "for file in service_files(Path(sys.prefix)): print(file.place)"
    )
    told = subprocess.run([str(fresh / "bin/python"), "-c", code], capture_output=True, text=True, check=False)
    assert set(told.stdout.split()) == set(from_source), told.stderr
    assert f"ExecStart={fresh}/bin/twistd" in from_source[UNIT]
    # pipx shows what is below share/man.
    assert (fresh / "share/man/man1/kmstwist.1").read_text() == (ROOT / "man/kmstwist.1").read_text()
