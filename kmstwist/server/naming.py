"""The server in DNS: publishing its own record, and watching for KMS hosts that nobody configured."""

from __future__ import annotations

import secrets
import socket
import time
from dataclasses import dataclass

from twisted.application.service import Service

from kmstwist.configuration.derived import known_hosts
from kmstwist.configuration.model import Config
from kmstwist.discovery.lookup import names
from kmstwist.discovery.lookup.names import NameInvalid
from kmstwist.discovery.lookup.resolver import Lookup
from kmstwist.discovery.publishing.publisher import PublisherService
from kmstwist.discovery.publishing.tsig import KeyFileInvalid
from kmstwist.discovery.publishing.updater import Updater
from kmstwist.discovery.settings import PublishSettings
from kmstwist.discovery.strangers import StrangerWatch
from kmstwist.gateway.service import GatewayService
from kmstwist.reactor import Reactor
from kmstwist.startup import StartupError

_random = secrets.SystemRandom()


@dataclass(frozen=True, slots=True)
class Naming:
    """What `[dns]` asks for; None of what it does not."""

    publisher: PublisherService | None = None
    watch: StrangerWatch | None = None

    @property
    def services(self) -> list[Service]:
        """Those there are, to be started when the listening port is open."""
        return [service for service in (self.publisher, self.watch) if service is not None]


def make_naming(
    config: Config,
    gateway: GatewayService | None,
    ports: frozenset[int],
    reactor: Reactor,
    lookup: Lookup,
) -> Naming:
    """What `[dns]` asks for; `ports` are those the server listens on. Raises `StartupError`."""
    publish, watch = config.dns.publish, config.dns.watch
    if not publish.domains and not watch.domains:
        return Naming()
    try:
        # Asked once, before anything is served: the system may take its time to tell its own full name.
        own_name = publish.host or socket.getfqdn()
        publisher = _publisher(publish, own_name, ports, reactor, lookup) if publish.domains else None
    except (KeyFileInvalid, NameInvalid) as error:
        raise StartupError.of(error, "[dns]") from None
    if not watch.domains:
        return Naming(publisher)

    def known() -> set[str]:
        # The upstreams may have been changed since the last look.
        upstreams = config.gateway.upstreams if gateway is None else gateway.settings.upstreams
        return known_hosts(config, own_name, [upstream.host_port.host for upstream in upstreams])

    return Naming(publisher, StrangerWatch(reactor, lookup, watch.domains, known, watch.interval))


def _publisher(
    publish: PublishSettings, own_name: str, ports: frozenset[int], reactor: Reactor, lookup: Lookup
) -> PublisherService:
    """Raises `KeyFileInvalid`, `NameInvalid`, and `StartupError` where it is not clear which port to publish."""
    server = names.host_port(publish.server, names.DNS_PORT) if publish.server else None
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
