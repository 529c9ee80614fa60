"""Which server uses a state folder: at most one lab and one gateway at a time.

Two labs with one memory would overwrite each other's counts, and two gateways would hash and forward one audit twice.
So a server holds a lock in the folder as long as its process lives; the kernel releases it with the last descriptor,
however the process ends. A lab and a gateway in front of it may share a folder: they use different files.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path

from kmstwist.startup import StartupError
from kmstwist.system.privileges import name_of

#: Seconds between attempts to take a lock that its holder is about to release.
_LOOK = 0.05


def refuse_others_folder(folder: Path) -> None:
    """Raise `StartupError` if a server that stays root would keep its state in a folder of another user's.

    That user could make it write to any file.
    """
    try:
        uid = folder.stat().st_uid
    except OSError:
        # The code that needs the folder makes it, or finds that it cannot be used.
        return
    if os.geteuid() == 0 and uid:
        owner, known = name_of(uid), name_of(uid) != str(uid)
        # twistd can become only a user that the system knows; a container often knows none.
        cure = (
            f"start it as {owner} or with twistd --uid={owner}"
            if known
            else f"start it as that user (docker run --user {uid})"
        )
        raise StartupError(
            f"the state folder {folder} belongs to {owner}, and this server would keep running as root",
            f"{cure}, or give the folder to root: chown -R root: {folder}",
        )


def refuse_owned(folder: Path, mode: str) -> None:
    """Raise `StartupError` if a server of this mode ("lab" or "gateway") uses a state folder now, naming it."""
    if (signed := _holder(folder, mode)) is not None:
        raise _in_use(folder, mode, signed)


def owner(folder: Path) -> str | None:
    """What runs with this state folder, "lab" or "gateway"; None if nothing does, or if this user may not look."""
    return next((mode for mode in ("gateway", "lab") if _holder(folder, mode) is not None), None)


def _holder(folder: Path, mode: str) -> bytes | None:
    """What the server of this mode that uses a folder now wrote into its lock; None if there is no such server."""
    try:
        descriptor = os.open(folder / f"{mode}.lock", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _signed(descriptor)
    except OSError:
        # A file system without locks.
        return None
    finally:
        os.close(descriptor)
    return None


def _signed(descriptor: int) -> bytes:
    return os.pread(descriptor, 64, 0)


def _in_use(folder: Path, mode: str, signed: bytes) -> StartupError:
    pid, _, port = signed.decode(errors="replace").strip().partition(" ")
    holder = f", process {pid} at port {port}" if pid.isdigit() and port.isdigit() else ""
    return StartupError(
        f"the state folder {folder} is in use by another {mode}{holder}",
        "stop it, or give this one a --state-dir of its own",
    )


class Ownership:
    """The lock on a state folder, held until the process ends."""

    def __init__(self, folder: Path, mode: str, port: int, *, patience: float = 0.0) -> None:
        """Take the lock for a server of this mode ("lab" or "gateway"), waiting at most `patience` seconds.

        Raises `StartupError`, which names the server that holds it.
        """
        self._port = port
        path = folder / f"{mode}.lock"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._descriptor = os.open(path, flags, 0o600)
        except (FileExistsError, NotADirectoryError):
            raise StartupError(
                f"the state folder {folder} cannot be used: it is, or stands below, a file",
                "name a folder (--state-dir)",
            ) from None
        except OSError as error:
            raise StartupError(
                f"the state folder {folder} cannot be used: {error.strerror}",
                "name one that this user may write (--state-dir)",
            ) from None
        until = time.monotonic() + patience
        while not self._taken():
            if time.monotonic() >= until:
                raise _in_use(folder, mode, _signed(self._descriptor))
            time.sleep(_LOOK)
        self.sign()

    def sign(self) -> None:
        """Write into the file who holds it: the process, which changes when it becomes a daemon, and its port."""
        with suppress(OSError):
            # On a full disk nobody is told who has it; it is held all the same.
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()} {self._port}\n".encode(), 0)

    def _taken(self) -> bool:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP):
                raise
            # On a file system without locks there is nobody to ask.
        return True
