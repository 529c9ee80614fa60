"""Files that hold secrets: whether users other than their owner and group could read them."""

from __future__ import annotations

import stat
from pathlib import Path

#: Where container engines and Kubernetes put secrets, readable by all users of the container.
MOUNTED = Path("/run/secrets")


def lets_others_in(mode: int) -> bool:
    """Whether a file of this mode can be read or written by others, or written by its group."""
    return bool(mode & (stat.S_IRWXO | stat.S_IWGRP))


def is_open_to_others(path: Path, mode: int) -> bool:
    """Whether other users of this machine could read the file of this mode, or its group write it.

    A mounted secret does not count: nobody else is in the container, and the engine sets its mode (Compose keeps that
    of the file outside, Kubernetes sets 0644), which the container's user cannot change.
    """
    return lets_others_in(mode) and (MOUNTED not in path.absolute().parents or ".." in path.parts)
