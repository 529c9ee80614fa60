"""A batch is on the disk, not only in the kernel's cache, before its calls are answered: a power cut loses none."""

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
from pathlib import Path
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import react
from kmstwist.audit.aside.access import MANY
from tests.audit.busy import Busy

async def store():
    busy = Busy(Path(sys.argv[1]))
    aside = 0
    while aside < 5:
        # As many in a second as have the process started.
        for _ in range(MANY):
            before = busy.access.stored_aside
            await busy.store(busy.batch(1))
            by_the_process = busy.access.stored_aside > before
            aside += by_the_process
            os.write(1, b"aside\\n" if by_the_process else b"here\\n")
            if aside == 5:
                break
        busy.access.tick()
    await busy.close()
    busy.thread.stop()

react(lambda reactor: ensureDeferred(store()))
"""
_SYNC = re.compile(r"\bf(?:data)?sync\(\d+<[^>]*/audit\.sqlite-wal>")
_SAID = re.compile(r'\bwrite\(1<[^>]*>, "(here|aside)\\n"')


@pytest.mark.needs("strace")
def test_each_batch_has_been_synced_before_its_calls_are_answered(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    strace = ["strace", "-f", "-y", "-e", "trace=fsync,fdatasync,write", "-o", str(trace)]
    done = subprocess.run(
        [*strace, sys.executable, "-c", _PROGRAM, str(tmp_path)],
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
