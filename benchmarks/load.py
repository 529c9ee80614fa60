"""Rate, latency and processor time of whole conversations, against HAProxy and a bare Twisted relay in the same run.

    python -m benchmarks.load [--quick] [--systems gateway,lab] [--rounds 3]

A conversation is a connection, a bind, one request and its end. All systems carry the same ones to the same
host of canned answers alternately, so that whatever else the machine does affects them all alike; the lab answers
by itself. Rates and latencies mean something where the machine is otherwise idle; processor time, as a multiple of the
relay's, nearly everywhere.
"""

from __future__ import annotations

import argparse
import re
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks import harness
from benchmarks.canned import BIND, receive_pdu
from benchmarks.systems import BARE, HAPROXY, PEERS, SYSTEMS, Running, System, free_port, prepare, started

CLIENTS = (1, 8, 32, 64, 256)
#: Seconds that one measurement is to take, and conversations at least and at most.
SECONDS, LEAST, MOST = 1.0, 100, 20_000
#: Milliseconds each way to a host that is far.
FAR_MS = 20
#: Clients there, and conversations of one that is alone.
FAR_CLIENTS, FAR_ALONE = (1, 8, 32), 30
IDLE = 5000
#: How often each system is started to see how long it takes.
STARTS = 7
#: Seconds until a process aside is there.
SETTLING = 5.0
_RESULT = re.compile(r"done (\d+) errors (\d+) .* rate (\d+) p50us (\d+) p99us (\d+) ")


@dataclass(frozen=True, slots=True)
class Measured:
    """One measurement: conversations a second, milliseconds, and microseconds of processor time a conversation."""

    rate: float
    p50: float
    p99: float
    processor: float
    errors: int


def measure(tools: Path, running: Running, clients: int, conversations: int) -> Measured:
    """Have so many clients at once hold so many conversations in all."""
    before = running.processor_seconds()
    out = subprocess.run(
        [
            *(str(tools / "rpcload"), "127.0.0.1", str(running.port), str(clients), str(conversations)),
            *(str(tools / "bind.bin"), str(tools / "req.bin")),
        ],
        capture_output=True,
        text=True,
    ).stdout
    spent = running.processor_seconds() - before
    found = _RESULT.match(out)
    if found is None:
        raise RuntimeError(f"the load generator said {out!r}")
    done, errors, rate, p50, p99 = map(int, found.groups())
    return Measured(rate, p50 / 1000, p99 / 1000, spent / max(done, 1) * 1e6, errors)


def median(measured: Sequence[Measured]) -> Measured:
    """The medians of each figure; the errors of all."""
    names = ("rate", "p50", "p99", "processor")
    return Measured(
        *(statistics.median(getattr(one, name) for one in measured) for name in names),
        errors=sum(one.errors for one in measured),
    )


#: What was found: for each system and number of clients the measurements, in the order of the rounds.
Found = dict[System, dict[int, list[Measured]]]


def grid(
    tools: Path, systems: Sequence[System], host_port: int, clients: Sequence[int], rounds: int, *, alone: int = 300
) -> Found:
    """Measure all systems with each number of clients, one after the other in each round.

    A client that is alone holds `alone` conversations at most.
    """
    found: Found = {one: {number: [] for number in clients} for one in systems}
    with ExitStack() as stack:
        running = [(one, stack.enter_context(one.started(tools, host_port))) for one in systems]
        rates = {one: measure(tools, where, 32, 500).rate for one, where in running}
        for turn in range(rounds):
            for number in clients:
                for one, where in running:
                    many = min(MOST, max(LEAST, 4 * number, int(rates[one] * SECONDS)))
                    if number == 1:
                        many = min(many, alone)
                    found[one][number].append(measure(tools, where, number, many))
            print(f"load: round {turn + 1} of {rounds}", file=sys.stderr)
    return found


def ratio(found: Found, one: System, other: System, clients: int, figure: str) -> float:
    """The median over the rounds of one system's figure as a multiple of the other's in the same round."""
    pairs = zip(found[one][clients], found[other][clients], strict=True)
    return statistics.median(getattr(a, figure) / getattr(b, figure) for a, b in pairs)


def tables(found: Found) -> str:
    """The measurements as Markdown."""
    clients = next(iter(found.values()))
    lines = []
    for number in clients:
        lines += [
            f"### {number} client{'s' if number > 1 else ''} at once",
            "",
            "| system | conversations/s | p50, ms | p99, ms | processor, µs | errors | rate of HAProxy's "
            "| rate of the relay's | p99 of HAProxy's | processor of the relay's |",
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        ]
        for one in found:
            m = median(found[one][number])
            shares = [
                f"{ratio(found, one, other, number, figure):.2f}" if other in found else ""
                for other, figure in ((HAPROXY, "rate"), (BARE, "rate"), (HAPROXY, "p99"), (BARE, "processor"))
            ]
            figures = f"{m.rate:,.0f} | {m.p50:.2f} | {m.p99:.2f} | {m.processor:.0f}"
            lines.append(f"| {one.title} | {figures} | {m.errors} | {' | '.join(shares)} |")
        lines.append("")
    return "\n".join(lines)


