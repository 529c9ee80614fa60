"""What a conversation costs with ten and a hundred times the clients, remembered addresses, upstreams and records.

    python -m benchmarks growth

All of a gateway's work in memory, as in `call_path`, with everything on. Calls of Python functions are counted, which
are the same on every machine, and the processor's time beside them: work within a call (a sum over a list, SQLite's
search in an index) shows there only. For the records it is the time of a record's share of a batch of 64, on the disk.

A whole call is one of a gateway in processes of its own, with sockets, a host behind and 64 clients at once: the
processor time of the server and of its process aside, beside a store of records from so many addresses, which call in
no order of theirs.
"""

from __future__ import annotations

import os
import random
import statistics
import tempfile
import time
from bisect import insort
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from ipaddress import IPv4Address
from itertools import cycle
from pathlib import Path

from twisted.internet.base import DelayedCall
from twisted.internet.task import Clock

from benchmarks import harness
from benchmarks.call_path import Gateway
from benchmarks.large_store import DAY_MS, Size, fill, generate
from benchmarks.systems import SYSTEMS, Place, Running, free_port, prepare, started
from benchmarks.workers import EACH
from benchmarks.workers import measure as measure_calls
from kmstwist.audit.engine import open_engine
from kmstwist.audit.inserting import commit_batch
from kmstwist.audit.migrate import migrate
from kmstwist.audit.plain.defaults import STORE_FILE_NAME
from kmstwist.audit.records import Phases, Record, RecordIds
from kmstwist.audit.store import insert_batch
from kmstwist.reasons import Reason

TIMES = (1, 10, 100)
AT_ONCE = 20
BATCH, BATCHES = 64, 100
#: Clients at once of a whole gateway, how often it is measured, and how often before: until all addresses have come.
AT_A_TIME, ROUNDS, WARMING = 64, 12, 8
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


class _Clock(Clock):
    """A clock that puts a delayed call where it belongs, as a reactor does. Twisted's sorts all of them each time."""

    def callLater(
        self, delay: float, callable: Callable[..., object], *arguments: object, **named: object
    ) -> DelayedCall:
        """Call it when the time has come."""
        at = self.seconds() + delay
        call = DelayedCall(at, callable, arguments, named, self.calls.remove, self._moved, self.seconds)
        self._put(call)
        return call

    def _put(self, call: DelayedCall) -> None:
        insort(self.calls, call, key=DelayedCall.getTime)

    def _moved(self, call: DelayedCall) -> None:
        self.calls.remove(call)
        self._put(call)

    def advance(self, amount: float) -> None:
        """Let so many seconds pass."""
        self.rightNow += amount
        while self.calls and self.calls[0].getTime() <= self.rightNow:
            call = self.calls.pop(0)
            call.called = 1
            call.func(*call.args, **call.kw)


def upstreams(folder: Path, times: int) -> Cost:
    """Hosts behind, all of them well."""
    gateway = Gateway(folder, audit=True, at_once=AT_ONCE, upstreams=UPSTREAMS * times, clock=_Clock())
    gateway.addresses = _addresses(AT_ONCE)
    return _cost(gateway)


