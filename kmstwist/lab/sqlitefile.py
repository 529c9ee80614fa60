"""A SQLite file of the lab's in the state folder: how it is opened, made, written and closed.

By SQLite's own module: the tables are few and small, and a lab, or a command that looks at a machine, is there in half
the time without SQLAlchemy.
"""

from __future__ import annotations

import os
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock

from kmstwist.lab.errors import LabFileError
from kmstwist.lab.filemodes import keep_to_owner
from kmstwist.system.sqlitefiles import MAKES_IN_MEMORY, beside, index_of, log_of, new_file
from kmstwist.system.wholefile import write_whole

_LOCK_TIMEOUT_SECONDS = 5


class SqliteFile(ABC):
    """An open file with its tables, made with its folder if there is none; `LabFileError` if it is of no use.

    A kind of file says what it holds, in its error sentences (`_holds`, with its verb), the statements that make its
    tables where they are missing, and has its own cures. Threads may share it: each transaction has it for itself.
    """

    _holds: tuple[str, str]
    _tables: tuple[str, ...]
    _schema_version: int

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._in_use = Lock()
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._make_if_missing()
            for each in (path, log_of(path), index_of(path)):
                # Those of an earlier version were readable with the umask's mode.
                keep_to_owner(each, make=each == path)
            self._prepare()
        except OSError as error:
            raise LabFileError(
                f"the lab's folder {path.parent} cannot be made ({error.strerror})", "name another with --state-dir"
            ) from None
        except LabFileError:
            self.close()
            raise

    def close(self) -> None:
        """Close the file; using it again opens it again."""
        with self._in_use:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()

    def _make_if_missing(self) -> None:
        """Make the whole file at once; where that cannot be, `_prepare` makes its tables one by one."""
        if MAKES_IN_MEMORY and not any(map(os.path.lexists, (self._path, *beside(self._path)))):
            content = new_file((*self._tables, f"PRAGMA user_version = {self._schema_version}"))
            # Another process may have been faster. Where it fails, SQLite fails, too, and that is explained.
            with suppress(OSError):
                write_whole(self._path, content, new=True)

    def _prepare(self) -> None:
        with self._reading() as connection:
            version = _version(connection)
        if version > self._schema_version:
            what, verb = self._holds
            raise LabFileError(
                f"the lab's {what} {self._path} {verb} written by a newer kmstwist (schema {version}, this one knows "
                f"{self._schema_version})",
                "update kmstwist, or move the file away",
            )
        if version < self._schema_version:
            with self._writing() as connection:
                # Another process may have been faster.
                version = _version(connection)
                if 0 < version < self._schema_version:
                    self._upgrade(connection, version)
                for statement in self._tables:
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {self._schema_version}")

    def _upgrade(self, connection: sqlite3.Connection, version: int) -> None:  # noqa: B027 (a kind of file may need none)
        """Bring the tables of an earlier `version` up to this one; those that are missing are made in any case."""

    @abstractmethod
    def _explained(self, error: sqlite3.Error | ValueError) -> LabFileError:
        """The error in a sentence, with the cure for this kind of file."""

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """A connection that sees one state of the file; raises `LabFileError` for what SQLite or its values say."""
        with self._transaction("BEGIN") as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A connection whose changes are made at the end, all of them or, where an exception comes, none."""
        with self._transaction("BEGIN IMMEDIATE") as connection:
            yield connection

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        with self._in_use:
            try:
                connection = self._connected()
                connection.execute(begin)
                try:
                    yield connection
                    connection.execute("COMMIT")
                finally:
                    connection.rollback()
            except (sqlite3.Error, ValueError) as error:
                raise self._explained(error) from error

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            # The lab's service writes in one thread or another.
            connection = sqlite3.connect(
                self._path, timeout=_LOCK_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._connection = connection
            connection.row_factory = sqlite3.Row
            # Readers (a backup, sqlite3 at a prompt) then never hold up the lab, and a crash loses no saved change.
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
        return self._connection


def insert(connection: sqlite3.Connection, table: str, rows: Sequence[Mapping[str, object]]) -> None:
    """Insert rows, which all have values for the same columns."""
    if rows:
        columns, values = ", ".join(f'"{name}"' for name in rows[0]), ", ".join(f":{name}" for name in rows[0])
        text = f"INSERT INTO {table} ({columns}) VALUES ({values})"  # noqa: S608 - names of the program's own
        connection.executemany(text, rows)


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version
