"""The revision of a store's tables, and why this version of kmstwist cannot work with any but its own."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from kmstwist.audit.plain.start_check import HEAD

MIGRATIONS: Final = Path(__file__).parent.parent / "migrations"


def revision_in(store: sqlite3.Connection) -> str | None:
    """The revision of an SQLite store's tables; None for a store without tables. Raises `sqlite3.Error`."""
    if not store.execute("PRAGMA table_info(alembic_version)").fetchall():
        return None
    row = store.execute("SELECT version_num FROM alembic_version").fetchone()
    return None if row is None else row[0]


def fault_of(revision: str | None, *, embedded: bool) -> str | None:
    """Why tables of this revision cannot be worked with, and the cure; None if they can. `embedded` for SQLite."""
    if revision == HEAD:
        return None
    if revision is None and not embedded:
        return (
            "it has none of the audit's tables that this role may see; grant it USAGE and SELECT, or name another store"
        )
    if revision is None:
        return "it has none of the audit's tables; name the store that the server's configuration has"
    if is_known(revision):
        return (
            f"its tables are at revision {revision} and this kmstwist works with {HEAD}; start the server on it once, "
            "which brings it up to date"
        )
    return (
        f"its tables are at revision {revision}, of a later kmstwist than this one, which works with {HEAD}; install "
        "that version"
    )


def is_known(revision: str) -> bool:
    """Whether a revision is this version's or an earlier one's."""
    from alembic.script import ScriptDirectory

    return revision in {script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions()}
