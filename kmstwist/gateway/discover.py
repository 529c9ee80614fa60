"""Upstreams found in DNS: the SRV records of a domain, asked for again when their time to live is over.

When DNS fails, or none of its targets resolves, the last good answer is kept; so is a single host whose addresses
cannot be found this time: a host does not vanish because a resolver fails. Our own record is never taken, since this
gateway may be published in the same domain.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container, Iterable
from typing import Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from kmstwist.gateway.ownaddress import is_own_address
from kmstwist.gateway.upstream import Random, Target
from kmstwist.logevents import DISCOVERED, DISCOVERY_FAILED
from kmstwist.pacing.waits import doubled, spread

#: The fewest and the most seconds between two questions; between these limits, the answer's time to live decides.
SHORTEST_TTL = 5.0
LONGEST_TTL = 86_400.0
#: Seconds until a failed question is asked again: the first wait, doubled each time, up to the longest.
_FIRST_RETRY = 5.0
_LONGEST_RETRY = 300.0


class DiscoveryFailed(Exception):
    """DNS gave nothing usable; the text is a sentence."""


class Found(Protocol):
    """What a resolver found: the targets, and for how many seconds they are valid."""

    @property
    def targets(self) -> tuple[Target, ...]:
        """KMS hosts with their addresses."""

    @property
    def ttl(self) -> float:
        """Seconds until it should be asked again."""

    @property
    def unsure(self) -> Container[str]:
        """The names of targets that exist, but whose addresses could not be found."""


#: Looks up the KMS hosts of a domain. Raises `DiscoveryFailed`.
Resolver = Callable[[str], Awaitable[Found]]


class Discoverer:
    """Asks `resolver` for a domain's hosts, again and again, and passes them to `take`."""

    def __init__(
        self,
        take: Callable[[Iterable[Target]], None],
        resolver: Resolver,
        clock: IReactorTime,
        random: Random,
        log: Logger,
    ) -> None:
        self._take = take
        self._resolver = resolver
        self._clock = clock
        self._random = random
        self._log = log
        self._domain: str | None = None
        self._timer: IDelayedCall | None = None
        self._asking: Deferred[object] | None = None
        self._failures = 0
        self._last: frozenset[Target] | None = None

    def look_in(self, domain: str | None) -> None:
        """Discover in this domain from now on; None stops discovery and removes the discovered hosts."""
        self.stop()
        self._failures = 0
        self._domain = domain
        self._last = None
        if domain is None:
            self._take(())
        else:
            self._ask()

    def stop(self) -> None:
        """Stop asking."""
        self._domain = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._asking is not None:
            self._asking.cancel()
            self._asking = None

    def _ask(self) -> None:
        self._timer = None
        assert self._domain is not None
        self._asking = Deferred.fromCoroutine(_awaited(self._resolver(self._domain)))
        self._asking.addCallbacks(self._found, self._failed)

    def _found(self, found: Found) -> None:
        self._asking = None
        self._failures = 0
        targets = frozenset(found.targets) | {target for target in self._last or () if target.name in found.unsure}
        if targets != self._last:
            self._last = targets
            names = ",".join(sorted(f"{t.name}({t.priority},{t.weight})" for t in targets))
            DISCOVERED.emit(self._log, domain=self._domain, upstreams=names, ttl_s=found.ttl)
            self._take(targets)
        self._again(min(LONGEST_TTL, max(SHORTEST_TTL, found.ttl)))

    def _failed(self, failure: Failure) -> None:
        if failure.check(CancelledError):
            return
        failure.trap(DiscoveryFailed)
        self._asking = None
        self._failures += 1
        kept = "" if not self._last else ",".join(sorted(target.name for target in self._last))
        DISCOVERY_FAILED.emit(self._log, domain=self._domain, detail=failure.getErrorMessage(), kept=kept)
        self._again(spread(doubled(_FIRST_RETRY, _LONGEST_RETRY, self._failures), self._random))

    def _again(self, seconds: float) -> None:
        self._timer = self._clock.callLater(seconds, self._ask)


async def _awaited(found: Awaitable[Found]) -> Found:
    return await found


def without_ourselves(
    targets: Iterable[Target], own_ports: Container[int], own: Callable[[str], bool] = is_own_address
) -> tuple[Target, ...]:
    """The targets that are not this gateway: those at another port, or at an address that is not this machine's."""
    return tuple(
        target
        for target in targets
        if target.address.port not in own_ports or not any(own(address) for address in target.addresses)
    )
