"""The rules of the house.

A room imports only from rooms below it, and a pure room nothing that does I/O. Files are short and folders small;
imports form no circle and take no private names of others.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import house_rules

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
    """The modules that a file imports, anywhere in it."""
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
def test_a_pure_room_does_no_io(room: str) -> None:
    touched = {
        f"{path.relative_to(PACKAGE)} imports {module}"
        for path in (PACKAGE / room).rglob("*.py")
        for module in imports(path)
        if module.split(".")[0] in WORLD or module == "kmstwist.logevents"
    }
    assert touched == set()


def test_the_ground_floor_imports_no_room() -> None:
    for path in PACKAGE.glob("*.py"):
        assert not [module for module in imports(path) if room_of(module) is not None], path.name


def test_rpc_and_kms_can_be_used_without_twisted_installed() -> None:
    modules = ("rpc", "rpc.mgmt", "kms.interface", "kms.messages", "kms.catalogue", "kms.status")
    code = (
        "import sys, importlib; sys.modules['twisted'] = sys.modules['twisted.internet'] = None;"
        f"[importlib.import_module('kmstwist.' + module) for module in {modules!r}]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=PACKAGE.parent)


def test_a_file_is_short_enough_to_be_read_at_once() -> None:
    assert house_rules.long_files(PACKAGE) == []


def test_a_folder_holds_few_enough_files_to_be_known_by_name() -> None:
    assert house_rules.full_folders(PACKAGE) == []


def test_no_private_name_of_another_package_is_imported() -> None:
    assert house_rules.private_imports(PACKAGE) == []


def test_no_files_import_each_other_in_a_circle() -> None:
    assert house_rules.import_circle(PACKAGE) == []


@pytest.fixture
def planted(tmp_path: Path) -> Callable[[str, str], Path]:
    """Puts a file into a small package. Returns the package's folder."""

    def plant(name: str, text: str) -> Path:
        path = tmp_path / "house" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return tmp_path / "house"

    return plant


def test_a_file_that_is_too_long_is_found(planted: Callable[[str, str], Path]) -> None:
    planted("reasons.py", "\n" * 1000)
    planted("room/short.py", "\n" * 350)
    root = planted("room/long.py", "\n" * 351)
    assert house_rules.long_files(root) == ["room/long.py: 351 lines"]


def test_a_folder_that_is_too_full_is_found(planted: Callable[[str, str], Path]) -> None:
    root = planted("room/__init__.py", "")
    for number in range(15):
        planted(f"room/f{number}.py", "")
    assert house_rules.full_folders(root) == []
    planted("room/one_more.py", "")
    assert house_rules.full_folders(root) == ["room: 16 files"]


@pytest.mark.parametrize(
    "line",
    [
        "from library import _name",
        "from library._part import name",
        "import library._part",
        "from house.b.two import _name",
    ],
)
def test_a_private_import_is_found(planted: Callable[[str, str], Path], line: str) -> None:
    planted("b/two.py", "")
    root = planted("a/one.py", f"def late() -> None:\n    {line}\n")
    assert [place.split(":")[0] for place in house_rules.private_imports(root)] == ["a/one.py"]


@pytest.mark.parametrize("line", ["from house import __version__", "from house.a.two import _name"])
def test_a_public_name_and_one_of_the_same_package_are_not(planted: Callable[[str, str], Path], line: str) -> None:
    planted("a/two.py", "")
    root = planted("a/one.py", line)
    assert house_rules.private_imports(root) == []


@pytest.mark.parametrize(
    "line",
    [
        "from house.a.one import name",
        "from house.a import one",
        "import house.a.one",
        "def late() -> None:\n    from house.a.one import name",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from house.a.one import name",
    ],
)
def test_a_circle_of_imports_is_found(planted: Callable[[str, str], Path], line: str) -> None:
    planted("a/__init__.py", "")
    planted("a/one.py", "from house.b.two import name")
    planted("b/two.py", "from house.b.three import name")
    root = planted("b/three.py", "")
    assert house_rules.import_circle(root) == []
    planted("b/three.py", line)
    assert set(house_rules.import_circle(root)) == {"house.a.one", "house.b.two", "house.b.three"}
