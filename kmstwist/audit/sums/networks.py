"""The network that an address of the audit lies in.

The privacy policy keeps addresses as they are, shortens them to their network, or hashes them; each form still names
one network, or none.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_network
from typing import Final

from kmstwist.networks import network_around, parse_address

UNKNOWN_NETWORK: Final = "unknown"

#: The sizes of the networks, in bits of an address.
IPV4_PREFIX: Final = 24
IPV6_PREFIX: Final = 64


@lru_cache(maxsize=65536)
def network_of(address: str) -> str:
    """The network of `address`: its /24 for IPv4, its /64 for IPv6, a network as it is, else `UNKNOWN_NETWORK`."""
    if "/" in address:
        try:
            return str(ip_network(address, strict=False))
        except ValueError:
            return UNKNOWN_NETWORK
    parsed = parse_address(address)
    return UNKNOWN_NETWORK if parsed is None else network_around(parsed, IPV4_PREFIX, IPV6_PREFIX)
