"""Calls recorded under an address that are probably those of a machine known by its name.

A genuine V5 or V6 request has no name that the gateway could read. After an imported event has named a machine's call,
its later calls are still recorded under its address until their own events are imported. Reports do not join the two,
since the address may belong to another machine by then. They only say that the two may be one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kmstwist.audit.asking.questions import ask

if TYPE_CHECKING:
    from kmstwist.audit.asking.questions import Reader

CURE = "import the KMS host's events to know"


@dataclass(frozen=True, slots=True)
class SameMachine:
    """`machine_at` maps an address to its probable machine; `seen` is when a machine's address last called.

    Both contain only addresses that have called since their machine did and that only one machine has had; times are in
    milliseconds since 1970.
    """

    machine_at: Mapping[str, str]
    seen: Mapping[str, int]


def likely_same(reader: Reader) -> SameMachine:
    """The addresses that called without a name after a machine known by its name did."""
    # Matched here and not by a join, for which SQLite would first build an index of a hundred thousand addresses.
    # Row by row: there may be hundreds of thousands.
    last_calls: dict[str, int] = dict(iter(ask(reader, "last calls without a name")))
    if not last_calls:
        return SameMachine({}, {})
    found: dict[str, tuple[str, int]] = {}
    shared = set()
    for address, machine, seen in ask(reader, "last calls by name"):
        if address in last_calls:
            other, other_seen = found.setdefault(address, (machine, seen))
            if other != machine:
                shared.add(address)
            elif seen > other_seen:
                # A machine has a row for each of its products.
                found[address] = machine, seen
    likely = [
        (address, machine)
        for address, (machine, seen) in found.items()
        if address not in shared and last_calls[address] > seen
    ]
    return SameMachine(dict(likely), {machine: last_calls[address] for address, machine in likely})


def counted_twice(number: int) -> str:
    """The note of a report that counts machines, `number` of them perhaps by name and by address."""
    if not number:
        return ""
    return f"of those not readable, {number} may be machines that are counted by name as well; {CURE}"
