"""The init script in a temporary root: the real daemon, its own paths, and another user if the tests run as root."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.system.running import BIN, run

ETC = Path(__file__).parents[2] / "etc"


class InitScript:
    """`/etc/init.d/kmstwist` with a default file that points it into a temporary root."""

    def __init__(self, root: Path, start_stop_daemon: str = "auto") -> None:
        self.root = root
        self.port = free_port()
        self.user = "nobody" if os.geteuid() == 0 else ""
        self.script = root / "kmstwist"
        shutil.copy(ETC / "init.d/kmstwist", self.script)
        self.defaults = root / "default"
        self.set(USE_START_STOP_DAEMON=start_stop_daemon)
        self.log = root / "log/kmstwist.log"
        self.pidfile = root / "run/kmstwist.pid"

    def set(self, **settings: str) -> None:
        """Write the default file; other settings keep the temporary root's values."""
        values = {
            "TWISTD": str(BIN / "twistd"),
            "RUN_AS": self.user,
            "CONFIG": "",
            "KMS_OPTS": f"--port={self.port}",
            "STATE_DIR": str(self.root / "state"),
            "RUN_DIR": str(self.root / "run"),
            "LOG_DIR": str(self.root / "log"),
            "STOP_SECONDS": "120",
            **settings,
        }
        self.defaults.write_text("".join(f'{name}="{value}"\n' for name, value in values.items()))

    def __call__(self, action: str) -> subprocess.CompletedProcess[str]:
        """Run the script with one action."""
        return run(["/bin/sh", str(self.script), action], env=self.environment)

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which the script reads our default file."""
        return {"KMSTWIST_DEFAULTS": str(self.defaults)}

    def pid(self) -> int:
        """The daemon's process id."""
        return int(self.pidfile.read_text())


@pytest.fixture
def root() -> Iterator[Path]:
    """A folder that another user may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="kmstwist-etc-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(params=["yes", "no"], ids=["start-stop-daemon", "without-it"])
def init(request: pytest.FixtureRequest, root: Path) -> Iterator[InitScript]:
    """The script, with and without Debian's start-stop-daemon; what it started is stopped at the end."""
    if request.param == "yes" and shutil.which("start-stop-daemon", path="/usr/sbin:/sbin") is None:
        pytest.skip("start-stop-daemon is not installed")
    script = InitScript(root, request.param)
    yield script
    script("stop")


@pytest.fixture
def plain_init(root: Path) -> Iterator[InitScript]:
    """The script as it is by default, for tests that do not depend on how a daemon is started."""
    script = InitScript(root)
    yield script
    script("stop")
