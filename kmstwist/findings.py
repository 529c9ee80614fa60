"""One scale of health, and one kind of finding on it.

`/readyz`, the status page, the metrics, `kmstwist doctor`, `kmstwist probe` and the control socket all speak it. The
numbers are the exit codes of monitoring plugins, which have words of their own for the same three steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

_PLUGIN_WORDS = ("OK", "WARNING", "CRITICAL")


class Health(IntEnum):
    """From well to down. What is `DEGRADED` answers its clients, but somebody should look."""

    HEALTHY = 0
    DEGRADED = 1
    DOWN = 2

    @property
    def word(self) -> str:
        """How people and programs are told: healthy, degraded, down."""
        return self.name.lower()

    @property
    def plugin(self) -> str:
        """What a monitoring plugin calls it: OK, WARNING, CRITICAL."""
        return _PLUGIN_WORDS[self]


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found: about what, how it is, a sentence, and what to do where it is not as it should be."""

    check: str
    health: Health
    text: str
    cure: str = ""

    @property
    def sentence(self) -> str:
        """The text and the cure in one line."""
        return f"{self.text} ({self.cure})" if self.cure else self.text

    def as_json(self) -> dict[str, str]:
        """For `--json` and the control socket."""
        return {
            "check": self.check,
            "health": self.health.word,
            "verdict": self.health.plugin,
            "finding": self.text,
            "cure": self.cure,
        }


def from_json(row: Mapping[str, Any]) -> Finding:
    """The finding from the form that `as_json` gives it. Raises `LookupError` for another."""
    return Finding(row["check"], Health[row["health"].upper()], row["finding"], row["cure"])


def overall(findings: Iterable[Finding]) -> Health:
    """The worst of them; healthy where there are none."""
    return max((finding.health for finding in findings), default=Health.HEALTHY)
