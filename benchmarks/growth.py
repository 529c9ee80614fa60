"""What a conversation costs with ten and a hundred times the clients, remembered addresses, upstreams and records.

    python -m benchmarks growth

All of a gateway's work in memory, as in `call_path`, with everything on. Calls of Python functions are counted, which
are the same on every machine, and the processor's time beside them: work within a call (a sum over a list, SQLite's
search in an index) shows there only. For the records it is the time of a record's share of a batch of 64, on the disk.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import cycle
from pathlib import Path

from benchmarks import harness
from benchmarks.call_path import Gateway
from benchmarks.large_store import Size, fill, generate
from kmstwist.audit.engine import open_engine
from kmstwist.audit.inserting import commit_batch

TIMES = (1, 10, 100)
AT_ONCE = 20
BATCH, BATCHES = 64, 100
#: What is multiplied: its name in results, and how many there are at 1.
CLIENTS, ADDRESSES, UPSTREAMS, RECORDS = 10, 200, 2, 2000

#: Calls of functions and microseconds, for one conversation or record.
Cost = tuple[float, float]


def _addresses(number: int) -> Iterator[str]:
    return cycle([f"10.{16 + each // 62_500}.{each // 250 % 250}.{1 + each % 250}" for each in range(number)])


def _cost(gateway: Gateway) -> Cost:
    gateway.converse()
    counted = harness.calls(gateway.converse) / gateway.at_once
    return counted, harness.microseconds(gateway.converse, rounds=5, seconds=0.2) / gateway.at_once


def clients(folder: Path, times: int) -> Cost:
    """So many at once, each from an address of its own."""
    gateway = Gateway(folder, audit=True, at_once=CLIENTS * times)
    gateway.addresses = _addresses(CLIENTS * times)
    return _cost(gateway)


def addresses(folder: Path, times: int) -> Cost:
    """Clients that were there before; those that are measured are some of them."""
    gateway = Gateway(folder, audit=True, at_once=AT_ONCE)
    gateway.addresses = _addresses(ADDRESSES * times)
    for _ in range(ADDRESSES * times // AT_ONCE):
        gateway.converse()
    gateway.addresses = _addresses(AT_ONCE)
    return _cost(gateway)


def upstreams(folder: Path, times: int) -> Cost:
    """Hosts behind, all of them well."""
    gateway = Gateway(folder, audit=True, at_once=AT_ONCE, upstreams=UPSTREAMS * times)
    gateway.addresses = _addresses(AT_ONCE)
    return _cost(gateway)


def records(folder: Path, times: int) -> Cost:
    """In the store that a batch is added to, of a machine for each ten."""
    number = RECORDS * times
    size = Size(number, number // 10, 30, 20, 4, 1)
    fill(folder / "audit.sqlite", size)
    engine = open_engine(str(folder / "audit.sqlite"))
    following = generate(Size(10**6, number // 10, 30, 20, 4, 2))
    batches = [[next(following) for _ in range(BATCH)] for _ in range(BATCHES)]
    took = []
    try:
        counted = harness.calls(lambda: commit_batch(engine, batches.pop()))
        while batches:
            begun = time.process_time()
            commit_batch(engine, batches.pop())
            took.append(time.process_time() - begun)
    finally:
        engine.dispose()
    return counted / BATCH, statistics.median(took) * 1e6 / BATCH


#: What grows, in words, and what measures it at so many times.
GROWING: Mapping[str, Callable[[Path, int], Cost]] = {
    f"clients at once ({CLIENTS})": clients,
    f"remembered addresses ({ADDRESSES})": addresses,
    f"upstreams ({UPSTREAMS})": upstreams,
    f"records in the store ({RECORDS:,})": records,
}


def measure() -> dict[str, list[Cost]]:
    """The costs of each at 1, 10 and 100 times."""
    found: dict[str, list[Cost]] = {}
    for name, cost in GROWING.items():
        found[name] = []
        for times in TIMES:
            with tempfile.TemporaryDirectory(prefix="kmstwist-growth-") as folder:
                found[name].append(cost(Path(folder), times))
    return found


def main() -> None:
    """Measure and report."""
    # Only here: whoever counts needs no library of plots.
    from benchmarks.plots import plot_growth

    found = measure()
    plot_growth(found, TIMES, harness.RESULTS / "growth.svg")
    rows = "\n".join(
        f"| {name} | {' | '.join(f'{counted:.0f}' for counted, _ in costs)} | "
        f"{' | '.join(f'{took:.1f}' for _, took in costs)} | {costs[-1][1] / costs[0][1]:.2f} |"
        for name, costs in found.items()
    )
    harness.report(
        "growth",
        f"""# Growth

{harness.machine()}. A conversation in memory with everything on, or a record of a batch of {BATCH}: calls of Python
functions, and microseconds of processor time. `python -m benchmarks growth` measures it again.

![Microseconds against how many times as much there is](growth.svg)

| what grows (how many) | calls, once | 10 times | 100 times | µs, once | 10 times | 100 times | 100 times of once |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
{rows}
""",
    )


if __name__ == "__main__":
    main()
