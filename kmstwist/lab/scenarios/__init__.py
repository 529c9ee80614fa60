"""The scenarios of fleets that come with the package, as files and in a line each.

They are listed without what checks a scenario, which takes longer to load than the list to print: a test holds what
stands here to be what `fleet.scenario` reads in the same files.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kmstwist.toml import read_toml

_FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class ReadyScenario:
    """A ready scenario: its name, its machines over all groups, the days that it lasts, what it shows."""

    name: str
    machines: int
    days: float
    description: str


def ready_scenarios() -> tuple[str, ...]:
    """The names of the scenarios."""
    return tuple(sorted(file.stem for file in _FOLDER.glob("*.toml")))


def ready_text(name: str) -> str:
    """The file of a ready scenario, as a starting point for a new one; raises `KeyError` for an unknown name."""
    if name not in ready_scenarios():
        raise KeyError(name)
    return (_FOLDER / f"{name}.toml").read_text(encoding="utf-8")


def listed() -> list[ReadyScenario]:
    """All of them, by name."""
    found = []
    for name in ready_scenarios():
        document = read_toml(ready_text(name))
        machines = sum(group["count"] for group in document["machines"])
        found.append(ReadyScenario(name, machines, float(document["days"]), document.get("description", "")))
    return found
