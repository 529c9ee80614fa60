"""Being root no more than a command needs: in another user's folder, the command acts as that user.

The service's user owns the state folder. An intruder with that user's rights could replace any file there with a link,
a hard link or a pipe, and so choose what root reads or writes. A command that acts as that user can do there what that
user can, and no more. What root itself names, such as a backup's path or a file to import, is still opened as root, if
no other user could have put it there.
"""

from __future__ import annotations

import io
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import IO, Any, BinaryIO

from kmstwist.problem import ProblemError
from kmstwist.system.privileges import acting_as, owner_of

#: Root's groups, for each `rights_in` that is active.
_callers: list[list[int]] = []


class NoFile(ProblemError):
    """What is in the place of a file is not a file."""


@contextmanager
def rights_in(folder: Path) -> Iterator[None]:
    """Act as the owner of this folder, if root runs the command and the folder is not root's."""
    if os.geteuid() != 0:
        yield
        return
    owner = owner_of(folder)
    if owner is None:
        yield
        return
    groups = os.getgroups()
    _callers.append(groups)
    try:
        with _programs_files_readable(), acting_as(owner):
            yield
    finally:
        _callers.pop()


@contextmanager
def acting_as_caller() -> Iterator[None]:
    """Be root again for a moment, if a command that root called acts as another user (`rights_in`)."""
    if not _callers or os.geteuid() == 0:
        yield
        return
    uid, gid, groups = os.geteuid(), os.getegid(), os.getgroups()
    os.seteuid(0)
    os.setegid(os.getgid())
    os.setgroups(_callers[-1])
    try:
        yield
    finally:
        os.setgroups(groups)
        os.setegid(gid)
        os.seteuid(uid)


@contextmanager
def rights_for_named(path: Path) -> Iterator[None]:
    """For a file that the caller named: act as the caller, or as a user who could have put it there."""
    with acting_as_caller(), rights_in(path.absolute().parent):
        yield


def opened_text(path: Path, *, errors: str = "strict") -> IO[str]:
    """As `opened`, for text in UTF-8."""
    return io.TextIOWrapper(opened(path), encoding="utf-8", errors=errors)


def opened(path: Path) -> BinaryIO:
    """A file that the caller named, to read; refuses a pipe that another user may have put there.

    Raises `OSError`, and `NoFile`.
    """
    with acting_as_caller():
        planted = os.geteuid() == 0 and owner_of(path.absolute().parent) is not None
    with rights_for_named(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | (os.O_NONBLOCK if planted else 0))
    if planted and not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NoFile(f"{path} is not a file", "look at it: another user may have put it there")
    return os.fdopen(descriptor, "rb")


class _AsCaller(MetaPathFinder):
    """Finds and loads modules as the caller: the other user may not be able to read Python's own files."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        with acting_as_caller():
            for finder in sys.meta_path:
                if finder is self or not hasattr(finder, "find_spec"):
                    continue
                spec = finder.find_spec(fullname, path, target)
                if spec is not None:
                    if spec.loader is not None:
                        spec.loader = _LoaderAsCaller(spec.loader)
                    return spec
        return None


class _LoaderAsCaller(Loader):
    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        with acting_as_caller():
            return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        with acting_as_caller():
            self._loader.exec_module(module)


@contextmanager
def _programs_files_readable() -> Iterator[None]:
    finder = _AsCaller()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
