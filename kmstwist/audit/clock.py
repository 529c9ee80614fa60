"""The part of a Twisted reactor that tells the time: what the audit needs of it, so that tests pass a `task.Clock`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


class Timer(Protocol):
    """`IDelayedCall` as the type checker can follow it."""

    def cancel(self) -> None:
        """Do not call."""


class Clock(Protocol):
    """`IReactorTime` as the type checker can follow it."""

    def seconds(self) -> float:
        """Seconds since 1970."""

    def callLater(self, delay: float, callable: Callable[..., Any], *args: Any) -> Timer:
        """Call after `delay` seconds."""
