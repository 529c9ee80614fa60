"""Who a record is about: the name a machine goes by in the audit, and the network it belongs to.

A machine is known by its own name where a request's body could be read (V4, the lab, an imported event) and by its
address where it could not (a genuine V5 or V6 message stays opaque). Addresses are kept by privacy as they came,
shortened to their network, or hashed; all three still name one network, or none.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, ip_address, ip_network

UNKNOWN_NETWORK = "unknown"

IPV4_PREFIX = 24
IPV6_PREFIX = 64


@lru_cache(maxsize=65536)
def network_of(address: str) -> str:
    """The network of `address`: its /24 for IPv4, its /64 for IPv6, a network as it is, else `UNKNOWN_NETWORK`."""
    if "/" in address:
        try:
            return str(ip_network(address, strict=False))
        except ValueError:
            return UNKNOWN_NETWORK
    try:
        parsed = ip_address(address)
    except ValueError:
        return UNKNOWN_NETWORK
    prefix = IPV4_PREFIX if isinstance(parsed, IPv4Address) else IPV6_PREFIX
    # An IPv6 zone ("fe80::1%eth0") names an interface of ours, not a network of theirs.
    return str(ip_network(f"{str(parsed).partition('%')[0]}/{prefix}", strict=False))


def machine_key(machine: str | None, client: str) -> str:
    """The name the machine goes by in the audit: its own, in lower case as DNS names compare, else its address."""
    return machine.lower() if machine else client
