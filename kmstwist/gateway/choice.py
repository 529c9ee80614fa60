"""Which KMS host a call goes to first, and which after it.

All hosts of a lower priority come before those of a higher one, as in an SRV record (RFC 2782). Within one priority,
`sticky` orders the hosts by weighted rendezvous hashing of the client's address (Thaler and Ravishankar, "Using
Name-Based Mappings to Increase Hit Rates", with the logarithmic weights of Schindelhauer and Schomaker): a client's
renewals keep reaching the same host through any gateway or worker, and when a host goes away only its own clients move.
`spread` takes the host with the fewest calls under way for its weight.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from hashlib import blake2b
from typing import Protocol, TypeVar


class Candidate(Protocol):
    """What the choice needs to know of an upstream."""

    @property
    def name(self) -> str:
        """The name by which it is hashed."""

    @property
    def priority(self) -> int:
        """Lower is asked first."""

    @property
    def share(self) -> float:
        """Its weight at present, above 0."""

    @property
    def load(self) -> int:
        """Calls under way or waiting there."""


CandidateT = TypeVar("CandidateT", bound=Candidate)


def sticky_order(candidates: Iterable[CandidateT], client: str) -> list[CandidateT]:
    """By priority, then by the rendezvous score of the client's address: the best first."""
    return sorted(candidates, key=lambda c: (c.priority, -rendezvous_score(c.name, c.share, client)))


def spread_order(candidates: Iterable[CandidateT], client: str) -> list[CandidateT]:
    """By priority, then by load divided by weight; the rendezvous score decides between equals."""
    return sorted(
        candidates,
        key=lambda c: (c.priority, (c.load + 1) / c.share, -rendezvous_score(c.name, c.share, client)),
    )


def rendezvous_score(name: str, weight: float, client: str) -> float:
    """The client's score for a host. Over all clients, a host has the highest score in proportion to its weight."""
    digest = blake2b(f"{client}\0{name}".encode(), digest_size=8).digest()
    # 53 bits are all that a float holds; adding a half keeps the fraction between 0 and 1, excluding both.
    fraction = ((int.from_bytes(digest, "big") >> 11) + 0.5) / (1 << 53)
    return -weight / math.log(fraction)


POLICIES = {"sticky": sticky_order, "spread": spread_order}
