"""Writing a small file whole or not at all: if the disk is full, the old file stays."""

from __future__ import annotations

import glob
import os
from pathlib import Path


def write_whole(
    path: Path, data: bytes | str, mode: int = 0o600, *, owner: tuple[int, int] | None = None, new: bool = False
) -> None:
    """Write a file with this mode, whatever the umask. Links are replaced, not followed.

    `owner` is whose it becomes, as user and group; `new` is that there must be none yet. Raises `OSError`, and
    `FileExistsError` where one is there that must not be; nothing is left behind then.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.new")
    for left in (draft, *_left_behind(path)):
        left.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if owner is not None:
                os.fchown(descriptor, *owner)
            os.fchmod(descriptor, mode)
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(descriptor)
        if new:
            os.link(draft, path)
        else:
            draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _left_behind(path: Path) -> list[Path]:
    """The drafts of processes that were killed while they wrote this file."""
    drafts = path.parent.glob(f".{glob.escape(path.name)}.*.new")
    return [draft for draft in drafts if (pid := draft.name.split(".")[-2]).isdecimal() and not _runs(int(pid))]


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        # Another user's.
        return True
    return True
