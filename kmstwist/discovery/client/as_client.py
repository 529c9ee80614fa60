"""What a Windows client with given settings does to find its KMS host: each step is really done, and timed.

`kmstwist.discovery.lookup.search` has the order of the steps. The result is given in Microsoft's codes ("Resolve
Windows activation error codes"), which an administrator also finds on the client. A step asks DNS, or probes a host as
far as a client's first call would get; nothing is activated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from kmstwist.addresses import HostPort, is_address
from kmstwist.discovery.lookup.answers import LookupFailed, LookupProblem, SrvAnswer
from kmstwist.discovery.lookup.resolver import Lookup
from kmstwist.discovery.lookup.search import ClientSettings, SearchDomain, names_of_host, search_domains
from kmstwist.discovery.lookup.srv import RandomSource, available, try_order
from kmstwist.discovery.probing import Prober

CONTACT_FAILED = "0xC004F074"
NAME_DOES_NOT_EXIST = "0x8007232B"
DNS_SERVER_FAILURE = "0x8007232A"
NO_RECORDS = "0x8007251D"
NO_DOMAIN = "0x8007007B"

MEANINGS = {
    CONTACT_FAILED: "no KMS host could be contacted",
    NAME_DOES_NOT_EXIST: "the DNS name does not exist",
    DNS_SERVER_FAILURE: "the DNS server failed",
    NO_RECORDS: "no records were found for the DNS query",
    NO_DOMAIN: "the computer has no DNS domain to look in",
}


class Action(StrEnum):
    """What a step does."""

    DECIDE = "decide"
    QUERY = "query"
    RESOLVE = "resolve"
    CONTACT = "contact"


@dataclass(frozen=True, slots=True)
class Step:
    """One step: what the client does, the outcome, and the seconds it took (None if there was nothing to wait for)."""

    action: Action
    what: str
    outcome: str
    good: bool
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Journey:
    """All steps in order, and where they end: at `host` (an address and a port), or with a result `code`."""

    steps: tuple[Step, ...]
    host: HostPort | None
    name: str | None
    code: str | None

    @property
    def ending(self) -> str:
        """The result in a sentence."""
        if self.host is not None:
            by_address = self.name == self.host.host
            return f"The client asks {self.host if by_address else f'{self.name} at {self.host}'}, which answers."
        assert self.code is not None
        return f"The client reports {self.code}: {MEANINGS[self.code]}."


class _Walk:
    def __init__(self, lookup: Lookup, prober: Prober, random: RandomSource, seconds: Callable[[], float]) -> None:
        self.lookup = lookup
        self.prober = prober
        self.random = random
        self.seconds = seconds
        self.steps: list[Step] = []

    def decide(self, what: str, outcome: str, good: bool = True) -> None:
        self.steps.append(Step(Action.DECIDE, what, outcome, good))

    def done(self, action: Action, what: str, outcome: str, good: bool, begun: float) -> None:
        self.steps.append(Step(action, what, outcome, good, self.seconds() - begun))

    def end(self, host: tuple[str, HostPort] | None, code: str | None) -> Journey:
        return Journey(tuple(self.steps), host[1] if host else None, host[0] if host else None, code)


async def walk_as_client(
    settings: ClientSettings, lookup: Lookup, prober: Prober, random: RandomSource, seconds: Callable[[], float]
) -> Journey:
    """Do what a client with these settings does; `seconds` is the clock that times each step."""
    walk = _Walk(lookup, prober, random, seconds)
    if settings.host is not None:
        walk.decide("host set by hand (slmgr /skms)", f"{settings.host}; discovery is off")
        reached = await _contact(walk, settings.host, names_of_host(settings, settings.host.host))
        return walk.end(reached, None if reached else CONTACT_FAILED)
    walk.decide("host set by hand (slmgr /skms)", "none: discovery is on")
    if settings.cached is not None and settings.caching:
        walk.decide("host caching (slmgr /skhc)", f"on; the host that worked last is {settings.cached}")
        reached = await _contact(walk, settings.cached, names_of_host(settings, settings.cached.host))
        if reached:
            return walk.end(reached, None)
    elif settings.caching:
        walk.decide("host caching (slmgr /skhc)", "on, but no host is cached")
    else:
        walk.decide("host caching (slmgr /ckhc)", "off: DNS is asked each time")
    return await _discover(walk, settings)


async def _discover(walk: _Walk, settings: ClientSettings) -> Journey:
    domains = search_domains(settings)
    if not domains:
        walk.decide("domains to look in", "none: no DNS suffix is set", good=False)
        return walk.end(None, NO_DOMAIN)
    walk.decide("domains to look in", ", ".join(f"{domain.name} ({domain.origin})" for domain in domains))
    code = NAME_DOES_NOT_EXIST
    for domain in domains:
        answer = await _query(walk, domain)
        if isinstance(answer, LookupFailed):
            code = _code(answer)
            if not answer.says_no:
                # If a name cannot be looked up now, the client does not go on to the next suffix.
                return walk.end(None, code)
            continue
        records = try_order(available(answer.records), walk.random)
        if not records:
            walk.decide('what a target of "." says', "that this domain has no KMS host", good=False)
            return walk.end(None, CONTACT_FAILED)
        for record in records:
            reached = await _contact(walk, HostPort(record.target, record.port), (record.target,))
            if reached:
                if settings.caching:
                    walk.decide("host caching (slmgr /skhc)", f"{HostPort(record.target, record.port)} is remembered")
                return walk.end(reached, None)
        return walk.end(None, CONTACT_FAILED)
    return walk.end(None, code)


async def _query(walk: _Walk, domain: SearchDomain) -> SrvAnswer | LookupFailed:
    begun = walk.seconds()
    what = f"SRV _vlmcs._tcp.{domain.name}"
    try:
        answer = await walk.lookup.service(domain.name)
    except LookupFailed as failed:
        walk.done(Action.QUERY, what, str(failed), False, begun)
        return failed
    hosts = ", ".join(
        f"{record.target}:{record.port} (priority {record.priority}, weight {record.weight})"
        for record in sorted(available(answer.records))
    )
    walk.done(Action.QUERY, what, hosts or 'one record, whose target is "."', True, begun)
    return answer


async def _contact(walk: _Walk, host: HostPort, names: Sequence[str]) -> tuple[str, HostPort] | None:
    """Try a host's addresses one after the other, as the client's RPC runtime does; the first that answers wins.

    `names` are the full names to look up, in order.
    """
    addresses = (host.host,) if is_address(host.host) else await _addresses(walk, host.host, names)
    for address in addresses:
        begun = walk.seconds()
        place = HostPort(address, host.port)
        probed = await walk.prober(address, host.port)
        walk.done(Action.CONTACT, str(place), probed.speaks, probed.answers, begun)
        if probed.answers:
            return host.host, place
    return None


async def _addresses(walk: _Walk, host: str, names: Sequence[str]) -> tuple[str, ...]:
    """The addresses of the first of the names that has any; empty if none has."""
    for name in names:
        begun = walk.seconds()
        try:
            answer = await walk.lookup.host(name)
        except LookupFailed as failed:
            walk.done(Action.RESOLVE, name, str(failed), False, begun)
            if not failed.says_no:
                # As with SRV records: if a name cannot be looked up now, the client does not go on to the next one.
                break
        else:
            through = f" (through {', '.join(answer.aliases)})" if answer.aliases else ""
            walk.done(Action.RESOLVE, name, ", ".join(answer.addresses) + through, True, begun)
            return answer.addresses
    if "." not in host:
        why = "no DNS suffix has it" if names else "it has no DNS suffix to append"
        walk.decide(
            f"the short name {host}", f"{why}: a client may ask its own network next (LLMNR, NetBIOS)", good=False
        )
    return ()


def _code(failed: LookupFailed) -> str:
    if failed.problem is LookupProblem.NO_SUCH_NAME:
        return NAME_DOES_NOT_EXIST
    if failed.problem is LookupProblem.NO_RECORDS:
        return NO_RECORDS
    return DNS_SERVER_FAILURE
