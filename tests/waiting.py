"""Waiting for something that a real process does: for the event itself, as long as a busy machine may need."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Seen = TypeVar("Seen")

#: Seconds after which what a test waits for will not come. Only a test that fails ever waits so long.
PATIENCE = 180.0

#: Seconds between two looks: those who do the work need the processor too.
_PAUSE = 0.02


def wait_until(look: Callable[[], Seen], said: Callable[[], object] = lambda: "it does not come") -> Seen:
    """Look until something true is seen, and return that; what `said` returns is shown when it never is."""
    give_up = time.monotonic() + PATIENCE
    while not (seen := look()):
        assert time.monotonic() < give_up, said()
        time.sleep(_PAUSE)
    return seen
