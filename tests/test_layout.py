"""The rule of the rooms: each imports only from rooms below it, and the pure ones nothing that does I/O."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "kmstwist"
#: Top to bottom. A room may import from itself and from those after it.
ROOMS = (
    "cli",
    "server",
    "health",
    "process",
    "configuration",
    "web",
    "notify",
    "conversation",
    "admission",
    "gateway",
    "lab",
    "collecting",
    "audit",
    "discovery",
    "transport",
    "telemetry",
    "charts",
    "pacing",
    "system",
    "kms",
    "rpc",
)
PURE = ("kms", "rpc")
#: What a pure room may not touch: sockets, clocks, randomness, processes, Twisted.
WORLD = {"twisted", "socket", "select", "ssl", "asyncio", "time", "random", "secrets", "subprocess", "threading", "os"}


def imports(path: Path) -> Iterator[str]:
    """The modules a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def room_of(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "kmstwist" and len(parts) > 1 and parts[1] in ROOMS else None


def test_every_folder_is_a_room_and_every_room_a_folder() -> None:
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert folders == set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_from_rooms_below_it(room: str) -> None:
    allowed = set(ROOMS[ROOMS.index(room) :])
    upwards = {
        f"{path.relative_to(PACKAGE)} imports {module}"
        for path in (PACKAGE / room).rglob("*.py")
        for module in imports(path)
        if (found := room_of(module)) is not None and found not in allowed
    }
    assert upwards == set()


@pytest.mark.parametrize("room", PURE)
def test_a_pure_room_touches_nothing_of_the_world(room: str) -> None:
    touched = {
        f"{path.relative_to(PACKAGE)} imports {module}"
        for path in (PACKAGE / room).rglob("*.py")
        for module in imports(path)
        if module.split(".")[0] in WORLD or module == "kmstwist.logevents"
    }
    assert touched == set()


def test_what_stands_below_the_rooms_imports_none_of_them() -> None:
    for path in PACKAGE.glob("*.py"):
        assert not [module for module in imports(path) if room_of(module) is not None], path.name


def test_rpc_and_kms_can_be_used_without_twisted_installed() -> None:
    modules = ("rpc", "rpc.mgmt", "kms.interface", "kms.messages", "kms.catalogue", "kms.status")
    code = (
        "import sys, importlib; sys.modules['twisted'] = sys.modules['twisted.internet'] = None;"
        f"[importlib.import_module('kmstwist.' + module) for module in {modules!r}]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=PACKAGE.parent)
