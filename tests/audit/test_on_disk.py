"""A batch is on the disk, and not only with the kernel, before its calls are answered: a power cut takes no record."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import PATIENCE

#: Stores batches in its own thread, and then by the process aside; says so after each.
_PROGRAM = """
import os, sys
from kmstwist.audit.aside.committer import LARGE
from kmstwist.audit.storage import Storage
from tests.audit.making import START, opaque

storage = Storage(sys.argv[1], 1.0, lambda engine: None)
storage.open()
at = START
while storage.aside.committed < 5:
    before = storage.aside.committed
    batch = [opaque(at + number) for number in range(LARGE)]
    at += LARGE
    storage.prepared(batch)()
    os.write(1, b"aside\\n" if storage.aside.committed > before else b"here\\n")
storage.close()
"""
_SYNC = re.compile(r"\bf(?:data)?sync\(\d+<[^>]*/audit\.sqlite-wal>")
_SAID = re.compile(r'\bwrite\(1<[^>]*>, "(here|aside)\\n"')


@pytest.mark.needs("strace")
def test_each_batch_has_been_synced_before_its_calls_are_answered(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    strace = ["strace", "-f", "-y", "-e", "trace=fsync,fdatasync,write", "-o", str(trace)]
    done = subprocess.run(
        [*strace, sys.executable, "-c", _PROGRAM, str(tmp_path / "audit.sqlite")],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    if "not permitted" in done.stderr:
        pytest.skip("this system lets nobody trace a process")
    assert done.returncode == 0, done.stderr
    synced, stored = 0, {"here": 0, "aside": 0}
    for line in trace.read_text().splitlines():
        if _SYNC.search(line):
            synced += 1
        elif said := _SAID.search(line):
            assert synced, f"a batch stored {said[1]} was not synced"
            synced, stored[said[1]] = 0, stored[said[1]] + 1
    assert stored["here"] > 5
    assert stored["aside"] == 5
