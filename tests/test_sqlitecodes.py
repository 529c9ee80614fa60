"""Each of SQLite's errors is named correctly, with its cure."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

from kmstwist.lab.machines.store import MachineStore
from kmstwist.system.sqlitecodes import Trouble, trouble_of


def failure(path: Path, *statements: str, **options: object) -> Trouble:
    """The explanation of the first of these statements that fails."""
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": 0, **options})
    try:
        with engine.connect() as connection:
            for statement in statements:
                connection.execute(text(statement))
            connection.commit()
    except DBAPIError as error:
        return trouble_of(error)
    finally:
        engine.dispose()
    raise AssertionError("nothing failed")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "a.sqlite"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE t (x)")
        connection.executemany("INSERT INTO t VALUES (?)", [("x" * 500,) for _ in range(100)])
    return file


def test_each_error_is_of_its_kind(path: Path) -> None:
    with sqlite3.connect(path) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert failure(path, "INSERT INTO t VALUES (1)") is Trouble.BUSY
    assert failure(path, "PRAGMA max_page_count=1", "INSERT INTO t SELECT x FROM t") is Trouble.FULL
    assert failure(path, "PRAGMA query_only=1", "INSERT INTO t VALUES (1)") is Trouble.READONLY
    assert failure(path.with_name("none") / "a.sqlite", "SELECT 1") is Trouble.CANNOT_OPEN
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 20000)
    assert failure(path, "SELECT * FROM t") is Trouble.DAMAGED
    path.write_bytes(b"no database at all" * 100)
    assert failure(path, "SELECT * FROM t") is Trouble.NO_STORE
    assert trouble_of(OSError(28, "No space left on device")) is Trouble.FULL
    assert trouble_of(ValueError("disk is full")) is Trouble.OTHER


def test_a_full_disk_damages_no_lab_machines(tmp_path: Path) -> None:
    """A limit on file sizes stands for a full disk; SQLite reports the same error for both."""
    MachineStore(tmp_path / "machines.sqlite").close()
    script = (
        "import resource, signal, sys; from kmstwist.cli.main import main;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)); sys.argv[0] = 'kmstwist'; main()"
    )
    words = ["lab", "machine", "new", "PC1", "--product", "win10 pro", "--state-dir", str(tmp_path)]
    result = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "damaged; move" not in result.stderr
    assert "room on it" in result.stderr
    assert "Traceback" not in result.stderr
