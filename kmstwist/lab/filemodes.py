"""Files and folders that are their owner's alone."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from pathlib import Path


def keep_to_owner(path: Path, *, make: bool = False) -> None:
    """Take from others what they may do with a file or folder of ours; `make` an empty file where there is none.

    A symbolic link at the place is not followed. What belongs to somebody else, or cannot be opened, is left as it is:
    whoever uses it next says why.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags | (os.O_CREAT if make else 0), 0o600)
    except OSError:
        return
    try:
        found = os.fstat(descriptor)
        if found.st_uid == os.geteuid() and found.st_mode & 0o077:
            os.fchmod(descriptor, stat.S_IMODE(found.st_mode) & ~0o077)
    finally:
        os.close(descriptor)


def keep_folder_to_owner(folder: Path, names: Collection[str]) -> None:
    """Tighten a folder in which nothing lies but files whose names begin with one of `names`.

    Any other folder may be there for others as well.
    """
    try:
        found = [entry.name for entry in os.scandir(folder)]
    except OSError:
        return
    if found and all(name.startswith(tuple(names)) for name in found):
        keep_to_owner(folder)
