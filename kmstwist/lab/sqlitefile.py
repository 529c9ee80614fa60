"""A SQLite file of the lab's in the state folder: how it is opened, made and closed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

from sqlalchemy import Connection, Engine, MetaData, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from kmstwist.lab.errors import LabFileError
from kmstwist.lab.filemodes import keep_to_owner
from kmstwist.system.sqlitefiles import index_of, log_of

_LOCK_TIMEOUT_SECONDS = 5


class SqliteFile(ABC):
    """An open file with its tables, made with its folder if there is none; `LabFileError` if it is of no use.

    A kind of file says what it holds, in its error sentences (`_holds`, with its verb), and has its own cures.
    """

    _holds: tuple[str, str]
    _metadata: MetaData
    _schema_version: int

    def __init__(self, path: Path) -> None:
        self._path = path
        self._engine = _wal_engine(path)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            for each in (path, log_of(path), index_of(path)):
                # Those of an earlier version were readable with the umask's mode.
                keep_to_owner(each, make=each == path)
            with self._engine.begin() as connection:
                self._prepare(connection)
        except OSError as error:
            raise LabFileError(
                f"the lab's folder {path.parent} cannot be made ({error.strerror})", "name another with --state-dir"
            ) from None
        except DBAPIError as error:
            self.close()
            raise self._explained(error) from error
        except LabFileError:
            self.close()
            raise

    def close(self) -> None:
        """Close the file; the store is of no use afterwards."""
        self._engine.dispose()

    def _prepare(self, connection: Connection) -> None:
        version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
        if version > self._schema_version:
            what, verb = self._holds
            raise LabFileError(
                f"the lab's {what} {self._path} {verb} written by a newer kmstwist (schema {version}, this one knows "
                f"{self._schema_version})",
                "update kmstwist, or move the file away",
            )
        if 0 < version < self._schema_version:
            self._upgrade(connection, version)
        self._metadata.create_all(connection)
        connection.exec_driver_sql(f"PRAGMA user_version = {self._schema_version}")

    def _upgrade(self, connection: Connection, version: int) -> None:  # noqa: B027 (a kind of file may need none)
        """Bring the tables of an earlier `version` up to this one; those that are missing are made in any case."""

    @abstractmethod
    def _explained(self, error: DBAPIError) -> LabFileError:
        """The error in a sentence, with the cure for this kind of file."""


def _wal_engine(path: Path) -> Engine:
    """An engine for a SQLite file, with a write-ahead log."""
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": _LOCK_TIMEOUT_SECONDS})

    @event.listens_for(engine, "connect")
    def use_write_ahead_log(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        # Readers (a backup, sqlite3 at a prompt) then never hold up the lab, and a crash loses no saved change.
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = NORMAL")
        cursor.close()

    return engine
