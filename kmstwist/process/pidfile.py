"""twistd's pid file, looked at before twistd does: what is stale is taken away, what cannot be is a sentence.

twistd takes any process that has the number in the file for another twistd. After a crash, or in a container where
every first process has the number 1, that may be anybody, this very process included.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

from kmstwist.startup import StartupError

#: twistd's own default, a file in the folder that it happens to be started in.
_DEFAULT = "twistd.pid"
#: Longer than any pid.
_SIZE = 32


def prepare_pid_file(twistd: MutableMapping[str, Any]) -> None:
    """Make sure that twistd can write its pid file, and that no stale one is in its way. Raises `StartupError`.

    In the foreground there is none unless one is named: whoever started the process has it before his eyes.
    """
    name = twistd.get("pidfile")
    if not name:
        return
    if twistd.get("nodaemon") and os.path.basename(name) == _DEFAULT:
        twistd["pidfile"] = ""
        return
    path = Path(twistd.get("rundir") or ".", name)
    _refuse_unwritable(path)
    if not path.exists():
        return
    pid = _pid_in(path)
    if pid is None or is_stale(pid):
        try:
            path.unlink()
        except OSError as error:
            raise StartupError(f"the stale pid file {path} cannot be removed: {error.strerror}; remove it") from None
        return
    raise StartupError(
        f"kmstwist runs already, as process {pid} (from the pid file {path}); stop it, or give this one a --pidfile "
        "of its own"
    )


def is_stale(pid: int) -> bool:
    """Whether no twistd runs as this process: it has ended, it is this one, or its number went to another program."""
    if pid == os.getpid():
        return True
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return True
    except OSError:
        # Not to be seen by this user: it is taken for what the file says it is.
        return False
    return b"twistd" not in words and b"kmstwist" not in words


def _pid_in(path: Path) -> int | None:
    """The number in a pid file; None where there is none, as after a full disk. Raises `StartupError`."""
    try:
        with path.open("rb") as file:
            text = file.read(_SIZE).strip()
    except OSError as error:
        raise StartupError(f"the pid file {path} cannot be read: {error.strerror}; name another --pidfile") from None
    if text and not text.isdigit():
        raise StartupError(f"{path} holds no process id, so it is no pid file; name another --pidfile")
    return int(text) if text else None


def _refuse_unwritable(path: Path) -> None:
    folder = path.parent
    if path.is_dir():
        raise StartupError(f"the pid file {path} is a folder; name a file in it (--pidfile)")
    if not folder.is_dir():
        raise StartupError(
            f"there is no folder {folder} for the pid file {path.name}; make it, or name another --pidfile"
        )
    try:
        # Found out by doing it: rights say too little of a read-only or a special file system.
        made = not path.exists()
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644))
        if made:
            path.unlink()
    except OSError as error:
        raise StartupError(
            f"the pid file {path} cannot be written: {error.strerror}; name another --pidfile, or none: --pidfile="
        ) from None
