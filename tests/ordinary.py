"""Running the `kmstwist` command as an ordinary user when root runs the tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

NOBODY = 65534
_ROOT = Path(__file__).parents[1]
_CALL = "import sys; from kmstwist.cli.main import main; sys.argv[0] = 'kmstwist'; main()"

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")


def _run(python: str, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    packages = [str(_ROOT), *(path for path in sys.path if path.endswith("site-packages"))]
    return subprocess.run(
        [python, "-c", _CALL, *arguments],
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "PYTHONPATH": os.pathsep.join(packages), **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        cwd="/",
    )


def _pythons() -> list[str]:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return [sys.executable, f"/usr/bin/{version}", f"/usr/local/bin/{version}"]


@cache
def _python() -> str | None:
    """A Python of this version with which another user can run the program."""
    for python in _pythons():
        with suppress(OSError):
            if _run(python, "--version").returncode == 0:
                return python
    return None


def as_nobody(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run `kmstwist` as a user without special rights; skips if that user cannot run a Python of this version."""
    if (python := _python()) is None:
        pytest.skip("an ordinary user cannot run this Python")
    return _run(python, *arguments, **env)


@pytest.fixture
def passable() -> Iterator[Path]:
    """A folder that everybody may enter but not list.

    It is not below pytest's own: each pytest that starts on this machine closes that folder to others again.
    """
    with TemporaryDirectory(prefix="kmstwist-", dir="/tmp") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)
