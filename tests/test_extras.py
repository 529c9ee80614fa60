"""The command that installs an optional package can be typed as printed, however kmstwist was installed."""

from __future__ import annotations

import shlex
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from kmstwist.system.extras import DEBIAN, Installed, install_command, requirements

ROOT = Path(__file__).parents[1]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
FOR_USERS = [name for name in EXTRAS if name not in ("dev", "fuzz", "site")]


@pytest.fixture
def venv(tmp_path: Path) -> Installed:
    return Installed("/opt/k/bin/python3", tmp_path, virtual=True, pip=True, managed=False)


@pytest.mark.parametrize("extra", FOR_USERS)
def test_every_extra_is_known_by_its_packages(extra: str) -> None:
    names = [each.partition(">=")[0] for each in EXTRAS[extra]]
    assert [each.partition("<")[0] for each in requirements(extra)] == names


@pytest.mark.parametrize("extra", FOR_USERS)
def test_no_command_asks_an_index_for_our_own_name(extra: str, venv: Installed, tmp_path: Path) -> None:
    (tmp_path / "kmstwist").mkdir()
    (tmp_path / "kmstwist" / "pipx_metadata.json").touch()
    system = replace(venv, virtual=False, managed=True)
    ways = [venv, replace(venv, pip=False), system, replace(venv, prefix=tmp_path / "kmstwist")]
    for way in ways:
        command = install_command(extra, way)
        assert "kmstwist[" not in command
        # It can be typed: every word is a single one.
        assert shlex.split(command)


def test_each_way_of_installing_has_its_own_command(venv: Installed, tmp_path: Path) -> None:
    assert install_command("notify", venv) == "/opt/k/bin/python3 -m pip install 'apprise<2,>=1.9'"
    without = "apt-get install -y python3-pip && python3 -m pip --python /opt/k/bin/python3 install 'apprise<2,>=1.9'"
    assert install_command("notify", replace(venv, pip=False)) == without
    system = replace(venv, virtual=False, managed=True)
    assert install_command("notify", system) == f"apt-get install -y {DEBIAN['notify']}"
    evtx = "/opt/k/bin/python3 -m pip install --break-system-packages 'evtx<1,>=0.8'"
    assert install_command("events", system) == evtx
    (tmp_path / "uv-receipt.toml").touch()
    assert install_command("notify", venv) == "uv pip install --python /opt/k/bin/python3 'apprise<2,>=1.9'"
    (tmp_path / "pipx_metadata.json").touch()
    assert install_command("notify", venv) == f"pipx inject {tmp_path.name} 'apprise<2,>=1.9'"


def test_the_command_for_this_environment_is_one_that_works() -> None:
    words = shlex.split(install_command("notify"))
    assert words[0] == sys.executable
    done = subprocess.run([*words, "--dry-run", "--quiet", "--no-index"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_no_page_and_no_program_names_an_extra_of_an_index() -> None:
    folders = [*(ROOT / "kmstwist").rglob("*.py"), *(ROOT / "docs").rglob("*.md"), ROOT / "README.md"]
    named = [str(path) for path in folders if "pip install 'kmstwist[" in path.read_text()]
    # This page says why not.
    assert named == [str(ROOT / "kmstwist" / "system" / "extras.py")]
