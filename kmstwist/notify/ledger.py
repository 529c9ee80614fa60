"""What has been told: each condition once when it has lasted, once when it is over; each machine once while it expires.

Pure: times are handed in, in seconds since 1970, and what it knows can be kept as JSON over a restart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from kmstwist.notify.conditions import Condition
from kmstwist.notify.settings import Topic

#: Machines that are remembered as told at most.
MACHINES = 10_000
#: Seconds for which a condition is kept whose source does not look any more.
FORGOTTEN_S = 30 * 86_400.0


@dataclass(slots=True)
class Told:
    """A condition that began at `since`; `told` says that people know. `gone` is since when it is not there any more,
    `seen` when its source looked last.
    """

    condition: Condition
    since: float
    seen: float
    told: bool = False
    gone: float | None = None


@dataclass(frozen=True, slots=True)
class Changes:
    """What is to be told: what began, what is over with when it began, and what else still holds."""

    begun: Sequence[Condition] = ()
    over: Sequence[tuple[Condition, float]] = ()
    still: Sequence[Condition] = ()

    def __bool__(self) -> bool:
        return bool(self.begun or self.over)


@dataclass(slots=True)
class Ledger:
    """`settle` is how many seconds something must last, or be over."""

    settle: float = 0.0
    conditions: dict[str, Told] = field(default_factory=dict)
    machines: list[str] = field(default_factory=list)
    #: The day of the last weekly summary, as 2026-11-23; "" for none yet.
    digest: str = ""

    def step(
        self, now: float, present: Mapping[str, Condition], looked: Callable[[str], bool], *, quiet: bool = False
    ) -> Changes:
        """Compare with what is so now. In `quiet` hours nothing is told, and what still holds after them is then."""
        for key, condition in present.items():
            known = self.conditions.get(key)
            if known is None:
                known = self.conditions[key] = Told(condition, now, now)
            known.condition, known.seen, known.gone = condition, now, None
        begun, over = [], []
        for key, known in list(self.conditions.items()):
            if key not in present:
                if not looked(key):
                    if not 0 <= now - known.seen < FORGOTTEN_S:
                        del self.conditions[key]
                    continue
                known.seen = now
                if not known.told:
                    del self.conditions[key]
                    continue
                known.gone = now if known.gone is None else min(known.gone, now)
                if now - known.gone >= self.settle and not quiet:
                    over.append((known.condition, known.since))
                    del self.conditions[key]
            else:
                # A clock that was set back does not make it younger than it is.
                known.since = min(known.since, now)
                if not known.told and now - known.since >= self.settle and not quiet:
                    known.told = True
                    begun.append(known.condition)
        new = {condition.key for condition in begun}
        still = [
            known.condition
            for key, known in self.conditions.items()
            if known.told and key in present and key not in new
        ]
        return Changes(begun, over, still)

    def newly_expiring(self, machines: Sequence[str]) -> list[str]:
        """Those of the machines that expire now that were not told yet; they are, from now on."""
        known = set(self.machines)
        fresh = [name for name in machines if name not in known]
        # Who is no longer among them has renewed, or is gone; should it come back, that is news.
        self.machines = list(dict.fromkeys(machines))[:MACHINES]
        return fresh

    def to_json(self) -> dict[str, Any]:
        """What to keep over a restart."""
        return {
            "conditions": [asdict(told) for told in self.conditions.values()],
            "machines": self.machines,
            "digest": self.digest,
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any], settle: float) -> Ledger:
        """What was kept. Raises `ValueError`, `KeyError` or `TypeError` for what is none of ours."""
        ledger = cls(settle)
        for each in raw["conditions"]:
            inner = each["condition"]
            condition = Condition(**{**inner, "topic": Topic(inner["topic"])})
            ledger.conditions[condition.key] = Told(**{**each, "condition": condition})
        ledger.machines = [str(name) for name in raw["machines"]]
        ledger.digest = str(raw["digest"])
        return ledger
