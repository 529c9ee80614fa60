"""The server in DNS: publishing its own record, and watching for KMS hosts that nobody configured."""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Callable
from typing import Any

from twisted.application.service import Service

from kmstwist.discovery import names
from kmstwist.discovery.names import NameInvalid
from kmstwist.discovery.publisher import PublisherService
from kmstwist.discovery.resolver import Lookup
from kmstwist.discovery.strangers import StrangerWatch
from kmstwist.discovery.tsig import KeyFileInvalid
from kmstwist.discovery.updater import Updater
from kmstwist.gateway.service import GatewayService
from kmstwist.server.config import Config
from kmstwist.server.errors import StartupError

_random = secrets.SystemRandom()


def make_dns_services(config: Config, gateway: GatewayService | None, reactor: Any, lookup: Lookup) -> list[Service]:
    """What `[dns]` asks for, to be started when the listening port is open. Raises `StartupError`."""
    publish, watch = config.dns.publish, config.dns.watch
    services: list[Service] = []
    try:
        if publish.domains:
            server = names.host_port(publish.server, names.DNS_PORT) if publish.server else None
            updater = Updater(reactor, lookup, publish.key(), time.time, server, publish.timeouts)
            publications = publish.publications(socket.getfqdn(), config.server.port)
            services.append(
                PublisherService(
                    reactor,
                    updater,
                    publications,
                    _random.random,
                    refresh=publish.refresh,
                    retry_first=publish.retry_first,
                    retry_longest=publish.retry_longest,
                    withdraw=publish.withdraw_on_stop,
                )
            )
        if watch.domains:
            known = _known_hosts(config, gateway)
            services.append(StrangerWatch(reactor, lookup, watch.domains, known, watch.interval))
    except (KeyFileInvalid, NameInvalid) as error:
        raise StartupError(f"[dns]: {error}") from None
    return services


def _known_hosts(config: Config, gateway: GatewayService | None) -> Callable[[], set[str]]:
    """The names and addresses that are no strangers: those configured, the upstreams, and ourselves."""

    def known() -> set[str]:
        hosts = {*config.dns.watch.hosts, socket.getfqdn().lower()}
        if config.dns.publish.host:
            hosts.add(config.dns.publish.host)
        if gateway is not None:
            hosts |= {upstream.host_port.host.lower() for upstream in gateway.settings.upstreams}
        return hosts

    return known
