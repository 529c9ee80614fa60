"""Runs every benchmark found, or those named, each in a process of its own.

python -m benchmarks [NAME ...]
python -m benchmarks NAME --OPTION ...
"""

from __future__ import annotations

import ast
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import dropwhile
from pathlib import Path


def find() -> list[str]:
    """The names of the benchmarks: modules of this package that define `main`, by their text."""
    return sorted(
        file.stem
        for file in Path(__file__).parent.glob("[!_]*.py")
        if any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in ast.parse(file.read_text()).body)
    )


def command(name: str, options: Sequence[str] = ()) -> list[str]:
    """What runs a benchmark: its `main` is called here, whatever its file does when it is run."""
    return [sys.executable, "-c", f"from benchmarks.{name} import main; main()", *options]


def main(arguments: list[str]) -> int:
    known = find()
    options = list(dropwhile(lambda each: not each.startswith("-"), arguments))
    wanted = arguments[: len(arguments) - len(options)]
    if options and len(wanted) != 1:
        print(f"{options[0]} is an option of one benchmark: name it, and no other", file=sys.stderr)
        return 2
    unknown = [name for name in wanted if name not in known]
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    failed = []
    for name in wanted or known:
        begun = time.monotonic()
        if subprocess.run(command(name, options)).returncode:
            failed.append(name)
        print(f"{name}: {time.monotonic() - begun:.0f} s", file=sys.stderr)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
