"""How far a KMS host's clock seems to be off the gateways', where its events find none of their records.

A clock that is off makes each request count twice, under its name and under its address. What speaks for it is that
nearly all events have a record at the same distance.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from sqlalchemy import Connection

from kmstwist.audit.events import questions
from kmstwist.audit.events.model import Event

#: Milliseconds: the farthest that is looked for, as far as a window may reach, and the steps in which it is.
FARTHEST, STEP = 3_590_000, 2000
#: Events that are asked about, and how many must have records near them at least.
MOST, LEAST = 100, 5
#: The share of them that must have one at the same distance, which no other distance may come near.
SURE = 0.9


def clocks_apart(connection: Connection, events: Collection[Event]) -> int | None:
    """Seconds that the clock of the host that logged these events is ahead of the gateways', negative if it is behind.

    None where nothing speaks for a difference.
    """
    near: Counter[int] = Counter()
    asked = 0
    for event in events:
        times = questions.unnamed_times().rows(connection, questions.about(event, FARTHEST))
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
