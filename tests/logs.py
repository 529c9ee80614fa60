"""A logger whose events a test can see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.logger import ILogObserver, Logger
from zope.interface import implementer


@implementer(ILogObserver)
class Observer:
    """Hands every event to `observe`."""

    def __init__(self, observe: Callable[[dict[str, Any]], object]) -> None:
        self._observe = observe

    def __call__(self, event: dict[str, Any]) -> None:
        self._observe(event)


def logger(observe: Callable[[dict[str, Any]], object] = lambda event: None, namespace: str = "test") -> Logger:
    """A logger that hands every event to `observe`."""
    return Logger(namespace=namespace, observer=Observer(observe))
