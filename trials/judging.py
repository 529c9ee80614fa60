"""What the trials share: a server to try, and the verdict at the end."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.system.running import Server


@dataclass(frozen=True)
class Judgement:
    """A promise, whether it held, and what was seen."""

    promise: str
    held: bool
    seen: str

    @property
    def line(self) -> str:
        """The verdict as a line of the report."""
        return f"{'held  ' if self.held else 'BROKEN'}  {self.promise}: {self.seen}"


@contextmanager
def lab(*options: str) -> Iterator[Server]:
    """A lab in a separate process, with a folder that is deleted afterwards."""
    scratch = tempfile.TemporaryDirectory(prefix="kmstwist-trial-")
    with scratch as folder, Server(Path(folder) / "state", *options) as one:
        yield one
        one.stop()
