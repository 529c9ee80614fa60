"""Backing up a live SQLite store."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

from kmstwist.audit.plain.faults import StoreError
from kmstwist.system.rights import rights_for_named

# How many pages are copied between two calls of `progress`.
PAGES = 10_000


def backup(source_path: Path, target: Path, progress: Callable[[int, int], None] | None = None) -> None:
    """Copy the live SQLite store at `source_path` to the file `target`, consistent as of one moment.

    The server goes on meanwhile. `progress` is called with the pages still to copy and their total. Raises StoreError,
    leaving no file behind, if `target` exists or cannot be written.
    """

    def told(_status: int, remaining: int, total: int) -> None:
        if progress is not None:
            progress(remaining, total)

    try:
        # Made here and not by SQLite, whose file would be readable with the umask's mode.
        with rights_for_named(target):
            os.close(os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
    except FileExistsError:
        raise StoreError(f"{target} exists already", "give the backup a name of its own") from None
    except OSError as error:
        raise StoreError(
            f"the backup {target} cannot be made: {error.strerror or error}", "name another place"
        ) from error
    try:
        with ExitStack() as stack:
            source = stack.enter_context(closing(sqlite3.connect(source_path)))
            with rights_for_named(target):
                copy = stack.enter_context(closing(sqlite3.connect(target)))
            # Half a copy is removed in any case; and nothing is opened beside it later, with other rights.
            copy.execute("PRAGMA journal_mode=OFF")
            source.isolation_level = None
            source.execute("BEGIN")
            # The transaction sees one moment from its first look on. Without one, each commit of a busy server would
            # start the copy over.
            source.execute("SELECT count(*) FROM sqlite_master").fetchone()
            source.backup(copy, pages=PAGES, progress=told, sleep=0)
            source.execute("ROLLBACK")
            with rights_for_named(target):
                copy.execute("PRAGMA journal_mode=DELETE")
    except BaseException as error:
        # A partial backup is removed, whether the copy failed or was interrupted.
        with rights_for_named(target):
            target.unlink(missing_ok=True)
        if isinstance(error, sqlite3.Error):
            raise StoreError(f"the backup {target} cannot be written: {error}") from error
        raise
