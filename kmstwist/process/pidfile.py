"""The pid file, checked and written in place of twistd: a stale one is removed, and each failure is one sentence.

twistd takes any process with the number in the file for another twistd. After a crash, or in a container where the
first process always has the number 1, that may be any process, even this one. And twistd would read and write the file
as root, whatever the user it becomes had put in its place: a link, a pipe or another folder.
"""

from __future__ import annotations

import os
import stat
from collections.abc import MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from twisted.application.service import Service

from kmstwist.reactor import Reactor
from kmstwist.startup import StartupError
from kmstwist.system.privileges import Identity, with_rights_for

#: twistd's own default, a file in the folder in which it happens to be started.
_DEFAULT = "twistd.pid"
#: Longer than any pid.
_SIZE = 32


def prepare_pid_file(twistd: MutableMapping[str, Any], identity: Identity | None = None) -> Path | None:
    """Take the pid file over from twistd, and remove a stale one. Returns the path for it; None for no file.

    In the foreground there is none unless one is named: whoever started the process can see it. `identity` is the user
    this process becomes. Raises `StartupError` if the file cannot be written, or names a running server.
    """
    name, twistd["pidfile"] = twistd.get("pidfile"), ""
    if not name or (twistd.get("nodaemon") and os.path.basename(name) == _DEFAULT):
        return None
    path = Path(name).absolute()
    if path.is_dir():
        raise StartupError(f"the pid file {path} is a folder", "name a file in it (--pidfile)")
    if not path.parent.is_dir():
        raise StartupError(
            f"there is no folder {path.parent} for the pid file {path.name}", "make it, or name another --pidfile"
        )
    with with_rights_for(path, identity) as real:
        _refuse_unwritable(real)
        if not os.path.lexists(real):
            return path
        pid = _pid_in(real)
        if pid is None or is_stale(pid):
            try:
                real.unlink()
            except OSError as error:
                raise StartupError(
                    f"the stale pid file {path} cannot be removed: {error.strerror}", "remove it"
                ) from None
            return path
    raise StartupError(
        f"kmstwist runs already, as process {pid} (from the pid file {path})",
        "stop it, or give this one a --pidfile of its own",
    )


def is_stale(pid: int) -> bool:
    """Whether no twistd runs under this number: it has ended, it is this process, or another program has the number."""
    if pid == os.getpid():
        return True
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return True
    except OSError:
        # This user cannot see the process, so the file is believed.
        return False
    return b"twistd" not in words and b"kmstwist" not in words


def _pid_in(path: Path) -> int | None:
    """The number in a pid file; None if it has none, as after a full disk. Raises `StartupError`."""
    try:
        text = _read(path)
    except OSError as error:
        raise StartupError(f"the pid file {path} cannot be read: {error.strerror}", "name another --pidfile") from None
    if text is None or (text and not text.isdigit()):
        raise StartupError(f"{path} holds no process id, so it is not a pid file", "name another --pidfile")
    return int(text) if text else None


def _read(path: Path) -> bytes | None:
    """The beginning of the file; None if it is not a file. Does not follow a link, and does not wait for a pipe."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return os.read(descriptor, _SIZE).strip() if stat.S_ISREG(os.fstat(descriptor).st_mode) else None
    finally:
        os.close(descriptor)


def _refuse_unwritable(path: Path) -> None:
    try:
        # Tried, because rights say too little about a read-only or special file system.
        made = not os.path.lexists(path)
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        os.close(os.open(path, flags, 0o644))
        if made:
            path.unlink()
    except OSError as error:
        raise StartupError(
            f"the pid file {path} cannot be written: {error.strerror}", "name another --pidfile, or none: --pidfile="
        ) from None


class PidFile(Service):
    """Keeps the process id in a file while the server runs. Writing it is the last thing done as root."""

    def __init__(self, path: Path, identity: Identity | None, reactor: Reactor) -> None:
        self._path = path
        self._identity = identity
        self._reactor = reactor

    def privilegedStartService(self) -> None:
        """Write the file, replacing whatever is there. Raises `StartupError`."""
        super().privilegedStartService()
        try:
            with with_rights_for(self._path, self._identity) as real:
                with suppress(FileNotFoundError):
                    real.unlink()
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                descriptor = os.open(real, flags, 0o644)
                try:
                    # Everybody may ask whether the server runs, whatever the umask.
                    os.fchmod(descriptor, 0o644)
                    os.write(descriptor, b"%d" % os.getpid())
                except OSError:
                    real.unlink()
                    raise
                finally:
                    os.close(descriptor)
        except OSError as error:
            raise StartupError(
                f"the pid file {self._path} cannot be written: {error.strerror}", "name another --pidfile"
            ) from None
        self._reactor.addSystemEventTrigger("after", "shutdown", self._remove)

    def _remove(self) -> None:
        """Remove the file, if it is still ours. In a folder of root's it stays: whoever started us removes it."""
        with suppress(OSError):
            if _read(self._path) == b"%d" % os.getpid():
                self._path.unlink()
