"""What a batch costs the process aside that commits it: its own processor time, by records in the batch and machines.

    python -m benchmarks process_aside

Records of opaque calls, as a gateway's are, sent as the reactor sends them; the store is on the disk. A row's cost is
what one more record adds to a batch, a batch's own what is left without any: the two of a line through the medians.
"""

from __future__ import annotations

import os
import random
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks import harness
from kmstwist.audit.aside import process
from kmstwist.audit.aside.access import message
from kmstwist.audit.aside.committer import Committer
from kmstwist.audit.engine import open_engine
from kmstwist.audit.migrate import migrate
from kmstwist.audit.records import Phases, Record, RecordIds
from kmstwist.audit.rows import values_of
from kmstwist.audit.storefile import StoreFile
from kmstwist.reasons import Reason

SIZES = (1, 8, 16, 32, 64)
MACHINES = (1, 2000, 20_000)
#: Batches of each size in a round, and rounds.
BATCHES, ROUNDS = 40, 5
#: Records in a batch that fills the store, and for each machine.
_FILLING, _EACH = 500, 3


class Aside:
    """A store with so many machines in it, and a process aside that commits to it."""

    def __init__(self, folder: Path, machines: int) -> None:
        path = folder / "audit.sqlite"
        engine = open_engine(str(path))
        migrate(engine)
        engine.dispose()
        self._file = StoreFile(path)
        self._committer = Committer(path, self._file.identity, 1.0)
        self._committer.channel.setblocking(True)
        self._expect(process.READY)
        self._ids = RecordIds(os.urandom)
        self._clients = [f"10.{each >> 16}.{each >> 8 & 255}.{each & 255}" for each in range(machines)]
        for _ in range(max(1, machines * _EACH // _FILLING)):
            self.commit(self.batch(_FILLING))

    def batch(self, number: int) -> bytes:
        """Records of any of the machines, as the reactor sends them."""
        return message([values_of(self._record()) for _ in range(number)])

    def commit(self, batch: bytes) -> None:
        """Have it committed."""
        self._committer.channel.sendall(batch)
        self._expect(process.STORED)

    def processor_nanoseconds(self) -> int:
        """The processor time that the process has had."""
        return int(Path(f"/proc/{self._committer.pid}/schedstat").read_text().split()[0])

    def end(self) -> None:
        """End it."""
        self._committer.end()
        self._committer.channel.close()
        self._file.close()

    def _expect(self, answer: bytes) -> None:
        if (said := self._committer.channel.recv(1)) != answer:
            raise RuntimeError(f"the process aside said {said!r}, and not {answer!r}")

    def _record(self) -> Record:
        at = int(time.time() * 1000)
        client = random.choice(self._clients)
        answered = {"version": 6, "upstream": "kms1:1688", "hresult": 0, "bytes_in": 260, "bytes_out": 260}
        phases = Phases(random.random(), random.random())
        return Record(self._ids.make(at), at, "gw1", client, Reason.OK, phases=phases, **answered)


def measure(machines: int) -> list[float]:
    """Microseconds for a batch of each size."""
    took: dict[int, list[float]] = {size: [] for size in SIZES}
    with tempfile.TemporaryDirectory(prefix="kmstwist-aside-") as folder:
        aside = Aside(Path(folder), machines)
        for _ in range(ROUNDS):
            for size, found in took.items():
                batches = [aside.batch(size) for _ in range(BATCHES)]
                before = aside.processor_nanoseconds()
                for batch in batches:
                    aside.commit(batch)
                found.append((aside.processor_nanoseconds() - before) / BATCHES / 1000)
        aside.end()
    return [statistics.median(found) for found in took.values()]


def main() -> None:
    """Measure and report."""
    rows = ""
    for machines in MACHINES:
        took = measure(machines)
        of_a_row, of_a_batch = statistics.linear_regression(SIZES, took)
        figures = " | ".join(f"{each:.0f}" for each in took)
        rows += f"| {machines:,} | {figures} | {of_a_row:.1f} | {of_a_batch:.0f} |\n"
    sizes = " | ".join(f"batch of {size}" for size in SIZES)
    harness.report(
        "process_aside",
        f"""# The process aside

{harness.machine()}. Microseconds of its processor time for a batch; medians of {ROUNDS} rounds in turn.
`python -m benchmarks process_aside` measures it again.

| machines | {sizes} | a row | a batch by itself |
| ---: |{" ---: |" * (len(SIZES) + 2)}
{rows}""",
    )


if __name__ == "__main__":
    main()
