"""A client's connection step by step, for the log at level debug."""

from __future__ import annotations

from typing import Any

from twisted.logger import Logger

from kmstwist.logevents import TRANSITION
from kmstwist.statemachine import Machine, Trace, transition_text


def transitions_to(log: Logger, peer: str, port: int) -> Trace:
    """A function that logs every transition of one connection's machines."""

    def trace(machine: Machine[Any, Any], before: object, happened: object) -> None:
        TRANSITION.emit(log, client=peer, port=port, step=transition_text(machine, before, happened))

    return trace
