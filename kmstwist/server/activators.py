"""What answers the calls: the lab or the gateway, made from the configuration."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

from twisted.internet.address import IPv4Address, IPv6Address

from kmstwist.clock import now
from kmstwist.configuration.derived import lab_key_file, listening_ports, listens_at, refuse_ourselves, state_dir
from kmstwist.configuration.model import Config
from kmstwist.gateway.settings import GatewaySettings
from kmstwist.reactor import Reactor
from kmstwist.server.dns import Asking
from kmstwist.startup import StartupError

# A server is a lab or a gateway, and loads only what it is.
if TYPE_CHECKING:
    from twisted.internet.interfaces import IStreamClientEndpoint

    from kmstwist.gateway.hosts_in_dns import HostsFound
    from kmstwist.gateway.service import GatewayService
    from kmstwist.gateway.upstream import Target
    from kmstwist.lab.service import LabService

#: The niceness that `slmgr /cpri` on the lab host gives its process.
_LOW_PRIORITY = 10
_random = secrets.SystemRandom()


def make_lab(config: Config, reactor: Reactor) -> LabService:
    """The lab's host with its key and memory. Raises `StartupError`."""
    from kmstwist.kms.catalogue import products
    from kmstwist.lab.errors import LabFileError
    from kmstwist.lab.host import LabHost
    from kmstwist.lab.host_settings import HostSettings
    from kmstwist.lab.keys import LabKey, LabKeyError
    from kmstwist.lab.service import LabService
    from kmstwist.lab.store import STORE_FILE_NAME, LabStore

    folder = state_dir(config)
    try:
        file = lab_key_file(config)
        # A key that is to be another lab's is not made here: clients of that lab would not be understood.
        key = LabKey.load(file) if config.lab.key else LabKey.load_or_create(file, os.urandom)
        store = LabStore(folder / STORE_FILE_NAME)
        memory = store.load()
        if store.load_settings().low_priority:
            os.nice(_LOW_PRIORITY)
        port = min(listening_ports(config), default=config.server.port)
        publishes = bool(config.dns.publish.domains)
        running = HostSettings(config.lab.activation_interval, config.lab.renewal_interval, port, publishes)
        if store.load_running() != running:
            store.save_running(running)
        store.close()
    except (LabKeyError, LabFileError) as error:
        raise StartupError.of(error) from None
    ahead = config.lab.clock_error * 60
    host = LabHost(
        key,
        now=now if not ahead else lambda: now() + ahead,
        random=os.urandom,
        covered=[product for product in products() if product.family in config.lab.products],
        memory=memory,
        logs=True,
        activation_interval=config.lab.activation_interval,
        renewal_interval=config.lab.renewal_interval,
    )
    # The ports are open by then. The audit's thread does not load yet what it needs: the two would hold each other up.
    reactor.callWhenRunning(host.prepare)
    return LabService(host, store, reactor, started_with=running)


def make_gateway(config: Config, reactor: Reactor, asking: Asking, *, workers: int = 1) -> GatewayService:
    """The gateway in front of the configured upstreams. Raises `StartupError` if one of them is this gateway itself."""
    from kmstwist.gateway.discover import without_ourselves
    from kmstwist.gateway.service import GatewayService
    from kmstwist.transport.endpoints import Guarded, addresses_endpoint, endpoint_for
    from kmstwist.transport.errors import ConnectError
    from kmstwist.transport.lookups import share_lookups

    settings = config.gateway
    own_ports = listening_ports(config)
    refuse_ourselves(config)
    share_lookups(reactor)

    def not_ourselves(peer: object) -> None:
        # A name may lead here, too: it is easy to write the gateway's name in place of the host's.
        if isinstance(peer, IPv4Address | IPv6Address) and listens_at(config, peer.host, peer.port):
            raise ConnectError("that is this gateway itself; name the licensed KMS host")

    def ours(address: str) -> bool:
        return any(listens_at(config, address, port) for port in own_ports)

    def endpoint(target: Target, timeout: float) -> IStreamClientEndpoint:
        # A host by its name, or by the addresses that DNS gave for it, so that the name is not looked up twice.
        if not target.addresses:
            return endpoint_for(reactor, target.address.host, target.address.port, timeout)
        return addresses_endpoint(reactor, target.addresses, target.address.port, timeout)

    async def look_up(domain: str) -> HostsFound:
        # Here, because most gateways are told their hosts.
        from kmstwist.gateway.hosts_in_dns import find_hosts

        return await find_hosts(domain, asking.lookup, lambda targets: without_ourselves(targets, own_ports, ours))

    return GatewayService(
        share_of(settings, workers),
        lambda target, timeout: Guarded(endpoint(target, timeout), not_ourselves),
        reactor,
        random=_random.random,
        resolver=look_up,
    )


def share_of(settings: GatewaySettings, workers: int) -> GatewaySettings:
    """The settings for one of several workers: each has its share of the connections, rounded up."""
    pool = settings.pool
    return settings.model_copy(
        update={
            "pool": pool.model_copy(
                update={name: -(-getattr(pool, name) // workers) for name in ("floor", "ceiling", "queue")}
            )
        }
    )
