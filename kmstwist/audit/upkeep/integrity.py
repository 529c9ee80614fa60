"""Does an open SQLite store still contain what SQLite wrote there?

SQLite trusts what it remembers of a file that it has open. It notices what somebody else writes into the store's pages,
or into its log, only when it reads a page again. That may be at the next start, long after calls were answered because
their records were "stored" there.

A look is cheap: when the store and its log changed last (stat), and what the log's index says about the log. SQLite
writes into the store's file only what it takes out of the log, and notes that in the index before
(https://www.sqlite.org/walformat.html, 2.3). So a file that changed beside an index that did not was written by
somebody else: then all pages are read and examined (`PRAGMA quick_check`), by a connection that remembers nothing, in a
thread of its own. Where both changed nothing can be said, and the pages are examined now and then: no sooner than a
minute after the last time, and for a hundredth of the time at most.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from sys import byteorder
from time import monotonic
from urllib.parse import quote

from kmstwist.system.sqlitecodes import Trouble, trouble_of
from kmstwist.system.sqlitefiles import index_of, log_of, page_size_of

#: Seconds, at least, from the end of one examination to the next where nothing is suspected.
LEISURE = 60.0
#: How many times longer than an examination took it is waited for the next one: where something is suspected, or not.
_SUSPECTED, _LEISURELY = 3, 100
#: The first 136 bytes of an index are two copies of its header, and what was taken out of the log.
_INDEX = 136
_LOG_HEADER, _FRAME_HEADER = 32, 24
#: Seconds that an examination has to end when it is told to.
_STOPPING = 10.0


def faults_of(path: Path, known: Callable[[sqlite3.Connection], None] = lambda _connection: None) -> str | None:
    """What is wrong with the pages of the store at `path`, words that follow its name; None if nothing is found.

    Reads all of it, and blocks for as long: a second for some 100 MB. `known` is told the connection, to interrupt it.
    """
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, check_same_thread=False)) as store:
            known(store)
            found = str(store.execute("PRAGMA quick_check(1)").fetchone()[0]).removeprefix("*** in database main ***")
    except sqlite3.Error as error:
        return f"is damaged: {error}" if trouble_of(error) in (Trouble.DAMAGED, Trouble.NO_STORE) else None
    return None if found == "ok" else f"is damaged: {' '.join(found.split())}"


@dataclass(frozen=True, slots=True)
class _Index:
    """What the index says of the log: whose it is (its salts), its frames, and how many were taken out of it."""

    page_size: int
    frames: int
    salts: bytes
    taken: int
    begun: int

    @classmethod
    def parse(cls, data: bytes) -> _Index | None:
        """Read it; None while it is not made, or being written."""
        if len(data) < _INDEX or data[:48] != data[48:96] or not data[12]:
            return None

        def number(at: int, size: int = 4) -> int:
            # In the machine's own order.
            return int.from_bytes(data[at : at + size], byteorder)

        return cls(page_size_of(number(14, 2)), number(16), data[32:40], number(96), number(128))

    @property
    def emptied(self) -> tuple[bytes, int] | None:
        """How far the log was emptied into the store; None while it is being emptied."""
        return None if self.begun > self.taken else (self.salts, self.taken)

    @property
    def length(self) -> int:
        """How many bytes the log has at least; 0 where nothing needs it any more."""
        return 0 if self.taken >= self.frames else _LOG_HEADER + self.frames * (_FRAME_HEADER + self.page_size)


class Inside:
    """The inside of one open store. What it does itself is short; all pages are examined in a thread of its own."""

    def __init__(self, path: Path, *, at_leisure: bool = True, seconds: Callable[[], float] = monotonic) -> None:
        """`at_leisure`: whether to examine also where nothing is suspected; of several workers, one does for all."""
        self._path = path
        self._log = log_of(path)
        self._index_path = index_of(path)
        self._seconds = seconds
        #: Of the index. Kept open until SQLite has closed it: closing one takes SQLite's locks on it away.
        self._descriptors: dict[tuple[int, int], int] = {}
        self._index = self._read_index()
        self._changed = self._times()
        #: An index beside which the log changed, in the last look; more than a commit under way if it stays.
        self._doubtful: _Index | None = None
        self._suspected = False
        #: From when on to examine, in seconds: what is suspected, and what only changed.
        self._soonest = seconds()
        self._at_leisure = self._soonest + LEISURE if at_leisure else float("inf")
        self._changed_since = True
        self._examination: _Examination | None = None
        self._log_in_doubt = False
        #: Whether what `look` found wrong are the store's own pages, and the log is as SQLite wrote it.
        self.damaged = False

    def look(self) -> str | None:
        """What is wrong inside, words that follow the store's name; None as far as is known. Once a second."""
        before = self._read_index()
        changed = self._times()
        short = before is not None and _size(self._log) < before.length
        index = self._read_index()
        if before is not None and index is not None:
            if short and index == before:
                return "lost its log: that was truncated"
            self._compare(changed, before, index)
        self._changed_since |= changed[0] != self._changed[0]
        self._changed, self._index = changed, index
        return self._examined()

    def take_doubt(self) -> bool:
        """Whether somebody else wrote into the log, all pages were examined since, and are sound; said once."""
        doubt = self._log_in_doubt and self._examination is None and not self._suspected
        self._log_in_doubt &= not doubt
        return doubt

    def close(self) -> None:
        """Let go of the store; only after SQLite has, but for an examination."""
        if self._examination is not None:
            self._examination.stop()
        for each in self._descriptors.values():
            os.close(each)
        self._descriptors.clear()

    def _compare(self, changed: tuple[int, int], before: _Index, index: _Index) -> None:
        if self._doubtful == index:
            self._suspected = self._log_in_doubt = True
        self._doubtful = None
        last = self._index
        if last is None:
            return
        if changed[0] != self._changed[0] and last.emptied == before.emptied == index.emptied is not None:
            # Records may have been committed, but SQLite wrote nothing into the store's file.
            self._suspected = True
        if changed[1] != self._changed[1] and last == before == index:
            self._doubtful = index

    def _examined(self) -> str | None:
        now = self._seconds()
        running = self._examination
        if running is None:
            if (self._suspected and now >= self._soonest) or (self._changed_since and now >= self._at_leisure):
                self._suspected = self._changed_since = False
                try:
                    self._examination = _Examination(self._path, now)
                except RuntimeError:
                    # There is no room for a thread at present.
                    self._suspected = True
            return None
        if running.is_alive():
            return None
        took = now - running.began
        self._soonest = now + _SUSPECTED * took
        if self._at_leisure < float("inf"):
            self._at_leisure = now + max(LEISURE, _LEISURELY * took)
        self._examination = None
        self.damaged = running.found is not None and not self._log_in_doubt
        return running.found

    def _times(self) -> tuple[int, int]:
        """When the file and its log changed last: what cannot be set, as other times of a file can."""
        return _changed(self._path), _changed(self._log)

    def _read_index(self) -> _Index | None:
        try:
            found = os.stat(self._index_path)
            identity = found.st_dev, found.st_ino
            if identity not in self._descriptors:
                self._descriptors[identity] = os.open(self._index_path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            return _Index.parse(os.pread(self._descriptors[identity], _INDEX, 0))
        except OSError:
            return None


class _Examination(threading.Thread):
    """Examines a store; `found` is set when it has ended. `began` is when, in seconds."""

    def __init__(self, path: Path, began: float) -> None:
        super().__init__(name="audit-examine", daemon=True)
        self.began = began
        self.found: str | None = None
        self._path = path
        self._store: sqlite3.Connection | None = None
        self.start()

    def run(self) -> None:
        self.found = faults_of(self._path, self._know)

    def _know(self, store: sqlite3.Connection) -> None:
        self._store = store

    def stop(self) -> None:
        """Interrupt it, and wait a moment for that."""
        if self._store is not None:
            # It may have been closed meanwhile.
            with suppress(sqlite3.Error):
                self._store.interrupt()
        self.join(_STOPPING)


def _changed(path: Path) -> int:
    try:
        return os.stat(path).st_ctime_ns
    except OSError:
        return 0


def _size(path: Path) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
