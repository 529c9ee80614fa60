"""Is an open SQLite store still the file at its path, and is that file whole, as far as a quick check can tell?

The look is cheap: a stat of the path, and the 100 bytes of the file's header (https://www.sqlite.org/fileformat.html,
1.3). They are read through one descriptor, opened before SQLite opens the file and closed after: where a process closes
any descriptor of a file, it loses all POSIX locks it has on it, SQLite's among them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from kmstwist.system.sqlitefiles import MAGIC, index_of, log_of, page_size_of

#: The size of the header, in bytes.
_HEADER = 100


@dataclass(frozen=True, slots=True)
class _Header:
    """What the header says: the size of a page in bytes, how often the file changed, its pages, whose it is."""

    page_size: int
    changes: int
    pages: int
    owner: bytes

    @classmethod
    def parse(cls, data: bytes) -> _Header | None:
        """Read a header; None if it is not SQLite's."""
        if len(data) < _HEADER or not data.startswith(MAGIC):
            return None

        def number(at: int, size: int = 4) -> int:
            return int.from_bytes(data[at : at + size], "big")

        # The number of pages is right only if the last change has noted it.
        pages = number(28) if number(24) == number(92) else 0
        return cls(page_size_of(number(16, 2)), number(24), pages, data[60:64] + data[68:72])


class StoreFile:
    """The file of an open store. Raises OSError if there is none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        found = os.fstat(self._descriptor)
        #: Its device and its inode.
        self.identity = found.st_dev, found.st_ino
        self._size = found.st_size
        self._bytes: bytes | None = None
        self._header: _Header | None = None
        self._header = self._read()
        self._log = log_of(path)
        self._index = index_of(path)
        self._index_size = 0
        self._beside, self._index_size = self._those_beside()
        #: Whether the file that was opened is whole, but somewhere else now, or nowhere; found by `fault`.
        self.elsewhere = False
        #: Whether the file is at its place, and its log or the log's index is not; found by `fault`.
        self.without_log = False

    def fileno(self) -> int:
        """The descriptor."""
        return self._descriptor

    def close(self) -> None:
        """Let go of the file; only after SQLite has."""
        os.close(self._descriptor)

    def fault(self) -> str | None:
        """What happened to the file, words that follow its name; None if nothing did."""
        try:
            there = os.stat(self._path)
        except FileNotFoundError:
            self.elsewhere = self._damage(os.fstat(self._descriptor).st_size) is None
            return "was deleted or moved away"
        except OSError as error:
            return f"cannot be looked at: {error.strerror or error}"
        if (there.st_dev, there.st_ino) != self.identity:
            self.elsewhere = self._damage(os.fstat(self._descriptor).st_size) is None
            return "was replaced by another file"
        return self._damage(there.st_size) or self._missing()

    def _missing(self) -> str | None:
        """What happened to the log and its index, which SQLite has open as long as the store; None if nothing did."""
        found, index_size = self._those_beside()
        if found != self._beside:
            for path, known in self._beside.items():
                # SQLite makes both anew where it has closed the store meanwhile.
                if found.get(path) != known and _has_open(known):
                    if _identity(self._path) != self.identity:
                        # Another process has just made the store anew.
                        return self.fault()
                    self.without_log = True
                    return f"lost {path.name}, which was deleted, moved away or replaced"
            self._beside = found
        self._keep_index_long(index_size)
        return None

    def _keep_index_long(self, size: int) -> None:
        """Make an index that was truncated to `size` as long again as it was.

        SQLite has it mapped, and the kernel ends a process that reads behind a file's end (SIGBUS). SQLite makes what
        is empty anew from the log.
        """
        if size < self._index_size:
            with suppress(OSError):
                os.truncate(self._index, self._index_size)
        else:
            self._index_size = size

    def _damage(self, size: int) -> str | None:
        before, now = self._header, self._read()
        if before is not None:
            if now is None:
                return "was truncated or overwritten"
            # Where SQLite makes the file smaller, it says so in the header first.
            if size < self._size and size < now.pages * now.page_size:
                return "was truncated"
            # The owner of a new store is noted in the log first, and in the file later.
            other = any(before.owner) and before.owner != now.owner
            if other or now.page_size != before.page_size or now.changes < before.changes:
                return "was overwritten by another"
        self._size, self._header = size, now
        return None

    def _those_beside(self) -> tuple[dict[Path, tuple[int, int]], int]:
        """The identities of the log's and the index's file, as far as they exist, and the index's length."""
        found = {}
        size = self._index_size
        for path in (self._log, self._index):
            with suppress(OSError):
                there = os.stat(path)
                found[path] = there.st_dev, there.st_ino
                if path is self._index:
                    size = there.st_size
        return found, size

    def _still_there(self, path: Path) -> bool:
        """Whether the log, or its index, is still what lies at its place."""
        return path in self._beside and _identity(path) == self._beside[path]

    def leave_place(self) -> None:
        """Take the log and its index away from the place of a file that is `elsewhere`.

        SQLite finds both by their names. Another process may not have seen yet that the file is gone, and goes on with
        them; a store that is made anew at the place meanwhile would share them, and both would be spoilt.
        """
        for path in (self._log, self._index):
            if self._still_there(path):
                with suppress(OSError):
                    path.unlink()

    def put_strangers_away(self) -> None:
        """Put aside what lies at the place of a log that is no longer there: SQLite would take it for the store's."""
        if not self._still_there(self._log):
            with suppress(OSError):
                os.rename(self._log, f"{self._log}.lost")

    @contextmanager
    def kept_from_log(self) -> Iterator[None]:
        """While SQLite closes the file, have it write nothing into it, and leave the log of what it was beside it.

        SQLite would write what is in the log into a file that is not the log's any more. It does not where the file is
        not at its place; so it is not, for as long as that takes.
        """
        aside = self._path.with_name(f"{self._path.name}.damaged")
        with suppress(OSError):
            os.rename(self._path, aside)
        try:
            yield
        finally:
            with suppress(OSError):
                if not self._path.exists():
                    os.rename(aside, self._path)
                # The log may be that of another process's new store by now.
                if self._still_there(self._log):
                    os.rename(self._log, f"{self._log}.lost")
                    self._index.unlink()

    def _read(self) -> _Header | None:
        data = os.pread(self._descriptor, _HEADER, 0)
        # While all that is written goes to the log beside it, it says what it said.
        if data == self._bytes:
            return self._header
        self._bytes = data
        return _Header.parse(data)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _has_open(identity: tuple[int, int]) -> bool:
    """Whether this process has the file open."""
    for each in os.scandir("/proc/self/fd"):
        with suppress(OSError):
            found = os.stat(each.path)
            if (found.st_dev, found.st_ino) == identity:
                return True
    return False
