"""Our SRV record in the syntax of each DNS server, for an administrator who enters it by hand.

Use these lines where dynamic updates are not wanted or not allowed. Each adds our record to those that are there.
"""

from __future__ import annotations

from collections.abc import Callable

from kmstwist.addresses import HostPort
from kmstwist.discovery.publishing.publication import Publication


def bind(publication: Publication, zone: str, server: HostPort | None = None) -> str:
    """The line for the zone's file (raise the SOA's serial with it)."""
    return str(publication)


def nsupdate(publication: Publication, zone: str, server: HostPort | None = None) -> str:
    """The input of `nsupdate -k KEYFILE`; of `nsupdate -g` for a zone that wants Kerberos."""
    lines = [f"server {server.host} {server.port}"] if server else []
    lines += [f"zone {zone}.", f"update add {publication}", "send"]
    return "\n".join(lines)


def powershell(publication: Publication, zone: str, server: HostPort | None = None) -> str:
    """The cmdlet of a Windows DNS server (DnsServer module)."""
    ttl = publication.ttl
    days, rest = divmod(ttl, 86400)
    span = f"{days}.{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
    return (
        f"Add-DnsServerResourceRecord -Srv -ZoneName '{zone}' -Name '{_relative(publication, zone)}' "
        f"-DomainName '{publication.target}.' -Priority {publication.priority} -Weight {publication.weight} "
        f"-Port {publication.port} -TimeToLive {span}" + (f" -ComputerName '{server.host}'" if server else "")
    )


def dnsmasq(publication: Publication, zone: str, server: HostPort | None = None) -> str:
    """The line for dnsmasq.conf: target, port, priority, weight. dnsmasq answers with its own TTL (local-ttl)."""
    return (
        f"srv-host={publication.name},{publication.target},{publication.port},"
        f"{publication.priority},{publication.weight}"
    )


def unbound(publication: Publication, zone: str, server: HostPort | None = None) -> str:
    """The lines for unbound.conf. They hide records of this name in the real zone from unbound's clients."""
    return f'server:\n    local-data: "{publication}"'


FORMS: dict[str, Callable[[Publication, str, HostPort | None], str]] = {
    "bind": bind,
    "nsupdate": nsupdate,
    "powershell": powershell,
    "dnsmasq": dnsmasq,
    "unbound": unbound,
}
"""Every form by its name on the command line: the record, its zone and the server to use, to the text."""


def _relative(publication: Publication, zone: str) -> str:
    """The record's name below its zone, which may be a parent of the domain."""
    return publication.name.removesuffix("." + zone)
