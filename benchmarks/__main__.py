"""Runs every benchmark found, or those named."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from pathlib import Path


def find() -> list[str]:
    """The names of the benchmarks: modules of this package that have a `main`."""
    names = [module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]) if module.name != "__main__"]
    return [name for name in names if hasattr(importlib.import_module(f"benchmarks.{name}"), "main")]


def main(wanted: list[str]) -> int:
    known = find()
    unknown = [name for name in wanted if name not in known]
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    for name in wanted or known:
        importlib.import_module(f"benchmarks.{name}").main()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
