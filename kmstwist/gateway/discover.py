"""Upstreams found in DNS: the SRV records of a domain, asked for again as their time to live says.

When DNS fails, or names nothing that resolves, the last good answer is kept, and so is the single host whose addresses
DNS cannot tell this time: hosts do not vanish because a resolver does. A record of our own is never taken, for this
gateway may be published in the same domain.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container, Iterable
from typing import Any, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from kmstwist.gateway.ownaddress import is_own_address
from kmstwist.gateway.upstream import Random, Target
from kmstwist.logevents import DISCOVERED, DISCOVERY_FAILED
from kmstwist.pacing.waits import doubled, spread

#: Seconds between two questions: an answer's time to live counts between these.
SHORTEST_TTL = 5.0
LONGEST_TTL = 86_400.0
#: Seconds until a failed question is asked again; doubled each time up to the longest.
_FIRST_RETRY = 5.0
_LONGEST_RETRY = 300.0


class DiscoveryFailed(Exception):
    """DNS gave nothing to use; the text is a sentence."""


class Found(Protocol):
    """What a resolver found: the targets, and for how many seconds that holds."""

    @property
    def targets(self) -> tuple[Target, ...]:
        """KMS hosts with their addresses."""

    @property
    def ttl(self) -> float:
        """Seconds until it should be asked again."""

    @property
    def unsure(self) -> Container[str]:
        """Names of targets there are, of whose addresses nothing was learnt."""


#: Looks up the KMS hosts of a domain. Raises `DiscoveryFailed`.
Resolver = Callable[[str], Awaitable[Found]]


class Discoverer:
    """Asks `resolver` for a domain's hosts, again and again, and hands them to `take`."""

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
        self._asking: Deferred[Any] | None = None
        self._failures = 0
        self._last: frozenset[Target] | None = None

    def look_in(self, domain: str | None) -> None:
        """Discover in this domain from now on; None ends it and takes the discovered hosts away."""
        self.stop()
        self._failures = 0
        self._domain = domain
        self._last = None
        if domain is None:
            self._take(())
        else:
            self._ask()

    def stop(self) -> None:
        """Ask no more."""
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
