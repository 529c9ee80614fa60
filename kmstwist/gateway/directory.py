"""The upstreams, configured and discovered, kept up to date without cutting off a call.

A new set of upstreams is compared with the present one. One that stays keeps its pool and its circuit; one that goes
gets no more calls and stops when its calls under way are done; a new one starts. Draining by hand applies to a name: a
host that goes and comes back, as one found in DNS may, is still drained.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from kmstwist.gateway.choice import POLICIES, sticky_order
from kmstwist.gateway.circuit import SERVING
from kmstwist.gateway.settings import GatewaySettings, host_key
from kmstwist.gateway.upstream import EndpointMaker, Random, Target, Upstream

#: Clients whose order is known at most, as many as admission remembers, and hosts in all these orders together: 32 MB.
_KNOWN: Final = 65_536
_KNOWN_HOSTS: Final = 1 << 22


class UnknownUpstream(Exception):
    """No upstream has that name; the text lists the names there are."""


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
        #: Whom to ask for a client, one after the other, as `in_order` said, for as long as it would say the same.
        self.known_orders: dict[str, Sequence[Upstream]] = {}
        #: Whether there is more than one upstream, so that their order matters.
        self.several = False
        self._retiring: set[Upstream] = set()
        self._running = False
        self._order = POLICIES[settings.policy]
        self._update(rebuild=False)

    def __len__(self) -> int:
        return len(self._upstreams)

    @property
    def upstreams(self) -> list[Upstream]:
        """All upstreams, the lowest priority first."""
        return sorted(self._upstreams.values(), key=lambda upstream: (upstream.priority, upstream.name))

    def named(self, name: str) -> Upstream:
        """The upstream with this name. Raises `UnknownUpstream`."""
        upstream = self._upstreams.get(name)
        if upstream is None:
            there = ", ".join(one.name for one in self.upstreams) or "none"
            raise UnknownUpstream(f"no upstream is named '{name}'; there are: {there}")
        return upstream

    @property
    def drained(self) -> tuple[str, ...]:
        """The names that are drained, including those of hosts that are absent at present."""
        return tuple(sorted(self._drained))

    def drain(self, names: Iterable[str]) -> None:
        """Send no more calls to these names until they are undrained, whether the hosts are present or come later."""
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
        """Stop every upstream at once, including those that are retiring."""
        self._running = False
        for upstream in [*self._upstreams.values(), *self._retiring]:
            upstream.stop()

    def in_order(self, client: str, first: str | None) -> Sequence[Upstream]:
        """The upstreams to ask for this client, in order: the one named `first`, if it is healthy, then by the policy.

        Within one priority, a host that recently did not answer comes after the others. Hosts that are down come last,
        in case no other answers; hosts drained by hand are left out.

        Weighing each host for each call would cost the more the more there are. So while all of them are well, an order
        that depends on the client only is kept, until one of the hosts changes.
        """
        well: list[Upstream] = []
        down: list[Upstream] = []
        for upstream in self._upstreams.values():
            if not upstream.drained:
                (well if upstream.circuit.state in SERVING else down).append(upstream)
        order = self._order
        if len(well) > 1:
            well = order(well, client)
            # sort is stable: only the silent hosts and the remembered one change their places.
            if any(upstream.silent for upstream in well):
                well.sort(key=lambda upstream: (upstream.priority, upstream.silent))
            if first is not None:
                well.sort(key=lambda upstream: upstream.name != first or upstream.silent)
        if down:
            return well + order(down, client)
        if len(well) == 1 or (order is sticky_order and first is None and all(one.steady for one in well)):
            if len(self.known_orders) >= min(_KNOWN, _KNOWN_HOSTS // max(1, len(well))):
                self.known_orders.clear()
            self.known_orders[client] = tuple(well)
        return well

    def discovered(self, targets: Iterable[Target]) -> None:
        """Replace the discovered upstreams by these."""
        self._discovered = tuple(targets)
        self._update(rebuild=False)

    def apply(self, settings: GatewaySettings) -> None:
        """Apply changed settings. If a setting affects connections, the upstreams start afresh; otherwise they stay."""
        old, self._settings = self._settings, settings
        self._order = POLICIES[settings.policy]
        rebuild = (old.pool, old.health, old.attempt_timeout) != (
            settings.pool,
            settings.health,
            settings.attempt_timeout,
        )
        self._update(rebuild)

    def _update(self, rebuild: bool) -> None:
        self.known_orders.clear()
        configured = {
            one.label: Target(one.label, one.host_port, one.priority, one.weight) for one in self._settings.upstreams
        }
        addresses = {host_key(target.address) for target in configured.values()}
        # The configuration takes precedence: DNS may add hosts, but not change what the administrator wrote.
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
        upstream = Upstream(
            target,
            self._settings,
            self._make_endpoint,
            self._clock,
            self._random,
            self._log,
            when_changed=self.known_orders.clear,
        )
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
