"""Fuzz the RPC code and the readers of events for a bounded time: `python fuzz/run.py --seconds 600`.

With atheris (`pip install 'kmstwist[fuzz]'`) it is coverage-guided; where atheris does not support this Python, the
same targets run on seeds that are mutated at random. Each target gets its share of the time in a process of its own.
What is found is written to fuzz/found/ and the exit status is 1; growing memory counts as a finding.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]
FOUND = HERE / "found"
#: The targets with their shares of the time. The server's side has the most states.
SHARES = (("server", 0.4), ("client", 0.2), ("codec", 0.15), ("events", 0.25))
#: How much the random driver's process may grow between its first quarter and its end, in KiB.
GROWTH_KIB = 64 * 1024
#: The most memory a target's process may take, in MiB; atheris' own bookkeeping is most of it.
RSS_MIB = 1024


def have_atheris() -> bool:
    """Whether atheris can be imported by this Python."""
    try:
        import atheris  # noqa: F401
    except ImportError:
        return False
    return True


def run_atheris(name: str, seconds: int) -> int:
    """Run a target under atheris in this process, which does not return."""
    import atheris

    with atheris.instrument_imports(include=["kmstwist.rpc", "kmstwist.audit.events", "kmstwist.collecting"]):
        import targets
    with tempfile.TemporaryDirectory() as discovered:
        atheris.Setup(
            [
                sys.argv[0],
                discovered,
                str(HERE / "corpus" / name),
                f"-max_total_time={seconds}",
                f"-artifact_prefix={FOUND}/{name}-",
                f"-rss_limit_mb={RSS_MIB}",
                "-max_len=20000",
                "-timeout=10",
                "-print_final_stats=1",
                "-verbosity=0",
            ],
            targets.TARGETS[name],
        )
        atheris.Fuzz()
    return 0


def run_random(name: str, seconds: float, seed: int) -> int:
    """Run a target on mutated seeds; 1 if it raised or its process kept growing."""
    import targets

    target = targets.TARGETS[name]
    seeds = [path.read_bytes() for path in sorted((HERE / "corpus" / name).iterdir())]
    choice = random.Random(seed)
    inputs = 0
    begin = time.monotonic()
    early = 0
    while (elapsed := time.monotonic() - begin) < seconds:
        data = mutate(choice, seeds)
        try:
            target(data)
        except Exception:
            path = FOUND / f"{name}-{inputs}"
            path.write_bytes(data)
            print(f"{name}: an input that fails was written to {path}")
            raise
        inputs += 1
        if not early and elapsed > seconds / 4:
            early = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    growth = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - early if early else 0
    print(f"{name}: {inputs} inputs, memory grew by {growth} KiB after the first quarter")
    return int(growth > GROWTH_KIB)


def mutate(choice: random.Random, seeds: list[bytes]) -> bytes:
    """A seed, or two joined, with a few bytes altered, removed, repeated or put in."""
    data = bytearray(choice.choice(seeds))
    if choice.random() < 0.3:
        data += choice.choice(seeds)[1:]
    for _ in range(choice.randrange(6)):
        at = choice.randrange(len(data)) if data else 0
        kind = choice.randrange(4)
        if kind == 0 and data:
            data[at] = choice.choice((0, 1, 0x7F, 0x80, 0xFF, choice.randrange(256)))
        elif kind == 1:
            del data[at : at + choice.randrange(1, 40)]
        elif kind == 2:
            data[at:at] = data[at : at + choice.randrange(1, 40)]
        else:
            data[at:at] = choice.randbytes(choice.randrange(1, 20))
    return bytes(data)


def bounded(targets: dict[str, Callable[[bytes], None]], inputs: int, seed: int) -> int:
    """Run every target on so many mutated seeds; how many were run. For the tests, which are told by the exception."""
    ran = 0
    for name, target in targets.items():
        seeds = [path.read_bytes() for path in sorted((HERE / "corpus" / name).iterdir())]
        choice = random.Random(f"{seed} {name}")
        for data in [*seeds, *(mutate(choice, seeds) for _ in range(inputs))]:
            target(data)
            ran += 1
    return ran


def main() -> int:
    """Share the time out; the exit status is 1 if any target failed."""
    parser = argparse.ArgumentParser(description="Fuzz RPC and the readers of events for a bounded time.")
    parser.add_argument("--seconds", type=int, default=600, help="how long in all (default 600)")
    parser.add_argument("--target", choices=[name for name, _ in SHARES], help="this one alone, in this process")
    parser.add_argument("--driver", choices=("atheris", "random"), help="default: atheris, if it can be imported")
    options = parser.parse_args()
    FOUND.mkdir(exist_ok=True)
    driver = options.driver or ("atheris" if have_atheris() else "random")
    if options.target:
        if driver == "atheris":
            return run_atheris(options.target, options.seconds)
        return run_random(options.target, options.seconds, int.from_bytes(os.urandom(4), "little"))
    failed = []
    for name, share in SHARES:
        seconds = max(1, int(options.seconds * share))
        print(f"{name}: {seconds} s with the {driver} driver", flush=True)
        command = [sys.executable, __file__, f"--target={name}", f"--seconds={seconds}", f"--driver={driver}"]
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
    print(f"failed: {', '.join(failed)} (see {FOUND})" if failed else "no target failed")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
