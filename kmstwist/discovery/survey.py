"""Discovery as a client does it, but complete: every domain of the walk, every host in it, every address probed.

Only names found in DNS (and those the configuration holds) are contacted; nothing scans a network.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from kmstwist.discovery.probing import Probed, Prober
from kmstwist.discovery.resolver import HostAnswer, Lookup, LookupFailed, SrvAnswer
from kmstwist.discovery.search import SearchDomain
from kmstwist.discovery.srv import RandomSource, SrvRecord, available, first_probabilities, try_order
from kmstwist.discovery.together import together


@dataclass(frozen=True, slots=True)
class FoundHost:
    """One SRV record of a domain, what its target resolves to, and what answers there.

    `probability` is that of being tried first within its priority; `host` the addresses or why there are none;
    `probes` one result per address, empty where nothing was probed; `stranger` whether the configuration does not name
    it (None where there is none to compare with).
    """

    record: SrvRecord
    probability: Fraction
    host: HostAnswer | LookupFailed
    probes: tuple[tuple[str, Probed], ...] = ()
    stranger: bool | None = None

    @property
    def answers(self) -> bool:
        """Whether a KMS host answers at one of its addresses at least."""
        return any(probed.answers for _, probed in self.probes)


@dataclass(frozen=True, slots=True)
class FoundDomain:
    """One domain of the walk: what DNS said, and its hosts in the order a client would try them."""

    domain: SearchDomain
    answer: SrvAnswer | LookupFailed
    hosts: tuple[FoundHost, ...] = field(default=())


async def survey(
    lookup: Lookup,
    domains: Sequence[SearchDomain],
    random: RandomSource,
    prober: Prober | None = None,
    known: Collection[str] | None = None,
) -> tuple[FoundDomain, ...]:
    """Look in every domain, resolve every host and probe every address (unless `prober` is None).

    `known` are the host names of the configuration; hosts not among them are flagged as strangers. Never raises for
    what DNS or a host does: each failure stands where it belongs.
    """
    return tuple(await together(_domain(lookup, domain, random, prober, known) for domain in domains))


def is_stranger(target: str, host: HostAnswer | LookupFailed, known: Collection[str]) -> bool:
    """Whether neither a host's name, nor an alias of it, nor any of its addresses is known."""
    identities = {target}
    if isinstance(host, HostAnswer):
        identities.update(host.aliases, host.addresses)
    return identities.isdisjoint(known)


async def _domain(
    lookup: Lookup,
    domain: SearchDomain,
    random: RandomSource,
    prober: Prober | None,
    known: Collection[str] | None,
) -> FoundDomain:
    try:
        answer = await lookup.service(domain.name)
    except LookupFailed as failed:
        return FoundDomain(domain, failed)
    records = try_order(available(answer.records), random)
    probabilities = first_probabilities(records)
    targets = await _resolved(lookup, (record.target for record in records))
    probes = await _probed(records, targets, prober)
    hosts = tuple(
        FoundHost(
            record,
            probabilities[record],
            targets[record.target],
            tuple(probes.get((record.target, record.port), ())),
            None if known is None else is_stranger(record.target, targets[record.target], known),
        )
        for record in records
    )
    return FoundDomain(domain, answer, hosts)


async def _resolved(lookup: Lookup, targets: Iterable[str]) -> dict[str, HostAnswer | LookupFailed]:
    async def resolved(target: str) -> HostAnswer | LookupFailed:
        try:
            return await lookup.host(target)
        except LookupFailed as failed:
            return failed

    names = list(dict.fromkeys(targets))
    answers = await together(resolved(name) for name in names)
    return dict(zip(names, answers, strict=True))


async def _probed(
    records: Iterable[SrvRecord], targets: dict[str, HostAnswer | LookupFailed], prober: Prober | None
) -> dict[tuple[str, int], list[tuple[str, Probed]]]:
    if prober is None:
        return {}

    async def probed(address: str, port: int) -> Probed:
        return await prober(address, port)

    wanted = list(
        dict.fromkeys(
            (record.target, record.port, address)
            for record in records
            if isinstance(host := targets[record.target], HostAnswer)
            for address in host.addresses
        )
    )
    results = await together(probed(address, port) for _, port, address in wanted)
    found: dict[tuple[str, int], list[tuple[str, Probed]]] = {}
    for (target, port, address), result in zip(wanted, results, strict=True):
        found.setdefault((target, port), []).append((address, result))
    return found
