"""What the trials share: a server to try, and what is said of it in the end."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.system.running import Server


@dataclass(frozen=True)
class Judgement:
    """What was promised, whether it held, and what was seen."""

    promise: str
    held: bool
    seen: str

    @property
    def line(self) -> str:
        """For the report."""
        return f"{'held  ' if self.held else 'BROKEN'}  {self.promise}: {self.seen}"


@contextmanager
def lab(*options: str) -> Iterator[Server]:
    """A lab as a process of its own, with a folder that is gone afterwards."""
    scratch = tempfile.TemporaryDirectory(prefix="kmstwist-trial-")
    with scratch as folder, Server(Path(folder) / "state", *options) as one:
        yield one
        one.stop()
