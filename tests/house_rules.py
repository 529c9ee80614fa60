"""Rules that no reader can check across hundreds of files; each function returns the places that break one."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

LONGEST_FILE = 350
FULLEST_FOLDER = 15
#: Tables: one row for each thing of a kind, without logic to follow.
TABLES = {"kms/status.py", "logevents.py", "reasons.py"}
#: `_name` and `__name`; `__version__` and its like are public.
PRIVATE = re.compile(r"_(?!_.*__$)")


def modules(root: Path) -> dict[str, Path]:
    """Each file of a package below `root` (the package's own folder), by its import name."""
    named = {}
    for path in sorted(root.rglob("*.py")):
        parts = (root.name, *path.relative_to(root).with_suffix("").parts)
        named[".".join(parts).removesuffix(".__init__")] = path
    return named


def imported(path: Path) -> Iterator[tuple[str, str | None]]:
    """Everything that a file imports, anywhere in it, as (module, name); the name is None for a whole module."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None
            assert not node.level, f"{path}: a relative import"
            yield from ((node.module, alias.name) for alias in node.names)


def long_files(root: Path) -> list[str]:
    """Files with more than `LONGEST_FILE` lines, tables excepted."""
    lengths = {path.relative_to(root).as_posix(): len(path.read_text().splitlines()) for path in root.rglob("*.py")}
    return [f"{name}: {lines} lines" for name, lines in lengths.items() if lines > LONGEST_FILE and name not in TABLES]


def full_folders(root: Path) -> list[str]:
    """Folders with more than `FULLEST_FOLDER` files, not counting `__init__.py`."""
    folders = Counter(path.parent for path in root.rglob("*.py") if path.name != "__init__.py")
    return [f"{folder.relative_to(root)}: {count} files" for folder, count in folders.items() if count > FULLEST_FOLDER]


def private_imports(root: Path) -> list[str]:
    """Private names, taken from another package: ours, a library's or the standard library's."""
    files = modules(root)
    found = []
    for path in files.values():
        for module, name in imported(path):
            private = [part for part in (*module.split("."), name or "") if PRIVATE.match(part)]
            own = module in files and files[module].parent == path.parent
            if private and not own:
                found.append(f"{path.relative_to(root)}: {'.'.join(filter(None, (module, name)))}")
    return found


def import_circle(root: Path) -> list[str]:
    """Files that import each other in a circle (the first one found), imports for the type checker among them."""
    files = modules(root)
    graph = {}
    for module, path in files.items():
        targets = set()
        for source, name in imported(path):
            # `from package import module` imports the module; `from module import name` the module it names.
            whole = f"{source}.{name}"
            targets.add(whole if whole in files else source)
        graph[module] = targets & files.keys()
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def unbounded_caches(root: Path) -> list[str]:
    """Functions that keep every answer for ever: `cache`, or `lru_cache` without a size."""
    return [
        f"{path.relative_to(root).as_posix()}: {function.name}"
        for path in sorted(root.rglob("*.py"))
        for function in ast.walk(ast.parse(path.read_text()))
        if isinstance(function, ast.FunctionDef) and _takes_arguments(function.args)
        for decorator in function.decorator_list
        if _keeps_all(decorator)
    ]


def _takes_arguments(arguments: ast.arguments) -> bool:
    return bool(arguments.posonlyargs or arguments.args or arguments.kwonlyargs or arguments.vararg or arguments.kwarg)


def _keeps_all(decorator: ast.expr) -> bool:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    name = called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""
    if name == "cache":
        return True
    if name != "lru_cache" or not isinstance(decorator, ast.Call):
        return False
    size = [*decorator.args[:1], *(each.value for each in decorator.keywords if each.arg == "maxsize")]
    return any(isinstance(each, ast.Constant) and each.value is None for each in size)
