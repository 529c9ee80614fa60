"""Waiting for an action of a real process: for the event itself, for as long as a busy machine may need."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Seen = TypeVar("Seen")

#: Seconds after which a test gives up. Only a failing test waits that long.
PATIENCE = 180.0

#: Seconds between two looks: the processes under test need the processor too.
_PAUSE = 0.02


def wait_until(look: Callable[[], Seen], said: Callable[[], object] = lambda: "it does not come") -> Seen:
    """Look until the result is true, and return it; if it never is, the failure shows what `said` returns."""
    give_up = time.monotonic() + PATIENCE
    while not (seen := look()):
        assert time.monotonic() < give_up, said()
        time.sleep(_PAUSE)
    return seen
