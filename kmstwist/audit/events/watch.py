"""Watching a folder for files of events.

By looking, not by inotify: the folder is most often a share that another machine writes to, where inotify hears
nothing. A file is imported when it has stopped growing, and again when it has changed; events already there change
nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from kmstwist.system.rights import rights_for_named

SUFFIXES = frozenset({".evtx", ".xml", ".json", ".jsonl", ".csv", ".txt"})


class Watcher:
    """Hands each settled new file of `folder` to `take`, once for each state the file is found in.

    A file for which `take` raises counts as not taken, and is tried again by the next look.
    """

    def __init__(self, folder: Path, take: Callable[[Path], object]) -> None:
        self._folder = folder
        self._take = take
        self._seen: dict[Path, tuple[int, int]] = {}
        self._taken: dict[Path, tuple[int, int]] = {}

    def scan(self) -> None:
        """Look once. Blocks; raises OSError for the folder, and what `take` raises."""
        with rights_for_named(self._folder / "*"):
            states = dict(self._states())
        ready = [path for path, state in states.items() if self._seen.get(path) == state != self._taken.get(path)]
        self._seen = states
        self._taken = {path: state for path, state in self._taken.items() if path in states}
        for path in ready:
            self._take(path)
            self._taken[path] = states[path]

    def _states(self) -> Iterator[tuple[Path, tuple[int, int]]]:
        for path in sorted(self._folder.iterdir()):
            if path.suffix.lower() not in SUFFIXES or not path.is_file():
                continue
            try:
                status = path.stat()
            except FileNotFoundError:
                # Gone since the folder was listed.
                continue
            yield path, (status.st_size, status.st_mtime_ns)
