"""The KMS hosts of a domain as upstreams: the SRV records with the addresses of their targets."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from kmstwist.addresses import HostPort
from kmstwist.discovery.lookup.answers import HostAnswer, LookupFailed
from kmstwist.discovery.lookup.concurrently import together
from kmstwist.discovery.lookup.resolver import Lookup
from kmstwist.discovery.lookup.srv import SrvRecord, available
from kmstwist.gateway.discover import DiscoveryFailed
from kmstwist.gateway.upstream import Target

#: Seconds until DNS is asked again if a target does not resolve, since it may soon.
_INCOMPLETE_TTL = 60.0


@dataclass(frozen=True, slots=True)
class HostsFound:
    """The KMS hosts of a domain, and for how many seconds they are valid.

    `unsure` are the names of further hosts in DNS whose addresses could not be found this time.
    """

    targets: tuple[Target, ...]
    ttl: float
    unsure: frozenset[str] = frozenset()


async def find_hosts(
    domain: str, lookup: Lookup, keep: Callable[[Iterable[Target]], tuple[Target, ...]] = tuple
) -> HostsFound:
    """The KMS hosts of `domain`; `keep` drops targets that are not wanted, such as ourselves.

    Raises `DiscoveryFailed` if none is usable.
    """
    try:
        answer = await lookup.service(domain)
    except LookupFailed as failed:
        raise DiscoveryFailed(failed.said) from None
    records = available(answer.records)
    if not records:
        raise DiscoveryFailed(f"{answer.name} says that the domain has no KMS host")
    hosts = await together(_resolve(lookup, record.target) for record in records)
    found = [(record, host) for record, host in zip(records, hosts, strict=True) if isinstance(host, HostAnswer)]
    unsure = frozenset(
        _name(record)
        for record, host in zip(records, hosts, strict=True)
        if isinstance(host, LookupFailed) and not host.says_no
    )
    if not found:
        names = ", ".join(record.target for record in records)
        raise DiscoveryFailed(f"no target of {answer.name} has an address: {names}")
    targets = keep(_target(record, host) for record, host in found)
    if not targets:
        raise DiscoveryFailed(f"{answer.name} names no host but this gateway")
    ttl = float(min([record.ttl for record in records] + [host.ttl for _, host in found]))
    return HostsFound(targets, ttl if len(found) == len(records) else min(ttl, _INCOMPLETE_TTL), unsure)


async def _resolve(lookup: Lookup, name: str) -> HostAnswer | LookupFailed:
    try:
        return await lookup.host(name)
    except LookupFailed as failed:
        # Other targets may resolve; if none does, one error covers all of them.
        return failed


def _name(record: SrvRecord) -> str:
    return str(HostPort(record.target, record.port))


def _target(record: SrvRecord, host: HostAnswer) -> Target:
    # DNS servers rotate the addresses in each answer; another order does not mean that the host has changed.
    addresses = tuple(sorted(host.ipv6) + sorted(host.ipv4))
    where = HostPort(record.target, record.port)
    return Target(_name(record), where, record.priority, record.weight, addresses, discovered=True)
