"""This machine's own DNS configuration: its DNS servers, its search list, and the names it knows (as in /etc/hosts)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import dns.resolver as system_resolver
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IAddress, IHostResolution, IResolutionReceiver
from zope.interface import implementer

from kmstwist.addresses import HostPort
from kmstwist.discovery.lookup.answers import LookupFailed, LookupProblem
from kmstwist.discovery.lookup.dns_names import DNS_PORT
from kmstwist.reactor import Reactor

RESOLV_CONF = "/etc/resolv.conf"


class NoDnsServer(LookupFailed):
    """This machine has no DNS server configured, so nothing can be looked up; the text is a sentence."""

    def __init__(self) -> None:
        Exception.__init__(self, f"This machine has no DNS server configured in {RESOLV_CONF}; name one.")
        self.problem = LookupProblem.NO_SERVER
        self.name = ""
        self.server = None


def system_servers() -> tuple[HostPort, ...]:
    """The DNS servers this machine is configured with (resolv.conf). Raises `NoDnsServer` if there is none."""
    return tuple(HostPort(str(server), DNS_PORT) for server in _system().nameservers)


def system_search_list() -> tuple[str, ...]:
    """This machine's own DNS search list (resolv.conf's `search` or `domain`, else its host name's domain).

    Raises `NoDnsServer`.
    """
    configured = _system()
    names = list(configured.search) or [configured.domain]
    return tuple(
        text for name in names if (text := name.canonicalize().to_text(omit_final_dot=True)) not in ("", "@", ".")
    )


async def system_addresses(reactor: Reactor, name: str, seconds: float) -> Sequence[str]:
    """The addresses that the system itself has for a host's name (`getaddrinfo`), in its order.

    Empty if it has none. The look-up runs in one of the reactor's threads; after `seconds` its result is ignored.
    """
    found = _Addresses()
    reactor.nameResolver.resolveHostName(found, name)
    try:
        return await found.complete.addTimeout(seconds, reactor)
    except DeferredTimeout:
        return ()


@implementer(IResolutionReceiver)
class _Addresses:
    def __init__(self) -> None:
        self._found: list[str] = []
        # A result after the time is up is ignored, and is not an error.
        self.complete: Deferred[Sequence[str]] = Deferred(lambda deferred: None)

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        pass

    def addressResolved(self, address: IAddress) -> None:
        resolved: Any = address
        self._found.append(resolved.host)

    def resolutionComplete(self) -> None:
        if not self.complete.called:
            self.complete.callback(tuple(dict.fromkeys(self._found)))


def _system() -> system_resolver.Resolver:
    try:
        found = os.stat(RESOLV_CONF)
        configured = _read(found.st_ino, found.st_mtime_ns, found.st_size)
    except (system_resolver.NoResolverConfiguration, OSError) as missing:
        raise NoDnsServer from missing
    if not configured.nameservers:
        raise NoDnsServer
    return configured


@lru_cache(maxsize=1)
def _read(inode: int, changed_ns: int, size: int) -> system_resolver.Resolver:
    """The machine's configuration, read once for each state of its file, which the arguments identify."""
    return system_resolver.Resolver(RESOLV_CONF)
