"""Being root only for a moment: a starting server works in the file system as the user that it becomes.

A server that is started as root with `twistd --uid` needs root for its ports, and for nothing else. Its state folder
belongs to the other user, who can replace any file there with a link, a pipe or another folder at any moment: whatever
root opened, made or gave away at such a path, that user would have chosen it. So files are opened as that user, whose
own rights then decide. Root itself opens a file only in a folder that the other user cannot change.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

#: Modules that the server imports only when it makes or changes a store, or first reads a file of its own.
_USED_LATER = ("alembic.command", "alembic.op", "alembic.runtime.environment", "configparser", "importlib.readers")

#: The users of this process's user namespace (user_namespaces(7)).
_UID_MAP = Path("/proc/self/uid_map")

#: User and group numbers are below this; the highest number of 32 bits means "no change" (chown(2)).
_MOST_IDS = 2**32 - 1

#: How many links in a row the kernel follows (path_resolution(7)).
_MOST_LINKS = 40


@dataclass(frozen=True)
class Identity:
    """The user that this process becomes: its number, its group, and all its groups."""

    uid: int
    gid: int
    groups: tuple[int, ...]


def future_identity(twistd: Mapping[str, Any]) -> Identity | None:
    """The user that twistd's `--uid` and `--gid` name for this process; None if it does not change."""
    uid, gid = twistd.get("uid"), twistd.get("gid")
    if os.geteuid() != 0 or not uid:
        return None
    return identity_of(uid, gid, otherwise=os.getegid())


def fault_of_identity(twistd: Mapping[str, Any]) -> tuple[str, str] | None:
    """Why twistd cannot become the user that `--uid` and `--gid` name, and the cure; None if it can.

    twistd looks the user up when it drops root, long after the start, and ends with a traceback if there is none.
    """
    uid, gid = twistd.get("uid"), twistd.get("gid")
    if uid is not None:
        try:
            pwd.getpwuid(uid)
        except (KeyError, OverflowError):
            return (
                f"--uid={uid}: no user of this system has that number, and twistd becomes only one that it knows",
                "add the user, or start this as that user: setpriv --reuid, docker run --user, User= in a unit",
            )
    if gid is not None and not 0 <= gid < _MOST_IDS:
        return f"--gid={gid}: that is not a group's number", "name the group"
    return None


def identity_of(uid: int, gid: int | None = None, *, otherwise: int) -> Identity:
    """A user with its groups, or with the given group; a user that the system does not know has group `otherwise`."""
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        own = otherwise if gid is None else gid
        return Identity(uid, own, (own,))
    gid = entry.pw_gid if gid is None else gid
    return Identity(uid, gid, tuple(os.getgrouplist(entry.pw_name, gid)))


def out_of_reach(identity: Identity | None, programs: Iterable[Path], files: Iterable[Path]) -> Path | None:
    """The first of these programs that this user may not run, or of these files that it may not read; None for none."""
    with acting_as(identity):
        for paths, mode in ((programs, os.X_OK), (files, os.R_OK)):
            for path in paths:
                if not os.access(path, mode, effective_ids=True):
                    return path
    return None


