"""How far a KMS host's clock seems to differ from the gateways' clocks, if its events match none of their records.

With a wrong clock, each request counts twice: under its machine's name and under its address. The sign of it is that
nearly all events have a record at the same distance in time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import TYPE_CHECKING

from kmstwist.audit.asking.prepared import rows
from kmstwist.audit.events.model import Event
from kmstwist.audit.events.near import about

if TYPE_CHECKING:
    from kmstwist.audit.asking.questions import Reader

#: The largest difference that is looked for (as much as a window may have), and the steps, in milliseconds.
FARTHEST, STEP = 3_590_000, 2000
#: How many events are looked at, and how many of them must have records near them.
MOST, LEAST = 100, 5
#: The part of them that must have a record at the same distance; no other distance may come close to it.
SURE = 0.9


def clocks_apart(reader: Reader, events: Collection[Event]) -> int | None:
    """Seconds that the clock of the host that logged these events is ahead of the gateways', negative if it is behind.

    None where nothing speaks for a difference.
    """
    near: Counter[int] = Counter()
    asked = 0
    for event in events:
        times = rows(reader, "times of unnamed records", about(event, FARTHEST))
        if times:
            asked += 1
            near.update({(event.at - at) // STEP for (at,) in times})
    # A difference may lie where two steps meet.
    both = {step: near[step] + near[step + 1] for step in near}
    if asked < LEAST or not both:
        return None
    best = max(both, key=lambda step: both[step])
    others = max((number for step, number in both.items() if abs(step - best) > 1), default=0)
    if both[best] < SURE * asked or others >= SURE * both[best]:
        return None
    return (best + 1) * STEP // 1000
