"""Having a library do without a package that it uses where it happens to be installed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def hidden(package: str) -> Iterator[None]:
    """What is imported meanwhile finds that `package` is not installed."""
    # None is the import system's own sign for a module that cannot be imported.
    modules: dict[str, Any] = sys.modules
    loaded = modules.get(package)
    modules[package] = None
    try:
        yield
    finally:
        if loaded is None:
            del modules[package]
        else:
            modules[package] = loaded
