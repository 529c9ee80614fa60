"""The counts of workers that have ended: numbers since the start are the server's, not one worker's."""

from __future__ import annotations

from typing import Any


class Earlier:
    """The counts of workers that have ended, so that the numbers since the start never fall."""

    _COUNTED = ("conversations", "activations")

    def __init__(self) -> None:
        self._last: dict[int, tuple[int | None, dict[str, int]]] = {}
        self._ended: dict[int, dict[str, int]] = {}

    def with_those_before(self, number: int, pid: int | None, answer: dict[str, Any]) -> dict[str, Any]:
        """A worker's answer, with the counts of its predecessors added."""
        now = {name: answer[name] for name in self._COUNTED if name in answer}
        if not now:
            return answer
        before = self._last.get(number)
        ended = self._ended.setdefault(number, dict.fromkeys(now, 0))
        if before is not None and before[0] != pid:
            for name, count in before[1].items():
                ended[name] += count
        self._last[number] = pid, now
        return {**answer, **{name: count + ended[name] for name, count in now.items()}}
