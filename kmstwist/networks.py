"""Networks in CIDR notation, as administrators write them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any

from pydantic import BeforeValidator

Network = IPv4Network | IPv6Network


def parse_network(value: Any) -> Any:
    """A network in CIDR notation, or one address, as canonical text. `ValueError` with the cure where it is neither.

    An IPv4-mapped IPv6 network is the IPv4 one it stands for, since that is how clients' addresses are judged.
    """
    if not isinstance(value, str):
        return value
    try:
        network = ip_network(value)
    except ValueError:
        try:
            loose = ip_network(value, strict=False)
        except ValueError:
            raise ValueError(f"'{value}' is no network; write for example 10.0.0.0/8, fd00::/8 or 10.1.2.3") from None
        raise ValueError(f"'{value}' has bits set past its prefix; did you mean {loose}?") from None
    if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped and network.prefixlen >= 96:
        mapped = IPv4Address(network.network_address.ipv4_mapped)
        return str(IPv4Network((mapped, network.prefixlen - 96)))
    return str(network)


CidrNetwork = Annotated[Network, BeforeValidator(parse_network)]
