"""A PostgreSQL cluster for a test: made in a temporary folder, with a socket there, and removed afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

# Debian keeps the server's programs off PATH, one folder for each version.
_FOLDERS = [*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True), Path("/usr/local/pgsql/bin")]


def programs() -> Path | None:
    """The folder with initdb and pg_ctl; None where PostgreSQL is not installed."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).parent
    return next((folder for folder in _FOLDERS if (folder / "initdb").exists()), None)


class Cluster:
    """A cluster that can be stopped and started again; `url` reaches its database."""

    def __init__(self, folder: Path) -> None:
        found = programs()
        assert found is not None
        self._programs = found
        self._data = folder / "data"
        self._folder = folder
        self.url = f"postgresql://kmstwist@/postgres?host={folder}"
        if os.getuid() == 0:
            # PostgreSQL refuses to run as root.
            owner = pwd.getpwnam("postgres")
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        self._run("initdb", "-D", str(self._data), "-U", "kmstwist", "-A", "trust", "--no-sync", "-E", "UTF8")

    def start(self) -> None:
        options = f"-c listen_addresses='' -c unix_socket_directories={self._folder} -c fsync=off"
        self._run("pg_ctl", "-D", str(self._data), "-w", "-l", str(self._folder / "log"), "-o", options, "start")

    def stop(self, mode: str = "immediate") -> None:
        """Stop at once, as a crash would (immediate), or with the connections closed in order (fast)."""
        self._run("pg_ctl", "-D", str(self._data), "-w", "-m", mode, "stop")

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        if os.getuid() == 0:
            command = ["runuser", "-u", "postgres", "--", *command]
        with (self._folder / "commands").open("a") as output:
            subprocess.run(command, check=True, cwd=self._folder, stdout=output, stderr=output)


def make_folder() -> Path:
    """A short path: a Unix socket's may have 107 bytes."""
    return Path(tempfile.mkdtemp(prefix="kmstwist-pg-", dir="/tmp"))