def addresses_and_upstreams(folder: Path, times: int) -> Cost:
    """Many of both: all clients come in turn, so that each was seen before and none lately. No audit."""
    gateway = Gateway(folder, audit=False, at_once=AT_ONCE, upstreams=UPSTREAMS * times, clock=_Clock())
    gateway.addresses = _addresses(ADDRESSES * times)
    for _ in range(ADDRESSES * times // AT_ONCE):
        gateway.converse()
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


def whole_calls() -> tuple[list[float], list[float]]:
    """Microseconds of a call for each of `TIMES`: of the server, and of its process aside.

    The least of some rounds, since whatever disturbs a round only makes it longer.
    """
    with ExitStack() as stack:
        tools = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kmstwist-growth-")))
        prepare(tools)
        host_port = free_port()
        back = [str(tools / "rpcback"), str(host_port), str(tools / "ack.bin"), str(tools / "resp.bin")]
        stack.enter_context(started(back, host_port, tools))
        gateways = [stack.enter_context(_gateway(tools, host_port, times)) for times in TIMES]
        took: list[list[Cost]] = [[] for _ in TIMES]
        for number in range(WARMING + ROUNDS):
            for times, gateway, costs in zip(TIMES, gateways, took, strict=True):
                cost = measure_calls(tools, [(gateway, AT_A_TIME)], addresses=ADDRESSES * times, first=number * EACH)
                if number >= WARMING:
                    costs.append((cost.servers, cost.aside))
    return [min(servers for servers, _ in costs) for costs in took], [
        min(aside for _, aside in costs) for costs in took
    ]


@contextmanager
def _gateway(tools: Path, host_port: int, times: int) -> Iterator[Running]:
    """A gateway with everything on, whose store has records of so many addresses of the load generator's."""
    folder = Path(tempfile.mkdtemp(dir=tools))
    port = free_port()
    command = next(each for each in SYSTEMS if each.name == "gateway").command(Place(tools, folder, port, host_port))
    engine = open_engine(str(folder / STORE_FILE_NAME))
    migrate(engine)
    ids, first, year = RecordIds(os.urandom), int(IPv4Address("127.1.0.0")), 365 * DAY_MS
    clients = [str(IPv4Address(first + number)) for number in range(ADDRESSES * times)]
    begin, made = int(time.time() * 1000) - year, 0
    for _ in range(RECORDS // ADDRESSES):
        random.shuffle(clients)
        batch = []
        for client in clients:
            at = begin + year * made // (RECORDS * times)
            made += 1
            answered = {"version": 6, "upstream": f"127.0.0.1:{host_port}", "hresult": 0}
            phases = Phases(0.4, 20.0)
            batch.append(Record(ids.make(at), at, "gw1", client, Reason.OK, phases=phases, bytes_in=260, **answered))
        insert_batch(engine, batch)
    engine.dispose()
    with started(command, port, folder) as running:
        yield running


#: What grows, in words, and what measures it at so many times.
GROWING: Mapping[str, Callable[[Path, int], Cost]] = {
    f"clients at once ({CLIENTS})": clients,
    f"remembered addresses ({ADDRESSES})": addresses,
    f"upstreams ({UPSTREAMS})": upstreams,
    f"addresses ({ADDRESSES}) and upstreams ({UPSTREAMS}), no audit": addresses_and_upstreams,
    f"records in the store ({RECORDS:,})": records,
}


#: The lines of whole calls.
_SERVER = f"a whole call, {RECORDS:,} records of {ADDRESSES} addresses: the server"
_ASIDE = "the same: the process aside, which stores its record"


def measure() -> dict[str, Sequence[Cost]]:
    """The costs of each at 1, 10 and 100 times. Calls of functions are not counted (0) in a whole call."""
    found: dict[str, Sequence[Cost]] = {}
    for name, cost in GROWING.items():
        costs = []
        for times in TIMES:
            with tempfile.TemporaryDirectory(prefix="kmstwist-growth-") as folder:
                costs.append(cost(Path(folder), times))
        found[name] = costs
    for name, took in zip((_SERVER, _ASIDE), whole_calls(), strict=True):
        found[name] = [(0, each) for each in took]
    return found


def main() -> None:
    """Measure and report."""
    # Only here: whoever counts needs no library of plots.
    from benchmarks.plots import plot_growth

    found = measure()
    plot_growth(found, TIMES, harness.RESULTS / "growth.svg")
    rows = "\n".join(
        f"| {name} | {' | '.join(f'{counted:.0f}' if counted else '' for counted, _ in costs)} | "
        f"{' | '.join(f'{took:.1f}' for _, took in costs)} | {costs[-1][1] / costs[0][1]:.2f} |"
        for name, costs in found.items()
    )
    harness.report(
        "growth",
        f"""# Growth

{harness.machine()}. A conversation in memory with everything on, a record of
a batch of {BATCH}, or a call of a whole gateway in processes of its own, {AT_A_TIME} clients at once: calls of Python
functions, and microseconds of processor time. Whole calls: the least of {ROUNDS} rounds in turn.
`python -m benchmarks growth` measures it again.

![Microseconds against how many times as much there is](growth.svg)

| what grows (how many) | calls, once | 10 times | 100 times | µs, once | 10 times | 100 times | 100 times of once |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
{rows}
""",
    )


if __name__ == "__main__":
    main()
