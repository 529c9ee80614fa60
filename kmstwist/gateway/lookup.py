"""Looking up the KMS hosts of a domain with Twisted Names: SRV records, and the addresses of their targets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from socket import AF_INET, AF_INET6, inet_ntop
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.names import client, dns, error

from kmstwist.gateway.discover import DiscoveryFailed
from kmstwist.gateway.upstream import Target
from kmstwist.transport.address import HostPort

#: Seconds to wait for a DNS server, try by try.
_TIMEOUTS = (2, 3)


@dataclass(frozen=True, slots=True)
class HostsFound:
    """The KMS hosts of a domain, and for how many seconds that holds."""

    targets: tuple[Target, ...]
    ttl: float


class HostLookup:
    """Finds the KMS hosts of a domain as Windows clients do. Call it with the domain."""

    def __init__(
        self,
        reactor: Any,
        servers: Sequence[HostPort],
        keep: Callable[[Iterable[Target]], tuple[Target, ...]] = tuple,
    ) -> None:
        """Without `servers` those of /etc/resolv.conf are asked. `keep` drops targets that are not wanted."""
        addresses = [(server.host, server.port) for server in servers]
        self._resolver: Any = client.Resolver(
            resolv=None if addresses else "/etc/resolv.conf",
            servers=addresses or None,
            timeout=_TIMEOUTS,
            reactor=reactor,
        )
        self._keep = keep

    async def __call__(self, domain: str) -> HostsFound:
        """The hosts of `domain`. Raises `DiscoveryFailed` where there is none to use."""
        name = f"_vlmcs._tcp.{domain}"
        answers, additional = await self._ask(self._resolver.lookupService, name)
        records = [rr for rr in answers if rr.type == dns.SRV and rr.payload.target.name not in (b"", b".")]
        if not records:
            raise DiscoveryFailed(f"{name} has no SRV record that names a host")
        resolved = await gatherResults([self._addresses(rr, additional) for rr in records])
        found = [(rr, addresses) for rr, addresses in zip(records, resolved, strict=True) if addresses]
        if not found:
            names = ", ".join(_text(rr.payload.target) for rr in records)
            raise DiscoveryFailed(f"no target of {name} has an address: {names}")
        targets = self._keep(_target(rr, addresses) for rr, addresses in found)
        if not targets:
            raise DiscoveryFailed(f"{name} names no host but this gateway")
        # A target that does not resolve now may do so soon: its own time to live is not known, so ask in a minute.
        ttl = min(rr.ttl for rr in records)
        return HostsFound(targets, float(ttl if len(found) == len(records) else min(ttl, 60)))

    def _addresses(self, record: Any, additional: Sequence[Any]) -> Deferred[tuple[str, ...]]:
        return Deferred.fromCoroutine(self._resolve(record.payload.target, additional))

    async def _resolve(self, target: dns.Name, additional: Sequence[Any]) -> tuple[str, ...]:
        """A target's addresses, from the answer's additional section if they are there; none where it has none."""
        given = [rr for rr in additional if rr.name == target]
        found = _addresses_in(given)
        if found:
            return found
        for lookup in (self._resolver.lookupAddress, self._resolver.lookupIPV6Address):
            try:
                answers, more = await self._ask(lookup, _text(target))
            except DiscoveryFailed:
                continue
            found += _addresses_in([*answers, *more])
        return found

    async def _ask(self, lookup: Any, name: str) -> tuple[Sequence[Any], Sequence[Any]]:
        try:
            answers, _, additional = await lookup(name)
        except error.DNSNameError:
            raise DiscoveryFailed(f"{name} does not exist in DNS") from None
        except (error.DomainError, error.ResolverError) as problem:
            raise DiscoveryFailed(f"DNS did not answer for {name}: {type(problem).__name__}") from None
        except (DeferredTimeout, error.DNSQueryTimeoutError):
            raise DiscoveryFailed(f"DNS gave no answer for {name} within {sum(_TIMEOUTS)} s") from None
        return answers, additional


def _target(record: Any, addresses: tuple[str, ...]) -> Target:
    srv = record.payload
    address = HostPort(_text(srv.target), srv.port)
    return Target(str(address), address, srv.priority, srv.weight, addresses, discovered=True)


def _addresses_in(records: Iterable[Any]) -> tuple[str, ...]:
    return tuple(
        inet_ntop(AF_INET if rr.type == dns.A else AF_INET6, rr.payload.address)
        for rr in records
        if rr.type in (dns.A, dns.AAAA)
    )


def _text(name: dns.Name) -> str:
    return name.name.decode("ascii", "backslashreplace").lower().rstrip(".")