def name_of(uid: int) -> str:
    """A user's name, else its number."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


@contextmanager
def acting_as(identity: Identity | None) -> Iterator[None]:
    """Let the kernel treat everything done meanwhile, by any thread, as done by that user.

    Changes nothing for None, or if this process is not root (any more).
    """
    if identity is None or os.geteuid() != 0:
        yield
        return
    uid, gid, groups = os.geteuid(), os.getegid(), os.getgroups()
    os.setgroups(identity.groups)
    os.setegid(identity.gid)
    os.seteuid(identity.uid)
    try:
        yield
    finally:
        os.seteuid(uid)
        os.setegid(gid)
        os.setgroups(groups)


def can_change(identity: Identity, folder: Path) -> bool:
    """Whether that user can replace what is in the folder, or a folder or a link on the way to it.

    `folder` is absolute. Raises `OSError` if it does not exist.
    """
    for found in _steps_to(folder):
        if found is None:
            return True
        if found.st_uid == identity.uid if stat.S_ISLNK(found.st_mode) else _can_write(identity, found):
            return True
    return False


def owner_of(folder: Path) -> Identity | None:
    """The user besides root who can replace what is in the folder; None if nobody can.

    The last such user on the way to it counts: an earlier one can only make others act as that one. For a folder that
    does not exist yet, the folder around it counts. Raises `OSError` if everybody can.
    """
    folder = folder.absolute()
    while not os.path.lexists(folder):
        folder = folder.parent
    owner: Identity | None = None
    for found in _steps_to(folder):
        if found is None:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(folder))
        if found.st_uid and _exists_here(found.st_uid):
            owner = identity_of(found.st_uid, otherwise=found.st_gid)
        elif stat.S_ISDIR(found.st_mode) and not found.st_mode & stat.S_ISVTX:
            if found.st_mode & stat.S_IWOTH:
                raise OSError(errno.EPERM, "everybody may write there, so root does not", str(folder))
            if found.st_mode & stat.S_IWGRP and (member := _first_member(found.st_gid)) is not None:
                owner = identity_of(member, otherwise=found.st_gid)
    return owner


def _exists_here(uid: int) -> bool:
    """Whether a process of this user namespace can be this user.

    The root of an ordinary user's namespace has none of root's rights over the files of others, who all appear as one
    user there, and it cannot become any of them: it is that ordinary user.
    """
    try:
        ranges = [tuple(map(int, line.split())) for line in _UID_MAP.read_text().splitlines()]
    except (OSError, ValueError):
        return True
    return not ranges or any(first <= uid < first + count for first, _, count in ranges)


def _first_member(gid: int) -> int | None:
    """A member of a group other than root; None if there is none."""
    users = [entry for entry in pwd.getpwall() if entry.pw_uid]
    try:
        named = set(grp.getgrgid(gid).gr_mem)
    except KeyError:
        named = set()
    return next((entry.pw_uid for entry in users if entry.pw_gid == gid or entry.pw_name in named), None)


def _steps_to(folder: Path) -> Iterator[os.stat_result | None]:
    """Each folder and each link on the way to a folder, from the root on; None after too many links."""
    todo = list(reversed(folder.parts[1:]))
    here, links = Path("/"), 0
    while True:
        found = os.lstat(here)
        yield found
        if stat.S_ISLNK(found.st_mode):
            if (links := links + 1) > _MOST_LINKS:
                yield None
                return
            target = here.readlink()
            todo += reversed(target.parts[target.is_absolute() :])
            here = Path("/") if target.is_absolute() else here.parent
            continue
        if not todo:
            return
        step = todo.pop()
        # A link was replaced by its target, so the kernel goes to the same parent folder.
        here = here.parent if step == ".." else here / step


def _can_write(identity: Identity, found: os.stat_result) -> bool:
    if found.st_uid == identity.uid:
        return True
    writable = found.st_mode & stat.S_IWOTH or (found.st_mode & stat.S_IWGRP and found.st_gid in identity.groups)
    # In a sticky folder nobody can remove or rename another's file; the folders that root makes there stay root's.
    return bool(writable) and not found.st_mode & stat.S_ISVTX


@contextmanager
def with_rights_for(path: Path, identity: Identity | None) -> Iterator[Path]:
    """Act as root if only root can change what `path` leads to, else as that user. Gives the path without links.

    Raises `OSError` if the folder does not exist.
    """
    around = path.absolute().parent
    with acting_as(identity if identity is not None and can_change(identity, around) else None):
        yield around.resolve(strict=True) / path.name


def make_folder_for(identity: Identity | None, path: Path) -> None:
    """Make a missing folder and give it to that user, if only root can change the folder around it.

    Anywhere else that user makes it, with its own rights. Raises `OSError`.
    """
    if identity is None:
        return
    parent = path.parent
    if not parent.exists():
        make_folder_for(identity, parent)
    with with_rights_for(path, identity) as real:
        try:
            real.mkdir(mode=0o700)
        except FileExistsError:
            return
        if os.geteuid() != identity.uid:
            os.chown(real, identity.uid, identity.gid, follow_symlinks=False)


def load_for(identity: Identity | None, modules: Iterable[str]) -> None:
    """Import now what is otherwise imported on first use, if that user cannot read Python's own files.

    `modules` are those that our own rooms import so. An environment in a home folder is an example: a module that is
    not imported while this process is root cannot be imported later.
    """
    with acting_as(identity), suppress(PermissionError), open(os.__file__, "rb"):
        return
    for module in (*_USED_LATER, *modules):
        import_module(module)


def ever_root() -> bool:
    """Whether this process is root, or can become root again."""
    return 0 in os.getresuid()
