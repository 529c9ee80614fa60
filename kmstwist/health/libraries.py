"""The age of the libraries that came with kmstwist and that no distribution patches."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import distributions
from pathlib import Path

from kmstwist.clock import now
from kmstwist.findings import Finding, Health

_YEAR = 365 * 86400


def check_libraries(case: object) -> Iterator[Finding]:
    """Whether they were put there over a year ago. `case` does not matter."""
    found = list(_put_there())
    # Without an environment of its own, kmstwist uses the distribution's libraries, which the distribution patches.
    if sys.prefix != sys.base_prefix and found and now() - max(found) > _YEAR:
        yield _old(len(found), max(found))


def _old(many: int, newest: float) -> Finding:
    day = datetime.fromtimestamp(newest, UTC).date()
    return Finding(
        "libraries",
        Health.DEGRADED,
        f"the {many} Python libraries in {sys.prefix} date from {day} or earlier, over a year ago, and "
        "no distribution patches them",
        "install a newer or rebuilt kmstwist package (docs/install.md); without a package: pip install "
        "--upgrade --upgrade-strategy eager",
    )


def _put_there() -> Iterator[float]:
    """When each of the environment's libraries was put there: its own list of files is as old as that.

    In the Debian package all files bear the day on which its builder took the libraries.
    """
    for distribution in distributions(
        path=[str(path) for path in Path(sys.prefix, "lib").glob("python3*/site-packages")]
    ):
        for file in distribution.files or ():
            if file.name == "RECORD":
                yield Path(str(distribution.locate_file(file))).stat().st_mtime
