"""What a process leaves beside an SQLite file when it is killed in the middle of a change."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path


def leave_journal(path: Path) -> Path:
    """Leave the journal of a change that never ended beside a file that is gone."""
    other = path.with_name("other")
    journal = path.with_name(f"{path.name}-journal")
    with closing(sqlite3.connect(other, isolation_level=None)) as file:
        file.execute("CREATE TABLE others AS SELECT zeroblob(100000) AS content")
        # With room for one page in memory, the rest is written before the change ends.
        file.execute("PRAGMA cache_size = 1")
        file.execute("BEGIN")
        file.execute("UPDATE others SET content = zeroblob(90000)")
        file.execute("INSERT INTO others SELECT zeroblob(900000)")
        journal.write_bytes(other.with_name("other-journal").read_bytes())
    other.unlink()
    return journal
