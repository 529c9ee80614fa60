"""The KMS hosts of a domain as upstreams: the SRV records with the addresses of their targets."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from kmstwist.discovery.resolver import HostAnswer, Lookup, LookupFailed
from kmstwist.discovery.srv import SrvRecord, available
from kmstwist.discovery.together import together
from kmstwist.gateway.discover import DiscoveryFailed
from kmstwist.gateway.upstream import Target
from kmstwist.transport.address import HostPort

#: A target that does not resolve now may do so soon: seconds until DNS is asked again then.
_INCOMPLETE_TTL = 60.0


@dataclass(frozen=True, slots=True)
class HostsFound:
    """The KMS hosts of a domain, and for how many seconds that holds."""

    targets: tuple[Target, ...]
    ttl: float


async def find_hosts(
    domain: str, lookup: Lookup, keep: Callable[[Iterable[Target]], tuple[Target, ...]] = tuple
) -> HostsFound:
    """The KMS hosts of `domain`; `keep` drops targets that are not wanted, such as ourselves.

    Raises `DiscoveryFailed` where there is none to use.
    """
    try:
        answer = await lookup.service(domain)
    except LookupFailed as failed:
        raise DiscoveryFailed(str(failed).rstrip(".")) from None
    records = available(answer.records)
    if not records:
        raise DiscoveryFailed(f"{answer.name} says that the domain has no KMS host")
    hosts = await together(_resolve(lookup, record.target) for record in records)
    found = [(record, host) for record, host in zip(records, hosts, strict=True) if host is not None]
    if not found:
        names = ", ".join(record.target for record in records)
        raise DiscoveryFailed(f"no target of {answer.name} has an address: {names}")
    targets = keep(_target(record, host) for record, host in found)
    if not targets:
        raise DiscoveryFailed(f"{answer.name} names no host but this gateway")
    ttl = float(min([record.ttl for record in records] + [host.ttl for _, host in found]))
    return HostsFound(targets, ttl if len(found) == len(records) else min(ttl, _INCOMPLETE_TTL))


async def _resolve(lookup: Lookup, name: str) -> HostAnswer | None:
    try:
        return await lookup.host(name)
    except LookupFailed:
        # The others may do; if none does, that is said of all together.
        return None


def _target(record: SrvRecord, host: HostAnswer) -> Target:
    address = HostPort(record.target, record.port)
    return Target(str(address), address, record.priority, record.weight, host.addresses, discovered=True)
