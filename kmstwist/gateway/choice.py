"""Which KMS host a call goes to first, and which after it.

Lower priorities are used up before higher ones, as in an SRV record (RFC 2782). Inside one priority, `sticky` orders
the hosts by weighted rendezvous hashing of the client's address (Thaler and Ravishankar, "Using Name-Based Mappings to
Increase Hit Rates", with the logarithmic weights of Schindelhauer and Schomaker): a client's renewals keep reaching the
same host, whichever gateway or worker it comes through, and when a host goes only its own clients move. `spread` takes
the host with the fewest calls under way for its weight.
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
        """What it is hashed by."""

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
    """By priority, then by load for its weight; between equals the rendezvous score decides, not the order of names."""
    return sorted(
        candidates,
        key=lambda c: (c.priority, (c.load + 1) / c.share, -rendezvous_score(c.name, c.share, client)),
    )


def rendezvous_score(name: str, weight: float, client: str) -> float:
    """The client's score for a host: over all clients, the highest is a host's in proportion to its weight."""
    digest = blake2b(f"{client}\0{name}".encode(), digest_size=8).digest()
    # 53 bits, all that a float holds; the half keeps the fraction off 0 and 1, where the logarithm has no use.
    fraction = ((int.from_bytes(digest, "big") >> 11) + 0.5) / (1 << 53)
    return -weight / math.log(fraction)


POLICIES = {"sticky": sticky_order, "spread": spread_order}
