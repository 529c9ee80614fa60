"""The probe that this room uses to find out whether a KMS host answers at an address.

The probe itself is in `kmstwist.transport`; `rpc_prober` adapts it. It is passed in wherever it is used, so that a test
needs no network.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from kmstwist.findings import Health
from kmstwist.reactor import Reactor
from kmstwist.transport.endpoints import address_endpoint
from kmstwist.transport.probe import ProbeReport, probe


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
"""Probes an address and a port. Never fails: its result says what is wrong."""


def rpc_prober(reactor: Reactor, seconds: float) -> Prober:
    """A prober at the level of RPC; each of its steps may take `seconds`."""

    async def prober(address: str, port: int) -> Probed:
        return from_report(await probe(reactor, address_endpoint(reactor, address, port, seconds), seconds))

    return prober


def from_report(report: ProbeReport) -> Probed:
    """A probe's report in the terms of this room."""
    encodings = [context.encoding for context in report.contexts if context.accepted and context.encoding]
    speaks = f"{report.summary} ({', '.join(encodings)})" if encodings else report.summary
    steps = (("connect", report.connect_ms), ("bind", report.bind_ms), ("management", report.management_ms))
    return Probed(
        report.health is not Health.DOWN, speaks, tuple((name, took) for name, took in steps if took is not None)
    )
