"""The files beside an SQLite file in WAL mode, and a page's size in its headers.

Source: https://www.sqlite.org/fileformat.html, sections 1.3.2 and 4.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote


def log_of(path: Path) -> Path:
    """The log (WAL) of the SQLite file at `path`."""
    return path.with_name(f"{path.name}-wal")


def index_of(path: Path) -> Path:
    """The index of its log (shared memory)."""
    return path.with_name(f"{path.name}-shm")


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
