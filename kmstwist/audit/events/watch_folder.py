"""Watching a folder for files of events.

It polls and does not use inotify: the folder is usually a share that another machine writes to, which inotify does not
notice. A file is imported when it has stopped growing, and again when it has changed; events already stored change
nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from kmstwist.system.rights import rights_for_named

SUFFIXES = frozenset({".evtx", ".xml", ".json", ".jsonl", ".ndjson", ".csv", ".txt"})


class Watcher:
    """Passes each file of `folder` that has stopped growing to `take`, once for each of its states.

    If `take` raises, the file is tried again by the next `scan`.
    """

    def __init__(self, folder: Path, take: Callable[[Path], object]) -> None:
        self._folder = folder
        self._take = take
        self._seen: dict[Path, tuple[int, int]] = {}
        self._taken: dict[Path, tuple[int, int]] = {}

    def scan(self) -> None:
        """Look at the folder once. Blocks; raises OSError for the folder, and whatever `take` raises."""
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
                # The file has gone since the folder was listed.
                continue
            yield path, (status.st_size, status.st_mtime_ns)
