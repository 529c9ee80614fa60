"""What this room needs of a probe at RPC level: whoever can tell whether a KMS host answers at an address.

The probe itself is `kmstwist.transport`'s; it is passed in, so that everything here is tested without a network.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Probed:
    """What a probe of one address found.

    `answers` is whether it speaks KMS's RPC interface; `speaks` what it accepted ("NDR64", say) or why it does not
    answer, in words for people; `steps` the steps done with the milliseconds each took, in order.
    """

    answers: bool
    speaks: str
    steps: tuple[tuple[str, float], ...] = ()

    @property
    def milliseconds(self) -> float:
        """All steps together."""
        return sum(took for _, took in self.steps)


Prober = Callable[[str, int], Awaitable[Probed]]
"""Probe an address and a port. Never fails: what is wrong is in its result."""
