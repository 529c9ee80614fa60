"""Checking or making the store at a server's start, with Python's own SQLite module.

Nearly every start finds a store that is new or up to date, and can begin with it as it is. All other stores, and all
errors, are left to `migrate`, for which SQLAlchemy is loaded.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from kmstwist.audit.aside.pragmas import ANY, KEPT_SMALL, LOGGED, WRITING
from kmstwist.audit.plain.faults import StoreError
from kmstwist.system.sqlitefiles import MAGIC, MAKES_IN_MEMORY, beside, new_file
from kmstwist.system.wholefile import write_whole

#: The revision this version of kmstwist works with, the last one in `migrations`. It is written here so that a start
#: with a store that is new or up to date, which is nearly every start, need not load Alembic (a fifth of a second).
HEAD: Final = "0005"
#: All columns of all tables in SQLite, in one question.
ALL_COLUMNS: Final = (
    "SELECT t.name, c.name FROM sqlite_master t, pragma_table_info(t.name) c WHERE t.type = 'table'"
    " AND t.name NOT LIKE 'sqlite_%'"
)
#: Seconds to wait here for another process's lock. `migrate` can wait longer.
_PATIENCE: Final = 0.1


def is_ready(path: Path, *, make: bool) -> bool:
    """Whether a server can begin with the store as it is: it is up to date, and may be written now.

    With `make`, a store without tables gets them; otherwise it is left as it is. False means only that `migrate` must
    be asked.
    """
    try:
        with locked(path) as was_missing:
            if make and was_missing and MAKES_IN_MEMORY and not any(map(os.path.lexists, beside(path))):
                write_whole(path, new_file((KEPT_SMALL, *new_tables(), own_number())))
                return True
            return _is_ready(path, make=make)
    except (sqlite3.Error, OSError, StoreError):
        # `migrate` will fail in the same way, and say what is wrong and what to do about it.
        return False


def _is_ready(path: Path, *, make: bool) -> bool:
    with closing(sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None)) as store:
        # Of a store that has tables, the first of these would be a change of its own, with all waits for the disk.
        making = (KEPT_SMALL, LOGGED) if make and not by_table(store.execute(ALL_COLUMNS)) else ()
        for pragma in (*making, *WRITING, *ANY):
            store.execute(pragma)
        # Finds another process's lock now, and not with the first call.
        store.execute("BEGIN IMMEDIATE")
        found = by_table(store.execute(ALL_COLUMNS))
        if found or not make:
            ready = not found or _is_up_to_date(store, found)
            store.execute("ROLLBACK")
            return ready
        for statement in new_tables():
            store.execute(statement)
        store.execute(own_number())
        store.execute("COMMIT")
        return True


def new_tables() -> list[str]:
    """The statements that make the tables of a new store."""
    script = Path(__file__).with_name("new.sql").read_text()
    return [statement for statement in script.split(";\n") if statement]


def own_number() -> str:
    """The statement that gives a new store's file a number of its own, by which `storefile` recognises it."""
    return f"PRAGMA user_version = {secrets.randbelow(2**31 - 1) + 1}"


def by_table(columns: Iterable[tuple[str, str]]) -> dict[str, set[str]]:
    """The rows of `ALL_COLUMNS` as tables, each with the names of its columns."""
    found: dict[str, set[str]] = {}
    for table, column in columns:
        found.setdefault(table, set()).add(column)
    return found


def _is_up_to_date(store: sqlite3.Connection, found: dict[str, set[str]]) -> bool:
    if "alembic_version" not in found:
        return False
    if store.execute("SELECT version_num FROM alembic_version").fetchall() != [(HEAD,)]:
        return False
    with closing(sqlite3.connect(":memory:")) as new:
        for statement in new_tables():
            new.execute(statement)
        wanted = by_table(new.execute(ALL_COLUMNS))
    return all(columns <= found.get(table, set()) for table, columns in wanted.items())


@contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Make the store's file if it is missing, and keep other processes from making or changing its tables meanwhile.

    Gives whether it was missing. A missing folder is made, too, for its owner alone. One that exists keeps its mode,
    which is the administrator's choice. Raises OSError, and StoreError for a file that is something else.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock_path = lock_of(path)
    if not lock_path.exists() and _is_something_else(path):
        raise StoreError(f"the audit store {path} is not a database", "name another file, or move this one away")
    lock = os.open(lock_path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Made here and not by SQLite, whose file would be readable with the umask's mode.
        was_missing = not os.path.lexists(path)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        yield was_missing
    finally:
        os.close(lock)


def lock_of(path: Path) -> Path:
    """The file beside a store by which processes lock it against each other."""
    return path.with_name(path.name + ".lock")


def _is_something_else(path: Path) -> bool:
    """Whether a file exists, is not empty and is not SQLite's."""
    if path.exists() and not path.is_file() and not path.is_dir():
        # A pipe would have us wait for who writes into it.
        return True
    try:
        with path.open("rb") as file:
            start = file.read(len(MAGIC))
    except FileNotFoundError:
        return False
    return bool(start) and start != MAGIC
