"""Freeing the space of an SQLite store's file, by Python's own SQLite module."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

#: Pages that one step hands back.
FREED_PAGES = 500


def hand_back(connection: sqlite3.Connection) -> Iterator[int]:
    """Give the freed pages back to the file system, some in each step; yields 0s, for no rows go.

    Raises `sqlite3.Error`.
    """
    ((free,),) = connection.execute("PRAGMA freelist_count").fetchall()
    while free:
        # As a script, which goes on to its end: `execute` would stop after the first page.
        connection.executescript(f"PRAGMA incremental_vacuum({FREED_PAGES})")
        ((left,),) = connection.execute("PRAGMA freelist_count").fetchall()
        yield 0
        if left >= free:
            return
        free = left


def rewrite(connection: sqlite3.Connection) -> bool:
    """Rewrite the whole store in the smallest form. Returns whether nothing of the old one is left in its files.

    Something is left if somebody was reading the old store all the time. Writers wait meanwhile; blocks. Raises
    `sqlite3.Error`.
    """
    # The new store is first written to a temporary one, which must not fill the memory.
    connection.execute("PRAGMA temp_store=FILE")
    connection.execute("VACUUM")
    # Until it is emptied, the log holds the new store, and the file the old one.
    ((busy, _, _),) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.execute("PRAGMA temp_store=MEMORY")
    return not busy
