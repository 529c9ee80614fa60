"""An SQLite file in WAL mode: made in one piece, the files beside it, and a page's size in its headers.

Source: https://www.sqlite.org/fileformat.html, sections 1.3 and 4.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Final
from urllib.parse import quote

#: How each SQLite file begins: 15 letters and a NUL. In one piece it would look like a key to the search for those.
MAGIC: Final = b"SQLite format 3" + b"\0"
#: Whether a new file can be made in memory, for which SQLite before 3.36 was seldom built.
MAKES_IN_MEMORY: Final = hasattr(sqlite3.Connection, "serialize")
#: The two bytes of the header that say whether the file has a log: the versions for those who write and who read.
_VERSIONS: Final = slice(18, 20)
_WITH_LOG: Final = b"\2\2"


def new_file(statements: Iterable[str]) -> bytes:
    """All that is in an SQLite file in WAL mode in which only these statements were executed.

    Where the file is to be, SQLite would wait for the disk a dozen times to make it.
    """
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as made:
        for statement in statements:
            made.execute(statement)
        content = bytearray(made.serialize())
    content[_VERSIONS] = _WITH_LOG
    return bytes(content)


def log_of(path: Path) -> Path:
    """The log (WAL) of the SQLite file at `path`."""
    return path.with_name(f"{path.name}-wal")


def index_of(path: Path) -> Path:
    """The index of its log (shared memory)."""
    return path.with_name(f"{path.name}-shm")


def beside(path: Path) -> tuple[Path, ...]:
    """Whatever SQLite may have left beside it: its log, the log's index, and a journal that undoes half a change.

    SQLite would take them for a new file's, and put into it what is in them; those of an empty file it throws away.
    """
    return log_of(path), index_of(path), path.with_name(f"{path.name}-journal")


def page_size_of(written: int) -> int:
    """A page's size in bytes, from the two bytes in which SQLite writes it: 1 stands for 65,536, which does not fit."""
    return 65536 if written == 1 else written


def uri_for_reading(path: Path) -> str:
    """The URI with which SQLite opens the file read-only, as it is, even in a folder that nobody can write to."""
    uri = f"file:{quote(str(path))}?mode=ro"
    if path.exists() and not os.access(path.parent, os.W_OK) and not log_of(path).exists():
        # To read a store in WAL mode, SQLite needs a file beside it. If that cannot be made, nobody can write to the
        # store either, and SQLite may assume that it does not change.
        uri += "&immutable=1"
    return uri
