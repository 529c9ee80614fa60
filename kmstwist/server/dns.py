"""The server in DNS: publishing its own record, and watching for KMS hosts that nobody configured."""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from twisted.application.service import Service

from kmstwist.addresses import HostPort
from kmstwist.configuration.derived import known_hosts
from kmstwist.configuration.model import Config
from kmstwist.discovery.lookup import dns_names
from kmstwist.discovery.lookup.dns_names import NameInvalid
from kmstwist.discovery.settings import PublishSettings
from kmstwist.reactor import Reactor
from kmstwist.startup import StartupError

# What speaks DNS is imported where it is needed: a server that publishes nothing and finds nothing starts without it.
if TYPE_CHECKING:
    from kmstwist.discovery.lookup.resolver import Lookup
    from kmstwist.discovery.publishing.publisher import PublisherService
    from kmstwist.discovery.strangers import StrangerWatch
    from kmstwist.gateway.service import GatewayService

_random = secrets.SystemRandom()


class Asking:
    """The server's one way to ask DNS, made when somebody asks first. `servers` may be given other values."""

    def __init__(self, reactor: Reactor, servers: Sequence[HostPort]) -> None:
        self._reactor = reactor
        self._servers = servers
        self._lookup: Lookup | None = None

    @property
    def servers(self) -> Sequence[HostPort]:
        """The servers to ask; none for those of this machine."""
        return self._servers

    @servers.setter
    def servers(self, servers: Sequence[HostPort]) -> None:
        self._servers = servers
        if self._lookup is not None:
            self._lookup.servers = servers

    @property
    def lookup(self) -> Lookup:
        """What asks them."""
        if self._lookup is None:
            from kmstwist.discovery.lookup.resolver import Lookup

            self._lookup = Lookup(self._reactor, self._servers)
        return self._lookup


@dataclass(frozen=True, slots=True)
class Naming:
    """What `[dns]` asks for; None of what it does not."""

    publisher: PublisherService | None = None
    watch: StrangerWatch | None = None

    def keep(self, request: object = None) -> None:
        """Leave our record in DNS as it is at the end: a successor has the name from then on."""
        if self.publisher is not None:
            self.publisher.withdraw = False

    @property
    def services(self) -> list[Service]:
        """Those there are, to be started when the listening port is open."""
        return [service for service in (self.publisher, self.watch) if service is not None]


def make_naming(
    config: Config,
    gateway: GatewayService | None,
    ports: frozenset[int],
    reactor: Reactor,
    asking: Asking,
) -> Naming:
    """What `[dns]` asks for; `ports` are those the server listens on. Raises `StartupError`."""
    publish, watch = config.dns.publish, config.dns.watch
    if not publish.domains and not watch.domains:
        return Naming()
    from kmstwist.discovery.publishing.tsig import KeyFileInvalid

    try:
        # Asked once, before anything is served: the system may take its time to tell its own full name.
        own_name = publish.host or socket.getfqdn()
        publisher = _publisher(publish, own_name, ports, reactor, asking.lookup) if publish.domains else None
    except (KeyFileInvalid, NameInvalid) as error:
        raise StartupError.of(error, "[dns]") from None
    if not watch.domains:
        return Naming(publisher)
    from kmstwist.discovery.strangers import StrangerWatch

    def known() -> set[str]:
        # The upstreams may have been changed since the last look.
        upstreams = config.gateway.upstreams if gateway is None else gateway.settings.upstreams
        return known_hosts(config, own_name, [upstream.host_port.host for upstream in upstreams])

    return Naming(publisher, StrangerWatch(reactor, asking.lookup, watch.domains, known, watch.interval))


def _publisher(
    publish: PublishSettings, own_name: str, ports: frozenset[int], reactor: Reactor, lookup: Lookup
) -> PublisherService:
    """Raises `KeyFileInvalid`, `NameInvalid`, and `StartupError` where it is not clear which port to publish."""
    from kmstwist.discovery.publishing.publisher import PublisherService
    from kmstwist.discovery.publishing.updater import Updater

    server = dns_names.host_port(publish.server, dns_names.DNS_PORT) if publish.server else None
    updater = Updater(reactor, lookup, publish.key(), time.time, server, publish.timeouts, publish.replace_own)
    return PublisherService(
        reactor,
        updater,
        publish.publications(own_name, publish.port or _only(ports)),
        _random.random,
        refresh=publish.refresh,
        retry_first=publish.retry_first,
        retry_longest=publish.retry_longest,
        withdraw=publish.withdraw_on_stop,
    )


def _only(ports: frozenset[int]) -> int:
    if len(ports) == 1 and (port := next(iter(ports))):
        return port
    listed = ", ".join(map(str, sorted(ports - {0}))) or "a port that is not known before it is open"
    raise StartupError(f"this server listens on {listed}", "say which port clients are sent to", "[dns.publish] port")
