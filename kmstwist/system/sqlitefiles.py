"""The files beside an SQLite file in WAL mode, and a page's size in its headers.

Source: https://www.sqlite.org/fileformat.html, sections 1.3.2 and 4.
"""

from __future__ import annotations

from pathlib import Path


def log_of(path: Path) -> Path:
    """The log (WAL) of the SQLite file at `path`."""
    return path.with_name(f"{path.name}-wal")


def index_of(path: Path) -> Path:
    """The index of its log (shared memory)."""
    return path.with_name(f"{path.name}-shm")


def page_size_of(written: int) -> int:
    """A page's size in bytes, from the two bytes in which SQLite writes it: 65,536 does not fit there, and is 1."""
    return 65536 if written == 1 else written
