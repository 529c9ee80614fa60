"""What was switched by hand since the supervisor began: the last command of each kind.

A worker that starts reads what the workers have stored (`server.switches`). While they are given several commands, one
of them may be behind, and what it stores is then out of date.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.interfaces import IReactorTime


class Switched:
    """Remembers commands that switch something, and how they read when they are given again later."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        #: What is switched, with the last command for it and when that was given.
        self._last: dict[str, tuple[Mapping[str, Any], float]] = {}

    def note(self, request: Mapping[str, object]) -> None:
        """A command is given to all workers."""
        match request.get("command"):
            case "pause" | "resume":
                self._last["clients"] = request, self._clock.seconds()
            case "drain" | "undrain":
                self._last[f"upstream {request.get('upstream')}"] = request, self._clock.seconds()

    def refused(self, request: Mapping[str, object]) -> None:
        """A worker refused the command: it switches nothing."""
        self._last = {what: last for what, last in self._last.items() if last[0] is not request}

    def again(self) -> list[dict[str, Any]]:
        """The commands for a worker that has none of them. A pause that is still to come comes when it was to come."""
        now = self._clock.seconds()
        return [
            {**request, "after": max(0.0, request["after"] - (now - given))} if "after" in request else dict(request)
            for request, given in self._last.values()
        ]
