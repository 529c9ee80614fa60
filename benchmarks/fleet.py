"""What a fleet in virtual time costs: a machine-day, the growth with the number of machines, the clock's share."""

from __future__ import annotations

import resource
import sys
import time

from twisted.internet.task import Clock

from benchmarks.harness import machine, report
from kmstwist.lab.fleet.clock import VirtualClock
from kmstwist.lab.fleet.scenario import Scenario, parse
from kmstwist.lab.fleet.simulation import Fleet

DAYS = 400
SIZES = (12_500, 25_000, 50_000)
PENDING = (1_000, 10_000, 100_000)


def scenario(machines: int, away: list[dict[str, float]]) -> Scenario:
    return parse(
        {
            "name": "benchmark",
            "days": DAYS,
            "host": [{"name": "kms1", "outages": away}, {"name": "kms2", "outages": away}],
            "site": [{"name": "site", "srv": [{"host": "kms1"}, {"host": "kms2"}]}],
            "machines": [
                {
                    "name": "PC",
                    "site": "site",
                    "count": machines,
                    "products": ["Windows 11 / 10 Enterprise"],
                    "joins": {"over_days": 20},
                    "office_hours": {},
                }
            ],
        },
        "benchmark",
    )


def run(wanted: Scenario) -> tuple[float, int]:
    """Seconds of processor time, and the attempts made in them."""
    fleet = Fleet(wanted)
    begin = time.process_time()
    result = fleet.run()
    return time.process_time() - begin, result.attempts


def per_event(clock: VirtualClock | Clock, pending: int, events: int) -> float:
    """Microseconds to make one call and ask for the next, with so many pending."""

    def again(number: int) -> None:
        clock.callLater(100 + number % 7, again, number)

    for number in range(pending):
        if isinstance(clock, Clock):
            # callLater would sort all of them for each: minutes of setting up.
            clock.calls.append(_delayed(clock, 100 * number / pending, again, number))
        else:
            clock.callLater(100 * number / pending, again, number)
    begin = time.process_time()
    clock.advance(100 * events / pending)
    return (time.process_time() - begin) / events * 1e6


def _delayed(clock: Clock, delay: float, function, number: int):
    alone = Clock()
    alone.rightNow = clock.rightNow
    return alone.callLater(delay, function, number)


def main() -> None:
    lines = [
        "# A fleet in virtual time",
        "",
        f"{machine()}. One core; seconds are processor time. {DAYS} days, two hosts, office hours, both hosts away for",
        "three weeks. `python -m benchmarks fleet` measures it again.",
        "",
        "| machines | attempts | seconds | µs per machine-day | µs per attempt | most memory, MB |",
        "| ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    costs: list[float] = []
    for size in SIZES:
        seconds, attempts = run(scenario(size, [{"from_day": 100, "days": 21}]))
        costs.append(seconds / size)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        lines.append(
            f"| {size:,} | {attempts:,} | {seconds:.1f} | {seconds / size / DAYS * 1e6:.2f} | "
            f"{seconds / attempts * 1e6:.2f} | {memory} |"
        )
        print(lines[-1], file=sys.stderr)
    lines += [
        "",
        f"A machine costs {costs[-1] / costs[0]:.2f} times as much among {SIZES[-1]:,} as among {SIZES[0]:,}: growth "
        "is linear but for the heap's logarithm and the processor's caches.",
        "",
        "Both hosts away for seven months, when every machine tries every two hours of its day:",
        "",
        "| machines | attempts | seconds | µs per attempt |",
        "| ---: | ---: | ---: | ---: |",
    ]
    seconds, attempts = run(scenario(SIZES[0], [{"from_day": 100, "days": 213}]))
    lines.append(f"| {SIZES[0]:,} | {attempts:,} | {seconds:.1f} | {seconds / attempts * 1e6:.2f} |")
    lines += [
        "",
        "Why a clock of our own: microseconds to make a call and ask for the next, with so many calls pending.",
        "",
        "| pending | `task.Clock` | `VirtualClock` |",
        "| ---: | ---: | ---: |",
    ]
    for pending in PENDING:
        theirs = min(per_event(Clock(), pending, 20) for _ in range(3))
        ours = min(per_event(VirtualClock(), pending, 900) for _ in range(3))
        lines.append(f"| {pending:,} | {theirs:,.0f} | {ours:.1f} |")
    report("fleet", "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
