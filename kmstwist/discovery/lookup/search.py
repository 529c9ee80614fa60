"""Which DNS domains a Windows KMS client looks in, in which order, and when it looks at all.

Pure: settings in, a plan out. The rules, all Microsoft's:

- A host set by hand (`slmgr /skms`, `KeyManagementServiceName`) turns discovery off; nothing else is asked.
  ("Slmgr.vbs options for obtaining volume activation information")
- With host caching on (`/skhc`, the default) the host that worked last is asked first; discovery follows only when it
  cannot be reached. With it off (`/ckhc`) DNS is asked each time. (same)
- `/skms-domain` (`KeyManagementServiceLookupDomain`) makes the client look in that one domain and "ignore the DNS
  suffix search list". (same)
- Otherwise the DNS suffix search list is walked; without one, the record must be in the zone of the computer's primary
  DNS suffix, of its Active Directory domain, or, for a workgroup computer, of the domain that DHCP option 15 gives.
  ("Common troubleshooting procedures for KMS and DNS issues")
- A configured search list replaces the primary and connection-specific suffixes, and stops devolution to parent
  domains. Microsoft documents devolution for single-label names, which `_vlmcs._tcp` is not: it is walked only where
  asked for. Its level is the number of labels that remain at least, 2 unless set. (Policy CSP, ADMX_DnsClient,
  `DNS_DomainNameDevolutionLevel`; `Set-DnsClientGlobalSetting`)
- A host's name without a dot is never asked for as it is: the DNS client appends each suffix of the search list, or
  without one the primary suffix, then the connection-specific ones, then (devolution) the primary suffix's parents. A
  name with a dot is asked for as it is, and no suffix is appended unless a policy allows that. What DNS does not have
  is then asked of LLMNR and NetBIOS, on the client's own network. (Policy CSP, ADMX_DnsClient:
  `DNS_UseDomainNameDevolution`, `DNS_AppendToMultiLabelName`, `Turn_Off_Multicast`)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from kmstwist.addresses import HostPort


class Origin(StrEnum):
    """Why a domain is looked in."""

    LOOKUP_DOMAIN = "set with slmgr /skms-domain"
    SEARCH_LIST = "DNS suffix search list"
    PRIMARY_SUFFIX = "primary DNS suffix"
    AD_DOMAIN = "Active Directory domain"
    CONNECTION_SUFFIX = "connection-specific suffix (DHCP option 15)"
    DEVOLUTION = "parent of the primary DNS suffix (devolution)"
    GIVEN = "asked for"


@dataclass(frozen=True, slots=True)
class SearchDomain:
    """One domain of the walk and why it is in it."""

    name: str
    origin: Origin


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """The settings of a Windows client that decide where it looks for a KMS host.

    `host` is the one set by hand, `cached` the one that worked last, `caching` whether it is kept (the default).
    `lookup_domain` is `/skms-domain`'s. Domain names are as `kmstwist.discovery.lookup.dns_names.domain` returns them.
    """

    host: HostPort | None = None
    cached: HostPort | None = None
    caching: bool = True
    lookup_domain: str | None = None
    search_list: tuple[str, ...] = ()
    primary_suffix: str | None = None
    ad_domain: str | None = None
    connection_suffixes: tuple[str, ...] = ()
    devolution: bool = False
    devolution_level: int = 2


def search_domains(settings: ClientSettings) -> tuple[SearchDomain, ...]:
    """The domains a client with these settings looks in, in order, each once.

    Empty for a client that knows no domain at all: Windows reports that as 0x8007007B. What is set by hand or cached
    plays no part here: it comes before the walk, not in it.
    """
    seen: set[str] = set()
    walk: list[SearchDomain] = []
    for candidate in _candidates(settings):
        if candidate.name not in seen:
            seen.add(candidate.name)
            walk.append(candidate)
    return tuple(walk)


def _candidates(settings: ClientSettings) -> Iterator[SearchDomain]:
    if settings.lookup_domain:
        yield SearchDomain(settings.lookup_domain, Origin.LOOKUP_DOMAIN)
        return
    if settings.search_list:
        for name in settings.search_list:
            yield SearchDomain(name, Origin.SEARCH_LIST)
        return
    if settings.primary_suffix:
        yield SearchDomain(settings.primary_suffix, Origin.PRIMARY_SUFFIX)
    if settings.ad_domain:
        yield SearchDomain(settings.ad_domain, Origin.AD_DOMAIN)
    for name in settings.connection_suffixes:
        yield SearchDomain(name, Origin.CONNECTION_SUFFIX)
    if settings.devolution and settings.primary_suffix:
        for name in parents(settings.primary_suffix, settings.devolution_level):
            yield SearchDomain(name, Origin.DEVOLUTION)


def names_of_host(settings: ClientSettings, host: str) -> tuple[str, ...]:
    """The full names that a client with these settings asks DNS for, in order, where it was given `host`.

    Empty for a name without a dot on a client that knows no suffix.
    """
    if "." in host:
        return (host,)
    suffixes = settings.search_list
    if not suffixes:
        own = (settings.primary_suffix,) if settings.primary_suffix else ()
        devolved = tuple(parents(own[0], settings.devolution_level)) if own and settings.devolution else ()
        suffixes = own + settings.connection_suffixes + devolved
    return tuple(f"{host}.{suffix}" for suffix in dict.fromkeys(suffixes))


def parents(suffix: str, level: int) -> Iterator[str]:
    """The parent domains of a suffix, nearest first, none with fewer than `level` labels."""
    labels = suffix.split(".")
    for drop in range(1, len(labels) - max(level, 1) + 1):
        yield ".".join(labels[drop:])
