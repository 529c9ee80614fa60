"""A lab machine lives through some days at once: it asks whenever it is due, as one does that is switched on.

Attempts are real conversations with a real host; only the waiting between them is left out. The machine's own moments
are those of the days it lives through. Its requests carry the present time: a host refuses clocks 4 hours off.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from kmstwist.lab.machines.activation import Asking, activate
from kmstwist.lab.machines.errors import Published
from kmstwist.lab.machines.machine import Licence, Machine

_DAY = 86_400


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt: how many days from the beginning, for which product, and how it failed; None for a success."""

    day: float
    product: str
    error: Published | None


async def live(
    machine: Machine, seconds: float, asking: Asking, progress: Callable[[float], None] = lambda share: None
) -> list[Attempt]:
    """Let the last `seconds` have passed with the machine switched on; its attempts in their order.

    `progress` is called with the share that has passed. The caller lets the machine's events be that much older.
    """
    ends = asking.now()
    begins = ends - seconds
    machine.age(seconds)
    attempts: list[Attempt] = []
    asking_ones = [licence for licence in machine.licences if licence.partial_key is not None and not licence.by_phone]
    while asking_ones:
        licence = min(asking_ones, key=lambda one: one.client.next_attempt)
        at = max(begins, licence.client.next_attempt)
        if at > ends:
            break
        error = await _ask(machine, licence, at, asking)
        attempts.append(Attempt((at - begins) / _DAY, licence.product.name, error))
        if licence.client.next_attempt <= at:
            # It may not ask a KMS host at all (/act-type) and will not later.
            asking_ones.remove(licence)
        progress((at - begins) / seconds)
    for licence in machine.licences:
        licence.client.advance(ends)
    return attempts


async def _ask(machine: Machine, licence: Licence, at: float, asking: Asking) -> Published | None:
    then = replace(asking, now=lambda: at, ahead=lambda: asking.now() - at)
    try:
        await activate(machine, licence, then)
    except Published as error:
        return error
    return None
