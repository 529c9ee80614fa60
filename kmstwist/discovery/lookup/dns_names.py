"""DNS names: checking what an administrator typed, and writing names in one form.

Everything in this room uses names as lower-case ASCII without the final dot; internationalised names are converted to
their IDNA form here, once. KMS hosts are published under `_vlmcs._tcp.<domain>` and listen on TCP 1688 (Microsoft,
"Volume Activation Planning Guide").
"""

from __future__ import annotations

import re
from ipaddress import ip_address

from kmstwist.addresses import DEFAULT_PORT, AddressError, HostPort, is_address, parse_host_port
from kmstwist.problem import WrongValue

SERVICE = "_vlmcs._tcp"
KMS_PORT = DEFAULT_PORT
DNS_PORT = 53
#: Seconds to wait for each DNS server's answer, try by try.
DEFAULT_TIMEOUTS = (2.0, 3.0)

#: Characters that a name may have, without the final dot (RFC 1035 2.3.4 counts 255 bytes, with the lengths).
MAX_LENGTH = 253

_SERVICE_LABELS = {"_vlmcs", "_tcp", "_udp"}
_HOST_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9])?")


class NameInvalid(WrongValue):
    """The text is not a usable name."""


def normal(name: str) -> str:
    """A DNS name in the form used here: lower case, IDNA, no final dot.

    Raises `NameInvalid` for an empty name, one over 255 bytes, and one with an empty or a too long label.
    """
    # A fast check first: every start checks the names in its configuration.
    import dns.exception
    import dns.name

    try:
        parsed = dns.name.from_text(name.strip())
    except (dns.exception.DNSException, UnicodeError) as error:
        raise NameInvalid(f"{name!r} is not a DNS name: {str(error).rstrip('.').lower()}") from error
    text = parsed.canonicalize().to_text(omit_final_dot=True)
    if parsed == dns.name.root:
        raise NameInvalid("an empty name was given", "give a DNS name, such as corp.example")
    return text


def domain(name: str) -> str:
    """A DNS domain to look in or publish in, checked to consist of host-name labels (RFC 952, underscores allowed).

    `_vlmcs._tcp.corp.example` is understood as its domain. Raises `NameInvalid`, also for a name that only resembles
    that, and for a domain that is too long for our record.
    """
    text = _checked_labels(name, "a DNS domain, such as corp.example").removeprefix(SERVICE + ".")
    labels = text.split(".")
    service = max((place for place, label in enumerate(labels, 1) if label in _SERVICE_LABELS), default=0)
    if service:
        meant = ".".join(labels[service:]) or "corp.example"
        raise NameInvalid(
            f"{name!r} is the name of a service, not of a domain", f"give the domain only, such as {meant}"
        )
    if len(service_name(text)) > MAX_LENGTH:
        raise NameInvalid(
            f"the domain {text} is too long: with {SERVICE} before it, it has {len(service_name(text))} characters, "
            f"and DNS allows {MAX_LENGTH}"
        )
    return text


def host_name(name: str) -> str:
    """A host's name for the target of an SRV record: RFC 2782 wants a name there, never an address.

    Raises `NameInvalid`, with its cure, for an address and for what is not a host name.
    """
    if is_address(name):
        raise NameInvalid(
            f"{name} is an address, and an SRV record needs a host name", "give the name whose A or AAAA record it is"
        )
    text = _checked_labels(name, "a host name, such as kms.corp.example")
    if "." not in text:
        raise NameInvalid(
            f"{name!r} has no domain: clients in another domain would not find it",
            f"give the full name, such as {text}.corp.example",
        )
    return text


def service_name(in_domain: str) -> str:
    """The owner name of the KMS SRV records of a domain: `_vlmcs._tcp.<domain>`."""
    return f"{SERVICE}.{in_domain}"


def host_port(text: str, default_port: int) -> HostPort:
    """`parse_host_port`, with the host in the one form used here. Raises `NameInvalid`."""
    try:
        parsed = parse_host_port(text.strip(), default_port)
    except AddressError as error:
        raise NameInvalid.of(error) from None
    if is_address(parsed.host):
        return parsed
    return HostPort(_checked_labels(parsed.host, "a host name or an address"), parsed.port)


def dns_server(text: str) -> HostPort:
    """A DNS server to ask, with port 53 unless another is given. Raises `NameInvalid` for what is not an address."""
    server = host_port(text, DNS_PORT)
    if not is_address(server.host):
        raise NameInvalid(f"{server.host} is not an address", "give the address of the DNS server to ask")
    return server


def _checked_labels(name: str, wanted: str) -> str:
    text = normal(name)
    for label in text.split("."):
        if not _HOST_LABEL.fullmatch(label):
            raise NameInvalid(f"{name!r} is not {wanted}: {label!r} may hold only letters, digits and hyphens")
    # A name of digits and dots that is not an address is a mistyped one.
    if text.replace(".", "").isdigit():
        raise NameInvalid(f"{name!r} is not {wanted}: it looks like an address, but is not one")
    return text


def identity(host: str) -> str:
    """A host's name or address in the form for comparisons. Raises `NameInvalid`."""
    return str(ip_address(host)) if is_address(host) else normal(host)
