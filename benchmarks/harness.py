"""What benchmarks share: timing, the machine's description, and where results go."""

from __future__ import annotations

import cProfile
import gc
import io
import os
import platform
import pstats
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

RESULTS = Path(__file__).parent / "results"


def microseconds(function: Callable[[], object], *, rounds: int = 15, seconds: float = 0.15) -> float:
    """Microseconds of processor time a call takes.

    The best of some rounds, since whatever disturbs a round only makes it longer.
    """
    calls = 1
    while (took := _time(function, calls)) < seconds / 10:
        calls *= 4
    calls = max(1, int(calls * seconds / took))
    gc.collect()
    return min(_time(function, calls) for _ in range(rounds)) / calls * 1e6


def _time(function: Callable[[], object], calls: int) -> float:
    begin = time.process_time()
    for _ in range(calls):
        function()
    return time.process_time() - begin


def calls(function: Callable[[], object]) -> int:
    """How many Python functions a call of this one calls."""
    counted = -1

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal counted
        counted += event == "call"

    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(None)
    return counted


def profile(function: Callable[[], object], calls: int, lines: int) -> str:
    """The functions that take most of the time themselves, as cProfile has it; paths are cut to file names."""
    profiler = cProfile.Profile()
    profiler.enable()
    for _ in range(calls):
        function()
    profiler.disable()
    out = io.StringIO()
    pstats.Stats(profiler, stream=out).strip_dirs().sort_stats("tottime").print_stats(lines)
    body = out.getvalue().partition("Ordered by")[2].splitlines()
    return "\n".join(line.rstrip() for line in body if line.strip())[len(": internal time\n") :]


def machine() -> str:
    """The machine and the interpreter, in a line."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    cores = len(os.sched_getaffinity(0))
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{model}, {cores} cores, Linux {platform.release().partition('-')[0]}, {python}"


def report(name: str, text: str) -> None:
    """Print a benchmark's report and keep it as `results/NAME.md`."""
    print(text)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text(text, encoding="utf-8")
