"""Which KMS host a client asks: set by hand, remembered, or found in DNS.

The published rules: a host set by hand (`slmgr /skms`) turns discovery off. Otherwise the host that worked is kept and
asked first, unless caching is off (`slmgr /ckhc`); when it cannot be reached the client forgets it and looks in DNS.
Shared by the lab machines, for which a host is an address, and by the fleet in virtual time.
"""

from __future__ import annotations

from typing import Generic, TypeVar

HostT = TypeVar("HostT")


class HostChoice(Generic[HostT]):
    """One client's knowledge of KMS hosts: `by_hand`, the `cached` one, and whether `caching` is on."""

    __slots__ = ("by_hand", "cached", "caching")

    def __init__(self, by_hand: HostT | None = None, cached: HostT | None = None, caching: bool = True) -> None:
        self.by_hand = by_hand
        self.cached = cached
        self.caching = caching

    @property
    def known(self) -> HostT | None:
        """The host to ask before any discovery, if there is one."""
        if self.by_hand is not None:
            return self.by_hand
        return self.cached if self.caching else None

    @property
    def discovers(self) -> bool:
        """Whether DNS is asked when the known host, if any, is not reached."""
        return self.by_hand is None

    def worked(self, host: HostT) -> None:
        """Note that a host activated the client: it is asked first from now on."""
        if self.caching and self.by_hand is None:
            self.cached = host

    def unreachable(self, host: HostT) -> None:
        """Forget a host that was not reached."""
        if self.cached == host:
            self.cached = None
