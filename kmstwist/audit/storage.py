"""The server's own store over its life: opened as soon as possible, watched, and opened again if it is lost.

SQLite goes on with a file that somebody moved, replaced, truncated or overwrote: commits succeed, but the records are
gone. So the file is checked (`storefile`) before each batch, after it and before its calls are answered, and once a
second. A lost store is closed, and opened again as soon as that works: if the file was moved away, a new one is made;
if a sound one has replaced it, that one is used; a damaged one stays until somebody moves it away or replaces it.

Everything here blocks. One thread uses it, except for `engine`, which every thread may read.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from sqlalchemy import Engine, event
from sqlalchemy.exc import DBAPIError
from twisted.logger import Logger

from kmstwist.audit.aside.committer import Committer
from kmstwist.audit.asking.transactions import outside
from kmstwist.audit.engine import is_sqlite, open_engine, sqlite_path
from kmstwist.audit.inserting import commit_batch
from kmstwist.audit.migrate import migrate
from kmstwist.audit.plain.faults import StoreError, StoreUnavailable, may_pass, plain_error
from kmstwist.audit.records import Record
from kmstwist.audit.store import insert_batch
from kmstwist.audit.storefile import StoreFile
from kmstwist.audit.upkeep.integrity import Inside, faults_of
from kmstwist.logevents import AUDIT_STORE_LOST, AUDIT_STORE_OPENED
from kmstwist.system.sqlitecodes import trouble_of

#: How many checks other processes with the same store have to notice that its log is gone, before it is opened again.
OTHERS_NOTICE = 2


class Storage:
    """The store that the server writes. `opened` is called with the engine each time it was opened, in that thread."""

    log = Logger()

    def __init__(self, store: str, busy_timeout: float, opened: Callable[[Engine], None]) -> None:
        self._store = store
        self._busy_timeout = busy_timeout
        self._opened = opened
        self._file: StoreFile | None = None
        self._inside: Inside | None = None
        #: Whether to examine the store's pages also where nothing is suspected: one of several workers is enough.
        self.at_leisure = True
        self._lost = False
        #: Seconds that others who have the store open are given to notice what this one noticed.
        self._pause = 0
        #: The file that was damaged where it is: it is examined before it is opened again.
        self._distrusted: tuple[int, int] | None = None
        #: The damaged file that was examined last, when it had changed last, and what was found.
        self._damaged: tuple[tuple[int, int, int], str] | None = None
        self._committer: Committer | None = None
        self.engine: Engine | None = None

    def open(self) -> Engine:
        """Open the store, bring its tables up to date, and have it. Raises StoreError, StoreUnavailable."""
        engine = open_engine(self._store, busy_timeout=self._busy_timeout, serving=True)
        if not is_sqlite(engine):
            raise StoreError("the audit's store must be an SQLite file", "name PostgreSQL as the store to forward to")
        if self._lost:
            self._raise_if_not_yet(sqlite_path(engine))
        try:
            migrate(engine)
            file = StoreFile(sqlite_path(engine))
            try:
                self._opened(engine)
            except DBAPIError as error:
                file.close()
                kind = StoreUnavailable if may_pass(error) else StoreError
                raise kind(
                    f"the audit store {self._store} cannot be used: {plain_error(error)}", trouble_of(error)
                ) from error
        except BaseException:
            engine.dispose()
            raise
        self._file, self.engine = file, engine
        self._inside = Inside(sqlite_path(engine), at_leisure=self.at_leisure)
        if self._lost:
            self._lost = False
            AUDIT_STORE_OPENED.emit(self.log, store=self._store)
        return engine

    def insert(self, batch: Sequence[Record], *, again: bool = False) -> int:
        """Commit a batch, as `store.insert_batch` does, to a store that is still there afterwards.

        Raises as that does; StoreLost for a store that is not, StoreError for one that cannot be opened.
        """
        self.look()
        engine = self.engine or self.open()
        number = insert_batch(engine, batch, again=True) if again else commit_batch(engine, batch)
        # As `look` does, which would be one more step of each batch.
        if self._file is not None and (fault := self._file.fault()):
            self._lose(fault)
        return number

    def look(self) -> None:
        """Raise StoreLost if the store is no longer the file that was opened; it is let go then."""
        if self._file is not None and (fault := self._file.fault()):
            self._lose(fault)

    def _look_inside(self) -> None:
        """Raise StoreLost if somebody else wrote into the store, and it is damaged; it is let go then."""
        if self._inside is None or self.engine is None:
            return
        if fault := self._inside.look():
            self._lose(fault, damaged=self._inside.damaged)
        if self._inside.take_doubt():
            # A log whose order is broken is lost at the next start, from there on, however sound its pages.
            self._empty_log(self.engine)

    def lose(self) -> NoReturn:
        """Let go of a store that the process aside found lost. Raises StoreLost."""
        assert self._file is not None
        self._lose(self._file.fault() or "was truncated or overwritten")

    def start_committer(self) -> Committer | None:
        """Start the process that commits batches to this store, where there is one. Raises OSError."""
        if self._file is None or self.engine is None:
            return None
        self._committer = Committer(sqlite_path(self.engine), self._file.identity, self._busy_timeout)
        return self._committer

    def end_committer(self) -> int | None:
        """Have no such process, and no connection of one to the store; its exit status, where there was one."""
        committer, self._committer = self._committer, None
        return None if committer is None else committer.end()

    def keep(self) -> bool:
        """Check the store, and open it if none is open. Returns whether it did. Raises StoreError if it cannot be
        opened.

        Call it once a second.
        """
        self._pause = max(0, self._pause - 1)
        # What was lost may be opened anew at once.
        with suppress(StoreLost):
            self.look()
            self._look_inside()
        if self.engine is not None:
            return False
        self.open()
        return True

    def close(self) -> None:
        """Let go of the store."""
        # First: the last that has it open puts the log into the file, and that is to be this process.
        self.end_committer()
        engine, self.engine = self.engine, None
        if engine is not None:
            engine.dispose()
        if self._file is not None:
            # Only now: closing a file takes SQLite's locks on it away.
            self._file.close()
            self._file = None
        if self._inside is not None:
            self._inside.close()
            self._inside = None

    def _lose(self, fault: str, *, damaged: bool = False) -> NoReturn:
        """Let go of the store. A `damaged` one is still the one that its log belongs to."""
        assert self.engine is not None
        assert self._file is not None
        engine = self.engine
        self.end_committer()
        if self._file.without_log and not self._file.elsewhere and not self._empty_log(engine):
            # What was committed last is only in the log that is open here.
            raise StoreUnavailable(f"the audit store {self._store} {fault}; it is saved when nobody reads the store")
        whole = self._file.elsewhere or self._file.without_log
        self._distrusted = None if whole else self._file.identity
        # Threads that still have the engine must not use it to open what is now at the old path.
        event.listen(engine, "do_connect", _refuse)
        if self._file.elsewhere:
            # What was committed last is in the log beside the old place. It belongs to the file that was moved.
            self._empty_log(engine)
            self._file.leave_place()
        elif self._file.without_log:
            self._file.put_strangers_away()
            self._pause = OTHERS_NOTICE
        elif not damaged:
            with self._file.kept_from_log():
                engine.dispose()
        self.close()
        self._lost = True
        AUDIT_STORE_LOST.emit(self.log, store=self._store, detail=fault)
        raise StoreLost(f"the audit store {self._store} {fault}")

    @staticmethod
    def _empty_log(engine: Engine) -> bool:
        """Bring what is in the log into the store's file; whether that is all. It is not while somebody reads."""
        with suppress(DBAPIError, StoreError, sqlite3.Error), outside(engine) as driver:
            assert driver is not None, "it is a file"
            ((busy, _, _),) = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            return not busy
        return False

    def _raise_if_not_yet(self, path: Path) -> None:
        """Raise StoreUnavailable if a store that was lost is not to be opened as it is now."""
        if self._pause:
            raise StoreUnavailable(f"the audit store {self._store} will be reopened in a moment")
        with suppress(FileNotFoundError):
            there = path.stat()
            identity = there.st_dev, there.st_ino
            if identity != self._distrusted:
                return
            state = (*identity, there.st_ctime_ns)
            if self._damaged is None or self._damaged[0] != state:
                fault = faults_of(path)
                self._damaged = None if fault is None else (state, fault)
            if self._damaged is not None:
                raise StoreUnavailable(
                    f"the audit store {self._store} {self._damaged[1]}", "move it away, or put a backup in its place"
                )


class StoreLost(StoreUnavailable):
    """The store is no longer the file that was opened."""


def _refuse(*_arguments: object) -> NoReturn:
    raise StoreError("the audit's store was replaced and reopened in the meantime", "try again")
