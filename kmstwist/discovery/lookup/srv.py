"""The order in which an SRV record set is tried (RFC 2782), and how likely each target is to come first.

Lower priorities are used up before higher ones. Within one priority the order is drawn: targets of weight 0 stand
first, the running sums of the weights are formed, a whole number from 0 to their total is drawn, and the first target
whose running sum reaches it is next; then the same with the rest. RFC 2782 leaves the arrangement before the draw open
("in any order"): it is shuffled here, so that no answer's own order decides, and the probabilities are exact for that.

Windows 7, Windows Server 2008 R2 and later honour priority and weight; Vista and Server 2008 choose at random among all
(Microsoft, "Volume Activation Planning Guide").
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby
from typing import Protocol, TypeVar

_T = TypeVar("_T")


class RandomSource(Protocol):
    """The two draws needed, as `random.Random` has them."""

    def shuffle(self, x: list[_T]) -> None:
        """Put the list in random order."""

    def randint(self, a: int, b: int) -> int:
        """Draw a whole number from `a` to `b`, both included."""


@dataclass(frozen=True, slots=True, order=True)
class SrvRecord:
    """One SRV record: 16-bit priority, weight and port, the target's name, and the answer's TTL in seconds."""

    priority: int
    weight: int
    port: int
    target: str
    ttl: int = 0

    @property
    def data(self) -> tuple[int, int, int, str]:
        """What makes the record itself; the TTL belongs to the whole record set (RFC 2181 5.2)."""
        return (self.priority, self.weight, self.port, self.target)

    def options(self, domain: str) -> str:
        """The options of `kmstwist dns` for this record in a domain; how an update is signed is not among them."""
        place = f"--priority {self.priority} --weight {self.weight}"
        return f"--domain {domain} --host {self.target} --port {self.port} {place}"

    def __str__(self) -> str:
        return f"{self.priority} {self.weight} {self.port} {self.target}."


def available(records: Iterable[SrvRecord]) -> tuple[SrvRecord, ...]:
    """The records that name a host: a target of "." says that there is decidedly no such service (RFC 2782)."""
    return tuple(record for record in records if record.target)


def try_order(records: Iterable[SrvRecord], random: RandomSource) -> list[SrvRecord]:
    """One order in which a client tries these records, drawn as RFC 2782 says."""
    ordered: list[SrvRecord] = []
    for _, group in _by_priority(records):
        arranged = list(group)
        random.shuffle(arranged)
        arranged.sort(key=lambda record: record.weight != 0)
        while arranged:
            ordered.append(arranged.pop(_drawn(arranged, random)))
    return ordered


def first_probabilities(records: Iterable[SrvRecord]) -> dict[SrvRecord, Fraction]:
    """Each record's exact probability of being tried first among those of its own priority.

    The draw has `total + 1` outcomes. A target of weight w owns w of them; the remaining one, 0, goes to whichever
    stands first: one of the weight-0 targets if there are any, else any target, all alike likely after the shuffle.
    """
    probabilities: dict[SrvRecord, Fraction] = {}
    for _, group in _by_priority(records):
        members = list(group)
        outcomes = sum(record.weight for record in members) + 1
        heads = [record for record in members if record.weight == 0] or members
        for record in members:
            head_share = Fraction(1, len(heads)) if record in heads else Fraction(0)
            probabilities[record] = (record.weight + head_share) / outcomes
    return probabilities


def _by_priority(records: Iterable[SrvRecord]) -> Iterable[tuple[int, Iterable[SrvRecord]]]:
    # A record twice in one answer is still one host: sorted(set()) also makes the outcome independent of answer order.
    return groupby(sorted(set(records)), key=lambda record: record.priority)


def _drawn(arranged: list[SrvRecord], random: RandomSource) -> int:
    drawn = random.randint(0, sum(record.weight for record in arranged))
    running = 0
    for index, record in enumerate(arranged):
        running += record.weight
        if running >= drawn:
            return index
    raise AssertionError("the draw exceeds the total of the weights")
