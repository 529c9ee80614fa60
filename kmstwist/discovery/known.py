"""Which of the KMS hosts that DNS names are known, and which are strangers.

A host has many names: its own, aliases (CNAME), its addresses. The configuration may have one and the SRV record
another, so the known names are looked up too, unless a comparison as text is enough.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from kmstwist.addresses import is_address
from kmstwist.discovery.lookup.answers import HostAnswer, LookupFailed
from kmstwist.discovery.lookup.concurrently import together
from kmstwist.discovery.lookup.resolver import Lookup


async def strangers_among(
    lookup: Lookup, domain: str, hosts: Mapping[str, HostAnswer | LookupFailed], known: Collection[str]
) -> frozenset[str]:
    """The names among `hosts` (the SRV targets of `domain` and what they resolve to) that are not known hosts.

    `known` holds names and addresses in the form of `identity`; one without a dot is taken to be in `domain`. DNS is
    asked about the known names, and no host is contacted. A failure of DNS never raises.
    """
    everyone = {*known, *(f"{name}.{domain}" for name in known if "." not in name and ":" not in name)}
    doubtful = [target for target, host in hosts.items() if everyone.isdisjoint(_identities(target, host))]
    if doubtful:
        asked = sorted(name for name in everyone if not is_address(name) and name not in hosts)
        answers = await together(resolved(lookup, name) for name in asked)
        for name, host in [*zip(asked, answers, strict=True), *hosts.items()]:
            if name in everyone:
                everyone |= _identities(name, host)
    return frozenset(target for target in doubtful if everyone.isdisjoint(_identities(target, hosts[target])))


async def resolved(lookup: Lookup, name: str) -> HostAnswer | LookupFailed:
    """A host's addresses, or why there are none."""
    try:
        return await lookup.host(name)
    except LookupFailed as failed:
        return failed


def _identities(target: str, host: HostAnswer | LookupFailed) -> set[str]:
    return {target, *host.aliases, *host.addresses} if isinstance(host, HostAnswer) else {target}
