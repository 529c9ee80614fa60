"""Runs the named trials, or all, within some minutes, and reports which promises held: `make trials`."""

from __future__ import annotations

import argparse
import importlib
import sys
import time

#: Each trial with its share of the time.
TRIALS = {"floods": 0.2, "upstreams": 0.15, "clocks": 0.1, "hangs": 0.1, "kills": 0.25, "soak": 0.2}


def main() -> int:
    """Returns the exit status: 1 if a promise did not hold."""
    parser = argparse.ArgumentParser(prog="python -m trials", description=__doc__)
    parser.add_argument("trials", nargs="*", help=f"any of {', '.join(TRIALS)}; all by default")
    parser.add_argument("--minutes", type=float, default=30.0, help="for all of them together")
    arguments = parser.parse_args()
    wanted = arguments.trials or list(TRIALS)
    if unknown := [name for name in wanted if name not in TRIALS]:
        parser.error(f"no trial {', '.join(unknown)}; there are {', '.join(TRIALS)}")
    whole = sum(TRIALS[name] for name in wanted)
    held = True
    for name in wanted:
        seconds = arguments.minutes * 60 * TRIALS[name] / whole
        print(f"== {name}, {seconds:.0f} s, from {time.strftime('%H:%M:%S')}", flush=True)
        for judgement in importlib.import_module(f"trials.{name}").run(seconds):
            print(judgement.line, flush=True)
            held &= judgement.held
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
