"""`make differential`: conversations made from a seed, sent to a lab and to Samba's RPC server in step.

    python -m tests.differential --seed 7 --count 10000

Prints every conversation in which the two differ without a reason (`free`), and how often each reason was met.
`--only NUMBER` repeats one conversation. It needs Debian's samba, which runs as a private server on loopback.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.differential.run import compare, report
from tests.differential.servers import PrivateSamba, lab_like


def main() -> int:
    """Compare, and print what was found; the exit code is 1 if there is an unexplained difference."""
    parser = argparse.ArgumentParser(prog="python -m tests.differential", description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--only", type=int, help="hold this conversation alone, and show it")
    options = parser.parse_args()
    numbers = range(options.count) if options.only is None else range(options.only, options.only + 1)
    with tempfile.TemporaryDirectory(prefix="kmstwist-differential-") as folder:
        with PrivateSamba(Path(folder) / "samba") as samba, lab_like(samba, Path(folder)) as lab:
            comparison = asyncio.run(compare(lab.port, samba.port, options.seed, numbers))
    print(report(comparison, show_all=options.only is not None))
    return 1 if comparison.found else 0


if __name__ == "__main__":
    sys.exit(main())
