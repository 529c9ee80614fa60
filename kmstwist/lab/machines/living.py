"""A lab machine lives through some days at once: it asks whenever it is due, like a machine that is switched on.

Attempts are real conversations with a real host; only the waiting between them is skipped. The machine's own times are
those of the days it lives through. Its requests carry the present time, since a host refuses clocks that are 4 hours
off.
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
    """Let `seconds` pass with the machine switched on. Returns its attempts in order.

    `progress` is called with the part that has passed. The caller makes the machine's events that much older.
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
            # It may not ask a KMS host at all (/act-type), and this will not change.
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
