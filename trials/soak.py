"""Under a steady load, neither memory nor descriptors grow, in the server or in the process aside."""

from __future__ import annotations

import os
import time
from pathlib import Path

from trials.judging import Judgement, lab
from trials.kills import Crowd, aside_of

#: By how many bytes memory may grow after the first quarter, while caches fill: SQLite's in the process aside, 64 MiB.
_GROWTH, _GROWTH_ASIDE = 32 << 20, 96 << 20


def resident(pid: int) -> int:
    """A process's resident memory, in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def descriptors(pid: int) -> int:
    """How many descriptors a process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def run(seconds: float) -> list[Judgement]:
    """A crowd for the whole time; measured after its first quarter and at its end."""
    with lab() as server:
        pid = server.process.pid
        crowd = Crowd(server.port)
        time.sleep(seconds / 4)
        memory, asides = resident(pid), aside_of(pid)
        before = [(resident(each), descriptors(each)) for each in asides]
        time.sleep(seconds * 3 / 4)
        grown, asides_then = resident(pid) - memory, aside_of(pid)
        after = [(resident(each), descriptors(each)) for each in asides_then]
        answered = crowd.end()
        # The last connections end a moment after their clients.
        time.sleep(1)
        open_ones = descriptors(pid)
    text = f"{answered} calls, {grown / 2**20:.1f} MiB more, {open_ones} descriptors open at the end"
    judgements = [Judgement("memory and descriptors do not grow", grown < _GROWTH and open_ones < 40, text)]
    if asides:
        held = asides == asides_then and all(
            then[0] - now[0] < _GROWTH_ASIDE and then[1] == now[1] for now, then in zip(before, after, strict=True)
        )
        more = (sum(memory for memory, _ in after) - sum(memory for memory, _ in before)) / 2**20
        text = f"{more:.1f} MiB more, {sum(number for _, number in after)} descriptors"
        judgements.append(Judgement("nor do those of the process that commits, which stays", held, text))
    return judgements
