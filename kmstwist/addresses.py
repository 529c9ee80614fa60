"""HOST[:PORT] as administrators write it, for upstreams, probes and clients."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from kmstwist.problem import WrongValue

DEFAULT_PORT = 1688
#: RFC 1123 host names, with the underscore that Windows networks tolerate.
_LABEL = re.compile(r"^(?!-)[A-Za-z0-9_-]{1,63}(?<!-)$")


class AddressError(WrongValue):
    """Text that is not a HOST[:PORT]: what is wrong with it, and what would be right."""


@dataclass(frozen=True, slots=True)
class HostPort:
    """A host (name, IPv4 or IPv6 address without brackets) and a TCP port."""

    host: str
    port: int = DEFAULT_PORT

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_host_port(text: str, default_port: int = DEFAULT_PORT) -> HostPort:
    """`HOST`, `HOST:PORT`, `[IPV6]`, `[IPV6]:PORT` or a bare IPv6 address; `default_port` where no port is given.

    Raises `AddressError`.
    """
    if (url := re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text)) is not None:
        raise AddressError(f"'{text}' is a URL", f"write HOST or HOST:PORT, without {url[0]}")
    bracketed = re.fullmatch(r"\[([^\]]*)\](?::(.*))?", text)
    if bracketed:
        host, port = bracketed.group(1), bracketed.group(2)
        if not is_address(host, IPv6Address):
            raise AddressError(f"'{text}': what is in brackets is not an IPv6 address")
    elif text.count(":") > 1:
        if not is_address(text, IPv6Address):
            raise AddressError(f"'{text}' is not a HOST:PORT", "write an IPv6 address with a port as [ADDRESS]:PORT")
        without, _, last = text.rpartition(":")
        if last == str(default_port) and is_address(without, IPv6Address):
            # It is an address, too, but hardly the one that is meant.
            raise AddressError(
                f"'{text}' may be an address with a port, or an address alone", f"write [{without}]:{last} or [{text}]"
            )
        host, port = text, None
    else:
        host, colon, after = text.partition(":")
        port = after if colon else None
        if not host or len(host) > 253 or not all(_LABEL.match(label) for label in host.rstrip(".").split(".")):
            as_in_dns = _as_in_dns(host)
            cure = f"write {as_in_dns}, as DNS has it" if as_in_dns else "write HOST or HOST:PORT"
            raise AddressError(f"'{text}' is not a host name or address", cure)
        if host.rstrip(".").rpartition(".")[2].isdigit() and not is_address(host, IPv4Address):
            # No name ends in a number (RFC 1123 2.1, RFC 3696 2): it is an address with a slip.
            raise AddressError(
                f"'{text}' is not an IPv4 address: that is four numbers from 0 to 255, without leading zeros"
            )
    return HostPort(host, default_port if port is None else _parse_port(text, port))


def _as_in_dns(host: str) -> str:
    """A name with letters beyond ASCII in the form that DNS has (RFC 5891); "" for others and for what is no name."""
    if host.isascii():
        return ""
    try:
        found = host.encode("idna").decode("ascii")
    except UnicodeError:
        return ""
    return found if all(_LABEL.match(label) for label in found.rstrip(".").split(".")) else ""


def _parse_port(text: str, port: str) -> int:
    if not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
        raise AddressError(f"'{text}': the port must be a number from 1 to 65535")
    return int(port)


def is_address(text: str, kind: Callable[[str], object] = ip_address) -> bool:
    """Whether a text is an IP address, of either kind or of the one given; IPv6 may have a zone id such as %eth0."""
    try:
        kind(text)
    except ValueError:
        return False
    return True


# Clients come again, and each connection asks: parsing an address of IPv6 costs 8 µs, finding it here 0.1. As many as
# admission remembers.
@lru_cache(maxsize=65_536)
def plain_address(host: str) -> str:
    """An IP address in its usual text, an IPv4-mapped IPv6 one as the IPv4 address it stands for."""
    if ":" not in host:
        return host
    address = ip_address(host)
    mapped = address.ipv4_mapped if address.version == 6 else None
    return str(mapped or address)
