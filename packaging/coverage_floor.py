"""Holds the floor of branch coverage: the percentage of the branches in each room named here that tests take.

Reads the data file that `make coverage` or `make floor` left; looks at the rooms that are named, else at all. Prints a
line a room; exit status 1 where one is below its floor.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

FLOORS = {"rpc": 95.0, "kms": 95.0, "conversation": 95.0, "gateway": 95.0, "audit": 95.0}


def main() -> int:
    """Compare each room with its floor."""
    rooms = sys.argv[1:] or list(FLOORS)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "coverage.json"
        subprocess.run([sys.executable, "-m", "coverage", "json", "-q", "-o", str(report)], check=True)
        files = json.loads(report.read_text())["files"]
    branches: Counter[str] = Counter()
    taken: Counter[str] = Counter()
    for name, file in files.items():
        room = Path(name).parts[1]
        branches[room] += file["summary"]["num_branches"]
        taken[room] += file["summary"]["covered_branches"]
    below = False
    for room in rooms:
        floor = FLOORS[room]
        # A room without any measurement is below every floor.
        share = 100 * taken[room] / branches[room] if branches[room] else 0.0
        below |= share < floor
        print(f"{room:<14} {share:5.1f} % of {branches[room]:>5} branches; the floor is {floor:g} %")
    return int(below)


if __name__ == "__main__":
    sys.exit(main())
