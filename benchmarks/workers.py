"""What a conversation costs two workers, beside one, and beside two gateways that share nothing.

    python -m benchmarks workers [--clients 64] [--rounds 6]

Where the load generator and the host behind want the same cores, two workers cannot show their rate. What their
processes take for a conversation can be measured there: two that take as much as one, each, have twice its rate where
there are cores. The two gateways, each with half of the clients and a store of its own, are the control: what two
busy processes take more than one on the same cores is the machine's, what two workers take more than those is theirs.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks import harness
from benchmarks.systems import SYSTEMS, Running, free_port, is_aside, prepare, processor_nanoseconds, started

#: Conversations of each load, and seconds until processes aside are there.
EACH, _SETTLING = 3000, 4.0
_DONE = re.compile(r"done (\d+) errors (\d+) ")


@dataclass(frozen=True, slots=True)
class Cost:
    """Conversations a second, and microseconds of processor time a conversation: of the servers, of those aside."""

    rate: float
    servers: float
    aside: float


def measure(tools: Path, loads: Sequence[tuple[Running, int]], *, addresses: int = 0, first: int = 0) -> Cost:
    """Have each of these systems hold conversations with so many clients at once, all at the same time.

    With `addresses`, the clients come from so many, beginning with the one of number `first`.
    """
    before = _spent(loads)
    begun = time.monotonic()
    generators = [
        subprocess.Popen(
            [
                *(str(tools / "rpcload"), "127.0.0.1", str(running.port), str(clients), str(EACH)),
                *(str(tools / "bind.bin"), str(tools / "req.bin")),
                *("1", *map(str, (addresses, 0, 0, first))),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        for running, clients in loads
    ]
    done = 0
    for one in generators:
        said, _ = one.communicate()
        found = _DONE.match(said)
        if found is None or found[2] != "0":
            raise RuntimeError(f"the load generator said {said!r}")
        done += int(found[1])
    rate = done / (time.monotonic() - begun)
    servers, aside = (
        sum(spent - before.get(pid, 0) for pid, spent in _spent(loads).items() if is_aside(pid) is wanted) / 1000 / done
        for wanted in (False, True)
    )
    return Cost(rate, servers, aside)


def _spent(loads: Sequence[tuple[Running, int]]) -> Mapping[int, int]:
    return {pid: processor_nanoseconds(pid) for running, _ in loads for pid in running.processes()}


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks workers", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--clients", type=int, default=64, help="at once, of one worker; 64 by default")
    parser.add_argument("--rounds", type=int, default=6)
    chosen = parser.parse_args()
    clients = chosen.clients
    one, two = (next(each for each in SYSTEMS if each.name == name) for name in ("gateway", "gateway-2"))
    with ExitStack() as stack:
        tools = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kmstwist-workers-")))
        prepare(tools)
        host_port = free_port()
        back = [str(tools / "rpcback"), str(host_port), str(tools / "ack.bin"), str(tools / "resp.bin")]
        stack.enter_context(started(back, host_port, tools))
        first, second, both = (stack.enter_context(each.started(tools, host_port)) for each in (one, one, two))
        cases: dict[str, list[tuple[Running, int]]] = {
            f"one worker, {clients} clients": [(first, clients)],
            f"two workers, {clients} clients": [(both, clients)],
            f"two workers, {2 * clients} clients": [(both, 2 * clients)],
            f"two gateways, {clients} clients each": [(first, clients), (second, clients)],
        }
        for _ in range(2):
            for loads in cases.values():
                measure(tools, loads)
            time.sleep(_SETTLING)
        found: dict[str, list[Cost]] = {case: [] for case in cases}
        for _ in range(chosen.rounds):
            for case, loads in cases.items():
                found[case].append(measure(tools, loads))
    alone = found[next(iter(cases))]
    rows = ""
    for case, costs in found.items():
        rate, servers, aside = (
            statistics.median(getattr(each, name) for each in costs) for name in ("rate", "servers", "aside")
        )
        processes = 1 if costs is alone else 2
        times = statistics.median(processes * a.servers / b.servers for a, b in zip(alone, costs, strict=True))
        rows += f"| {case} | {servers:.0f} | {aside:.0f} | {times:.2f} | {rate:,.0f} |\n"
    harness.report(
        "workers",
        f"""# Two workers

{harness.machine()}; everything on, medians of {chosen.rounds} rounds in turn. Processor time of the servers, and of the
processes aside, for a conversation; what that comes to of one worker's rate where each process has a core; and the rate
there was, which the load generator and the host behind took part of. `python -m benchmarks workers` measures it again.

| | servers, µs | aside, µs | of one's rate | conversations/s here |
| --- | ---: | ---: | ---: | ---: |
{rows}""",
    )


if __name__ == "__main__":
    main()
