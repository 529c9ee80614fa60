"""Discovery as a client does it, but complete: every domain of the walk, every host in it, every address probed.

Only names found in DNS (and those the configuration holds) are contacted; nothing scans a network.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from kmstwist.discovery.known import resolved, strangers_among
from kmstwist.discovery.lookup.answers import HostAnswer, LookupFailed, SrvAnswer
from kmstwist.discovery.lookup.concurrently import together
from kmstwist.discovery.lookup.resolver import Lookup
from kmstwist.discovery.lookup.search import SearchDomain
from kmstwist.discovery.lookup.srv import RandomSource, SrvRecord, available, first_probabilities, try_order
from kmstwist.discovery.probing import Probed, Prober


@dataclass(frozen=True, slots=True)
class FoundHost:
    """One SRV record of a domain, what its target resolves to, and what answers there.

    `probability` is that of being tried first within its priority; `host` the addresses or why there are none;
    `probes` one result per address, empty where nothing was probed; `stranger` whether the configuration does not name
    it (None if there is nothing to compare with).
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

    `known` are the hosts of the configuration, in the form of `kmstwist.discovery.known.identity`; those not among them
    are flagged as strangers. Never raises for what DNS or a host does: each failure stands where it belongs.
    """
    return tuple(await together(_domain(lookup, domain, random, prober, known) for domain in domains))


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
    strangers = None if known is None else await strangers_among(lookup, domain.name, targets, known)
    probes = await _probed(records, targets, prober)
    hosts = tuple(
        FoundHost(
            record,
            probabilities[record],
            targets[record.target],
            tuple(probes.get((record.target, record.port), ())),
            None if strangers is None else record.target in strangers,
        )
        for record in records
    )
    return FoundDomain(domain, answer, hosts)


async def _resolved(lookup: Lookup, targets: Iterable[str]) -> dict[str, HostAnswer | LookupFailed]:
    names = list(dict.fromkeys(targets))
    answers = await together(resolved(lookup, name) for name in names)
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
