"""One scale of health, and one kind of finding on it.

`/readyz`, the status page, the metrics, `kmstwist doctor`, `kmstwist probe` and the control socket all use it. The
numbers are the exit codes of monitoring plugins, which have their own words for the same three steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

_PLUGIN_WORDS = ("OK", "WARNING", "CRITICAL")


class Health(IntEnum):
    """From healthy to down. A `DEGRADED` server answers its clients, but somebody should look at it."""

    HEALTHY = 0
    DEGRADED = 1
    DOWN = 2

    @property
    def word(self) -> str:
        """The word for people and programs: healthy, degraded, down."""
        return self.name.lower()

    @property
    def plugin(self) -> str:
        """The word of monitoring plugins: OK, WARNING, CRITICAL."""
        return _PLUGIN_WORDS[self]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found.

    `check` names the thing examined, and `subject` which one of several it is (the name of a host, a domain). `what` is
    the finding in a clause, `detail` says more (why it is so, or what it means for clients). `cure` says what to do,
    and `command` is the command that does it. All but the first three are empty if there is nothing to say.
    """

    check: str
    health: Health
    what: str
    cure: str = ""
    detail: str = ""
    subject: str = ""
    command: str = ""

    @property
    def name(self) -> str:
        """The thing examined, for people and programs: "host kms1"."""
        return f"{self.check} {self.subject}" if self.subject else self.check

    @property
    def remedy(self) -> str:
        """The cure in words, or the command where it says enough."""
        return self.cure or self.command

    @property
    def text(self) -> str:
        """The finding and its detail in one sentence, without a full stop."""
        return f"{self.what}: {self.detail}" if self.detail else self.what

    @property
    def sentence(self) -> str:
        """The text and the cure in one line."""
        return f"{self.text} ({self.remedy})" if self.remedy else self.text

    def as_json(self) -> dict[str, str]:
        """For `--json` and the control socket."""
        return {
            "check": self.name,
            "health": self.health.word,
            "verdict": self.health.plugin,
            "finding": self.text,
            "cure": self.remedy,
        }


def from_json(row: Mapping[str, Any]) -> Finding:
    """A finding from its JSON form: its name, its text and its remedy are in one piece each.

    Raises `LookupError` if a part is missing or unknown.
    """
    return Finding(row["check"], Health[row["health"].upper()], row["finding"], row["cure"])


def overall(findings: Iterable[Finding]) -> Health:
    """The worst health of these findings; healthy if there are none."""
    return max((finding.health for finding in findings), default=Health.HEALTHY)
