"""Messages on their way: each goes to each target; after a failure it is tried again, at growing intervals.

This is pure: times are passed in, in seconds since 1970, and the state can be kept as JSON over a restart.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from kmstwist.notify.messages import Text
from kmstwist.pacing.waits import doubled

#: The most messages that wait; beyond that, the oldest are dropped.
WAITING = 200
#: Seconds until the second try, doubled with each try up to the longest wait; and when a message is given up.
FIRST_S, LONGEST_S, GIVEN_UP_S = 30.0, 3600.0, 3 * 86_400.0


@dataclass(slots=True)
class Try:
    """How often sending to a target has failed, and when the next try is due."""

    failed: int = 0
    at: float = 0.0


@dataclass(slots=True)
class Letter:
    """A message, when it was written, and the targets that do not have it yet, by their ids."""

    text: Text
    written: float
    waiting: dict[str, Try] = field(default_factory=dict)


@dataclass(slots=True)
class Outbox:
    """The messages that wait, the oldest first."""

    letters: list[Letter] = field(default_factory=list)

    def put(self, text: Text, targets: Collection[str], now: float) -> list[Letter]:
        """Queue a message for all targets. Returns the messages that are dropped to make room for it."""
        self.letters.append(Letter(text, now, {target: Try() for target in targets}))
        lost, self.letters = self.letters[:-WAITING], self.letters[-WAITING:]
        return lost

    def next(self, now: float, targets: Collection[str]) -> tuple[Letter, str] | None:
        """The oldest message that is due, and its target; a target gets its messages in order."""
        held: set[str] = set()
        for letter in self.letters:
            for target, tried in letter.waiting.items():
                if target in held or target not in targets:
                    continue
                # A clock that is set back must not delay a message by that much.
                if tried.at <= now or tried.at - now > LONGEST_S:
                    return letter, target
                held.add(target)
        return None

    def sent(self, letter: Letter, target: str) -> None:
        """A target has it."""
        letter.waiting.pop(target, None)
        self._tidy()

    def failed(self, letter: Letter, target: str, now: float) -> float | None:
        """Sending to a target failed. Returns the seconds until the next try; None if it is given up."""
        tried = letter.waiting[target]
        tried.failed += 1
        if now - letter.written >= GIVEN_UP_S:
            self.sent(letter, target)
            return None
        wait = doubled(FIRST_S, LONGEST_S, tried.failed)
        tried.at = now + wait
        return wait

    def forget_others(self, targets: Collection[str]) -> None:
        """Drop messages for targets that are no longer configured."""
        for letter in self.letters:
            letter.waiting = {target: tried for target, tried in letter.waiting.items() if target in targets}
        self._tidy()

    def _tidy(self) -> None:
        self.letters = [letter for letter in self.letters if letter.waiting]

    def to_json(self) -> list[dict[str, object]]:
        """The state to keep over a restart."""
        return [asdict(letter) for letter in self.letters]

    @classmethod
    def from_json(cls, raw: list[Mapping[str, Any]]) -> Outbox:
        """The state from its JSON form. Raises `ValueError`, `KeyError` or `TypeError` for anything else."""
        return cls(
            [
                Letter(
                    Text(**each["text"]),
                    float(each["written"]),
                    {str(target): Try(**tried) for target, tried in each["waiting"].items()},
                )
                for each in raw
            ]
        )