def far(tools: Path, systems: Sequence[System], host_port: int, rounds: int) -> Found:
    """Measure the systems where the host is far away."""
    with ExitStack() as stack:
        delayed = free_port()
        relay = [sys.executable, str(PEERS / "delay.py"), str(delayed), str(host_port), str(FAR_MS / 1000)]
        folder = tools / "delay"
        folder.mkdir()
        stack.enter_context(started(relay, delayed, folder))
        return grid(tools, systems, delayed, FAR_CLIENTS, rounds, alone=FAR_ALONE)


def far_table(found: Found) -> str:
    """The medians of the rounds as Markdown."""
    rows = ""
    for one in found:
        p50s = " | ".join(f"{median(found[one][number]).p50:.0f}" for number in FAR_CLIENTS)
        shares = " | ".join(f"{ratio(found, one, HAPROXY, number, 'p50'):.2f}" for number in FAR_CLIENTS)
        rows += f"| {one.title} | {p50s} | {shares} |\n"
    numbers = [f"{number} at once" for number in FAR_CLIENTS]
    titles = " | ".join([f"p50, ms, {each}" for each in numbers] + [f"of HAProxy's, {each}" for each in numbers])
    return f"""![Medians against the number of clients, where the host is far](far.svg)

| system | {titles} |
| --- |{" ---: |" * 2 * len(FAR_CLIENTS)}
{rows}"""


def idle(tools: Path, system: System, host_port: int) -> str:
    """What a bound connection that waits costs in resident memory."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    number = min(IDLE, most - 200)
    with ExitStack() as stack:
        running = stack.enter_context(system.started(tools, host_port))
        measure(tools, running, 64, 2000)
        # So much load has a process aside started, which takes memory of its own.
        time.sleep(SETTLING)
        before = running.memory()
        for _ in range(number):
            peer = stack.enter_context(socket.create_connection(("127.0.0.1", running.port), timeout=10))
            peer.sendall(BIND)
            receive_pdu(peer)
        return f"{number:,} bound connections that wait: {(running.memory() - before) / number / 1000:.2f} kB each.\n"


def start(tools: Path, systems: Sequence[System], host_port: int) -> str:
    """How long each system takes until it listens, in starts by turns."""
    times: dict[str, list[tuple[float, float]]] = {one.title: [] for one in systems}
    for _ in range(STARTS):
        for one in systems:
            begun = time.perf_counter()
            with one.started(tools, host_port) as running:
                times[one.title].append((time.perf_counter() - begun, running.processor_seconds()))
    rows = ""
    for title, taken in times.items():
        wall, processor = (statistics.median(column) for column in zip(*taken, strict=True))
        rows += f"| {title} | {wall:.2f} | {processor:.2f} |\n"
    return f"| system | seconds until it listens | processor seconds |\n| --- | ---: | ---: |\n{rows}"


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="64 clients only, to the terminal only")
    parser.add_argument("--systems", help="names, with commas between: " + ", ".join(one.name for one in SYSTEMS))
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    names = chosen.systems.split(",") if chosen.systems else [one.name for one in SYSTEMS]
    wanted = [one for one in SYSTEMS if one.name in names]
    with ExitStack() as stack:
        tools = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kmstwist-load-")))
        prepare(tools)
        host_port = free_port()
        back = [str(tools / "rpcback"), str(host_port), str(tools / "ack.bin"), str(tools / "resp.bin")]
        stack.enter_context(started(back, host_port, tools))
        if chosen.quick:
            print(tables(grid(tools, wanted, host_port, (64,), chosen.rounds)))
            return
        # Only here: a quick look needs no library of plots.
        from benchmarks.plots import plot

        begun = time.monotonic()
        found = grid(tools, wanted, host_port, CLIENTS, chosen.rounds)
        gateways = [one for one in wanted if one.name in ("haproxy", "gateway", "gateway-off")]
        texts = {
            "Start": start(tools, [one for one in wanted if one.name in ("bare", "gateway", "lab")], host_port),
        }
        far_away = far(tools, gateways, host_port, chosen.rounds)
        texts[f"A host that is far ({FAR_MS} ms each way)"] = far_table(far_away) if HAPROXY in far_away else ""
        for one in gateways:
            if one.name == "gateway":
                texts["Idle connections"] = idle(tools, one, host_port)
    plot(found, harness.RESULTS / "load.svg")
    if far_away:
        plot(far_away, harness.RESULTS / "far.svg")
    sections = "\n".join(f"## {title}\n\n{text}" for title, text in texts.items())
    harness.report(
        "load",
        f"""# Load

{harness.machine()}; the load generator, the host behind and the system share the cores. Medians of {chosen.rounds}
rounds, in which the systems take turns; ratios are medians of the rounds' own. Whole conversations: connection, bind,
one request, end. `python -m benchmarks load` measures it again ({time.monotonic() - begun:.0f} s).

![Rate, median and 99th percentile against the number of clients](load.svg)

{tables(found)}
{sections}""",
    )


if __name__ == "__main__":
    main()
