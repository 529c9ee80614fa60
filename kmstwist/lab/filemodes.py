"""Files and folders that only their owner may use."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from pathlib import Path


def keep_to_owner(path: Path, *, make: bool = False) -> None:
    """Remove others' permissions on a file or folder of ours; with `make`, create an empty file if there is none.

    A symbolic link is not followed. A file that belongs to somebody else, or cannot be opened, is left as it is: the
    code that uses it next reports why.
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
    """Tighten a folder that contains only files whose names begin with one of `names`.

    Any other folder may also serve other purposes.
    """
    try:
        found = [entry.name for entry in os.scandir(folder)]
    except OSError:
        return
    if found and all(name.startswith(tuple(names)) for name in found):
        keep_to_owner(folder)
