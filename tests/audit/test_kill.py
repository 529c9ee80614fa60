"""SIGKILL at random under load, a hundred times: nothing acknowledged is missing, nothing is doubled."""

from __future__ import annotations

import multiprocessing
import os
import random
from pathlib import Path

import pytest
from sqlalchemy import func, select

from kmstwist.audit import schema
from kmstwist.audit.engine import open_engine, reading
from kmstwist.audit.upkeep.verify import verify
from tests.audit.killed_child import serve

LIVES = 100
SEED = 20240601


def live_and_die(context: multiprocessing.context.ForkServerContext, store: Path, life: int, acks: int) -> bytes:
    """Run a server on the store, kill it once it has acknowledged `acks` records or more; what it acknowledged."""
    fifo = store.with_name(f"life{life}")
    os.mkfifo(fifo)
    # Open for both, so that opening waits for nobody; the child's end is all that is left once this one is closed.
    mine = os.open(fifo, os.O_RDWR)
    child = context.Process(target=_child, args=(str(store), str(fifo), life))
    child.start()
    seen = b""
    while len(seen) < acks * 16:
        seen += os.read(mine, 65536)
    child.kill()
    child.join()
    assert child.exitcode == -9
    os.set_blocking(mine, False)
    try:
        while more := os.read(mine, 65536):
            seen += more
    except BlockingIOError:
        pass
    os.close(mine)
    fifo.unlink()
    return seen


def _child(store: str, fifo: str, life: int) -> None:
    serve(store, os.open(fifo, os.O_WRONLY), life)


@pytest.mark.long
def test_no_acknowledged_record_is_missing_and_none_doubled_after_a_hundred_kills(tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.audit.killed_child"])
    chance = random.Random(SEED)
    path = tmp_path / "audit.sqlite"
    acknowledged: set[bytes] = set()
    for life in range(LIVES):
        told = live_and_die(context, path, life, chance.randrange(1, 600))
        ids = [told[at : at + 16] for at in range(0, len(told), 16)]
        assert len(ids) == len(set(ids))
        acknowledged.update(ids)

    store = open_engine(str(path))
    with reading(store) as connection:
        stored = [bytes(row[0]) for row in connection.execute(select(schema.records.c.record_id))]
        calls = connection.scalar(select(func.sum(schema.machines.c.calls)))
    assert len(acknowledged) >= LIVES
    assert acknowledged - set(stored) == set()
    assert len(stored) == len(set(stored)) == calls
    assert verify(store) == []
    store.dispose()
