"""Watching a folder for files of events.

By looking, not by inotify: the folder is most often a share that another machine writes to, where inotify hears
nothing. A file is imported when it has stopped growing, and again when it has changed; events already there change
nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

R = TypeVar("R")

SUFFIXES = frozenset({".evtx", ".xml", ".json", ".csv"})


class Watcher(Generic[R]):
    """Hands each settled new file of `folder` to `take`, once for each state the file is found in."""

    def __init__(self, folder: Path, take: Callable[[Path], R]) -> None:
        self._folder = folder
        self._take = take
        self._seen: dict[Path, tuple[int, int]] = {}
        self._taken: dict[Path, tuple[int, int]] = {}

    def scan(self) -> list[R]:
        """Look once; what `take` returned for the files that were ready. Blocks; raises OSError for the folder."""
        results = []
        states: dict[Path, tuple[int, int]] = {}
        for path in sorted(self._folder.iterdir()):
            if path.suffix.lower() not in SUFFIXES or not path.is_file():
                continue
            try:
                status = path.stat()
            except FileNotFoundError:
                # Gone since the folder was listed.
                continue
            state = (status.st_size, status.st_mtime_ns)
            states[path] = state
            if self._seen.get(path) == state and self._taken.get(path) != state:
                self._taken[path] = state
                results.append(self._take(path))
        self._seen = states
        self._taken = {path: state for path, state in self._taken.items() if path in states}
        return results
