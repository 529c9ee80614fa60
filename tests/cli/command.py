"""Running a command in a process of its own: a reactor runs only once in a process, and the tests' is running."""

from __future__ import annotations

import subprocess
import sys

from tests.waiting import PATIENCE


def run(module: str, command: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run `kmstwist.cli.<module>:<command>` and return what it said."""
    call = f"from kmstwist.cli.{module} import {command}; {command}(prog_name='kmstwist')"
    return subprocess.run(
        [sys.executable, "-c", call, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
