"""Names as DNS has them: checking what an administrator typed, and writing names one way.

Everything in this room handles names as lower-case ASCII without the final dot; internationalised names become their
IDNA form here, once. KMS hosts are published under `_vlmcs._tcp.<domain>` and listen on TCP 1688 (Microsoft, "Volume
Activation Planning Guide").
"""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

import dns.exception
import dns.name

SERVICE = "_vlmcs._tcp"
KMS_PORT = 1688
DNS_PORT = 53

_HOST_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9])?")


class NameInvalid(ValueError):
    """What was given is no usable name; the text is one sentence for the administrator."""


class HostPort(NamedTuple):
    """A host, a name or an address without brackets, and its TCP or UDP port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def normal(name: str) -> str:
    """A DNS name in the one form used here: lower case, IDNA, no final dot.

    Raises `NameInvalid` for an empty name, one over 255 bytes, and one with an empty or a too long label.
    """
    try:
        parsed = dns.name.from_text(name.strip())
    except (dns.exception.DNSException, UnicodeError) as error:
        raise NameInvalid(f"{name!r} is not a DNS name: {str(error).rstrip('.').lower()}.") from error
    text = parsed.canonicalize().to_text(omit_final_dot=True)
    if parsed == dns.name.root:
        raise NameInvalid("An empty name was given where a DNS name is needed, such as corp.example.")
    return text


def domain(name: str) -> str:
    """A DNS domain to look in or publish in, checked to consist of host-name labels (RFC 952, underscores allowed).

    `_vlmcs._tcp.corp.example` is understood as its domain. Raises `NameInvalid`.
    """
    text = _checked_labels(name, "a DNS domain, such as corp.example")
    return text.removeprefix(SERVICE + ".")


def host_name(name: str) -> str:
    """A host's name for the target of an SRV record: RFC 2782 wants a name there, never an address.

    Raises `NameInvalid`, with its cure, for an address and for what is no host name.
    """
    if is_address(name):
        raise NameInvalid(
            f"{name} is an address, and an SRV record needs a host name: give the name whose A or AAAA record it is."
        )
    text = _checked_labels(name, "a host name, such as kms.corp.example")
    if "." not in text:
        raise NameInvalid(
            f"{name!r} has no domain: clients in another domain would not find it. Give the full name, such as "
            f"{text}.corp.example."
        )
    return text


def service_name(in_domain: str) -> str:
    """The owner name of the KMS SRV records of a domain: `_vlmcs._tcp.<domain>`."""
    return f"{SERVICE}.{in_domain}"


def is_address(text: str) -> bool:
    """Whether the text is an IPv4 or IPv6 address (a zone id such as %eth0 allowed)."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def host_port(text: str, default_port: int) -> HostPort:
    """Read `host`, `host:port`, an IPv6 address, or `[IPv6 address]:port`.

    Raises `NameInvalid`, saying how an IPv6 address with a port is written.
    """
    text = text.strip()
    if is_address(text):
        return HostPort(text, default_port)
    if text.startswith("["):
        address, bracket, rest = text[1:].partition("]")
        if not bracket or not is_address(address) or ":" not in address:
            raise NameInvalid(f"{text!r} is not an IPv6 address in brackets; write [2001:db8::7]:{default_port}.")
        if not rest:
            return HostPort(address, default_port)
        if not rest.startswith(":"):
            raise NameInvalid(f"{text!r} has something after the bracket that is no port; write [{address}]:PORT.")
        return HostPort(address, _port(rest[1:], text))
    if text.count(":") > 1:
        raise NameInvalid(f"{text!r} is not an address; an IPv6 address with a port is written [2001:db8::7]:PORT.")
    host, colon, port = text.partition(":")
    number = _port(port, text) if colon else default_port
    if is_address(host):
        return HostPort(host, number)
    return HostPort(_checked_labels(host, f"a host name or an address in {text!r}"), number)


def _port(text: str, whole: str) -> int:
    if text.isascii() and text.isdigit() and 0 < int(text) < 65536:
        return int(text)
    raise NameInvalid(f"{text!r} in {whole!r} is not a port; a port is a number from 1 to 65535.")


def _checked_labels(name: str, wanted: str) -> str:
    text = normal(name)
    for label in text.split("."):
        if not _HOST_LABEL.fullmatch(label):
            raise NameInvalid(f"{name!r} is not {wanted}: {label!r} may hold only letters, digits and hyphens.")
    # A name of digits and dots that is no address is a mistyped one.
    if text.replace(".", "").isdigit():
        raise NameInvalid(f"{name!r} is not {wanted}: it looks like an address, but is none.")
    return text
