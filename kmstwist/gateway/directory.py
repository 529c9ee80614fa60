"""The upstreams there are: those configured and those discovered, kept up to date without cutting a call off.

A change of what is wanted is compared with what there is. What stays the same keeps its pool and its circuit; what goes
is given no more calls and stops when those under way are done; what is new starts. A host that is drained by hand is
drained by its name: if it goes and comes back, as one found in DNS may, it is still drained.
"""

from __future__ import annotations

from collections.abc import Iterable

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from kmstwist.gateway.choice import POLICIES
from kmstwist.gateway.circuit import SERVING
from kmstwist.gateway.settings import GatewaySettings, host_key
from kmstwist.gateway.upstream import EndpointMaker, Random, Target, Upstream


class UnknownUpstream(Exception):
    """No upstream has that name; the text says which there are."""


class Directory:
    """All upstreams, by name, and the order in which a client's call tries them."""

    def __init__(
        self, settings: GatewaySettings, make_endpoint: EndpointMaker, clock: IReactorTime, random: Random, log: Logger
    ) -> None:
        self._settings = settings
        self._make_endpoint = make_endpoint
        self._clock = clock
        self._random = random
        self._log = log
        self._discovered: tuple[Target, ...] = ()
        self._drained: set[str] = set()
        self._upstreams: dict[str, Upstream] = {}
        #: Whether there is more than one, so that it matters which is asked first.
        self.several = False
        self._retiring: set[Upstream] = set()
        self._running = False
        self._order = POLICIES[settings.policy]
        self._update(rebuild=False)

    def __len__(self) -> int:
        return len(self._upstreams)

    @property
    def upstreams(self) -> list[Upstream]:
        """All of them, the first priority first."""
        return sorted(self._upstreams.values(), key=lambda upstream: (upstream.priority, upstream.name))

    def named(self, name: str) -> Upstream:
        """The upstream of a name. Raises `UnknownUpstream`."""
        upstream = self._upstreams.get(name)
        if upstream is None:
            there = ", ".join(one.name for one in self.upstreams) or "none"
            raise UnknownUpstream(f"no upstream is named '{name}'; there are: {there}")
        return upstream

    @property
    def drained(self) -> tuple[str, ...]:
        """The names of what is drained, of hosts that are not there at present too."""
        return tuple(sorted(self._drained))

    def drain(self, names: Iterable[str]) -> None:
        """Send no more calls to these until they are undrained, whether they are there now or come later."""
        for name in names:
            self._drained.add(name)
            if name in self._upstreams:
                self._upstreams[name].drain()

    def undrain(self, name: str) -> None:
        """Send calls there again."""
        self._drained.discard(name)
        if name in self._upstreams:
            self._upstreams[name].undrain()

    def start(self) -> None:
        """Start every upstream."""
        self._running = True
        for upstream in self._upstreams.values():
            upstream.start()

    def stop(self) -> None:
        """Stop every upstream at once, those that were retiring too."""
        self._running = False
        for upstream in [*self._upstreams.values(), *self._retiring]:
            upstream.stop()

    def in_order(self, client: str, first: str | None) -> list[Upstream]:
        """Whom to ask for this client, one after the other: the one named `first`, if it is well, then by the policy.

        Of one priority, a host that kept silent a moment ago comes after the others. Those that are down come last, for
        when nobody else answers; those drained by hand do not come at all.
        """
        well: list[Upstream] = []
        down: list[Upstream] = []
        for upstream in self._upstreams.values():
            if not upstream.drained:
                (well if upstream.circuit.state in SERVING else down).append(upstream)
        order = self._order
        if len(well) > 1:
            well = order(well, client)
            # sort is stable: only those that were silent move, and the one remembered.
            if any(upstream.silent for upstream in well):
                well.sort(key=lambda upstream: (upstream.priority, upstream.silent))
            if first is not None:
                well.sort(key=lambda upstream: upstream.name != first or upstream.silent)
        return well + order(down, client) if down else well

    def discovered(self, targets: Iterable[Target]) -> None:
        """Take these as the discovered upstreams, instead of those before."""
        self._discovered = tuple(targets)
        self._update(rebuild=False)

    def apply(self, settings: GatewaySettings) -> None:
        """Take changed settings. Whatever a connection depends on starts afresh; the rest stays."""
        old, self._settings = self._settings, settings
        self._order = POLICIES[settings.policy]
        rebuild = (old.pool, old.health, old.attempt_timeout) != (
            settings.pool,
            settings.health,
            settings.attempt_timeout,
        )
        self._update(rebuild)

    def _update(self, rebuild: bool) -> None:
        configured = {
            one.label: Target(one.label, one.host_port, one.priority, one.weight) for one in self._settings.upstreams
        }
        addresses = {host_key(target.address) for target in configured.values()}
        # What is configured is meant: DNS may add hosts, not change what the administrator wrote of one.
        found = {
            target.name: target
            for target in self._discovered
            if target.name not in configured and host_key(target.address) not in addresses
        }
        wanted = configured | found
        for name, upstream in list(self._upstreams.items()):
            target = wanted.get(name)
            if not rebuild and target is not None and _same_place(target, upstream.target):
                upstream.target = target
                continue
            del self._upstreams[name]
            self._retire(upstream)
            if target is not None:
                self._add(target)
                if upstream.drained:
                    self._upstreams[name].drain()
        for name, target in wanted.items():
            if name not in self._upstreams:
                self._add(target)
        self.several = len(self._upstreams) > 1

    def _add(self, target: Target) -> None:
        upstream = Upstream(target, self._settings, self._make_endpoint, self._clock, self._random, self._log)
        self._upstreams[target.name] = upstream
        if target.name in self._drained:
            upstream.drain()
        if self._running:
            upstream.start()

    def _retire(self, upstream: Upstream) -> None:
        if not self._running:
            return
        self._retiring.add(upstream)
        upstream.retire().addCallback(lambda _: self._retiring.discard(upstream))


def _same_place(one: Target, other: Target) -> bool:
    return (one.address, one.addresses) == (other.address, other.addresses)
