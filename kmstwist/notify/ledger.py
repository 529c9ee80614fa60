"""What people have been told: each condition once when it has lasted and once when it is over; each machine that
expires once.

This is pure: times are passed in, in seconds since 1970, and its state can be kept as JSON over a restart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from kmstwist.notify.conditions import Condition, Key
from kmstwist.notify.settings import Topic

#: The most machines that are remembered as reported.
MACHINES = 10_000
#: For how many seconds a condition is kept if its source no longer looks.
FORGOTTEN_S = 30 * 86_400.0


@dataclass(slots=True)
class Told:
    """A condition that began at `since`; `told` says whether people know of it. `gone` is since when it is over, `seen`
    when its source last looked.
    """

    condition: Condition
    since: float
    seen: float
    told: bool = False
    gone: float | None = None


@dataclass(frozen=True, slots=True)
class Changes:
    """What to tell people: what began, what is over (with when it began), and what else still lasts."""

    begun: Sequence[Condition] = ()
    over: Sequence[tuple[Condition, float]] = ()
    still: Sequence[Condition] = ()

    def __bool__(self) -> bool:
        return bool(self.begun or self.over)


@dataclass(slots=True)
class Ledger:
    """`settle` is how many seconds something must last, or be over."""

    settle: float = 0.0
    conditions: dict[Key, Told] = field(default_factory=dict)
    machines: list[str] = field(default_factory=list)
    #: The day of the last weekly summary, as 2026-11-23; "" for none yet.
    digest: str = ""

    def step(
        self, now: float, present: Mapping[Key, Condition], looked: Callable[[Key], bool], *, quiet: bool = False
    ) -> Changes:
        """Compare with the present conditions. In `quiet` hours nothing is told; what lasts is told after them."""
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
                # A clock that is set back must not make a condition look younger.
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
        """The machines among those that expire now that have not been reported; from now on they count as reported."""
        known = set(self.machines)
        fresh = [name for name in machines if name not in known]
        # A machine that is no longer among them has renewed or is gone; if it comes back, that is news.
        self.machines = list(dict.fromkeys(machines))[:MACHINES]
        return fresh

    def to_json(self) -> dict[str, object]:
        """The state to keep over a restart."""
        return {
            "conditions": [asdict(told) for told in self.conditions.values()],
            "machines": self.machines,
            "digest": self.digest,
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any], settle: float) -> Ledger:
        """The state from its JSON form. Raises `ValueError`, `KeyError` or `TypeError` for anything else."""
        ledger = cls(settle)
        for each in raw["conditions"]:
            inner = each["condition"]
            condition = Condition(**{**inner, "key": Key(*inner["key"]), "topic": Topic(inner["topic"])})
            ledger.conditions[condition.key] = Told(**{**each, "condition": condition})
        ledger.machines = [str(name) for name in raw["machines"]]
        ledger.digest = str(raw["digest"])
        return ledger
