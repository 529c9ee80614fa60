"""What is wrong with an SQLite file, by SQLite's own result codes, and the cure.

SQLite's messages change from version to version; its codes do not (https://www.sqlite.org/rescode.html). Only a damaged
file is called damaged, because the cure for that loses what is in it.
"""

from __future__ import annotations

import errno
from enum import StrEnum


class Trouble(StrEnum):
    """The kinds of trouble that need different cures, each with its cure."""

    BUSY = "another process holds it; try again when that has ended"
    FULL = "make room on its disk; nothing is damaged"
    READONLY = "check that this user may write the file and its folder, or run it with sudo"
    CANNOT_OPEN = "check that this user owns the file and its folder, and that their disk is not read-only, or use sudo"
    DISK = "the disk reports an error: check that there is room on it, and read the system's log (dmesg)"
    DAMAGED = "it is damaged"
    NO_STORE = "it is not one of kmstwist's files"
    OTHER = ""


_BY_CODE = {
    3: Trouble.CANNOT_OPEN,  # PERM
    5: Trouble.BUSY,  # BUSY
    6: Trouble.BUSY,  # LOCKED
    8: Trouble.READONLY,
    10: Trouble.DISK,  # IOERR
    11: Trouble.DAMAGED,  # CORRUPT
    13: Trouble.FULL,
    14: Trouble.CANNOT_OPEN,
    26: Trouble.NO_STORE,  # NOTADB
}
_BY_ERRNO = {
    errno.ENOSPC: Trouble.FULL,
    errno.EDQUOT: Trouble.FULL,
    errno.EROFS: Trouble.READONLY,
    errno.EACCES: Trouble.CANNOT_OPEN,
    errno.EPERM: Trouble.CANNOT_OPEN,
    errno.EIO: Trouble.DISK,
}


def trouble_of(error: BaseException) -> Trouble:
    """The kind of an error from sqlite3, from SQLAlchemy (which wraps it), or from the system."""
    original = getattr(error, "orig", None) or error
    code = getattr(original, "sqlite_errorcode", None)
    if isinstance(code, int):
        # The low byte is the primary code; the bits above it give the detail.
        return _BY_CODE.get(code & 0xFF, Trouble.OTHER)
    if isinstance(original, OSError):
        return _BY_ERRNO.get(original.errno or 0, Trouble.OTHER)
    return Trouble.OTHER
