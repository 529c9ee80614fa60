"""Addresses and the networks they are in, in CIDR notation as administrators write it."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from kmstwist.problem import WrongValue

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address


def parse_network(value: object) -> object:
    """A network in CIDR notation, or one address, as canonical text. Raises `WrongValue` where it is neither.

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
            raise _not_a_network(value) from None
        raise WrongValue(f"'{value}' has bits set past its prefix", f"did you mean {loose}?") from None
    if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped and network.prefixlen >= 96:
        mapped = IPv4Address(network.network_address.ipv4_mapped)
        return str(IPv4Network((mapped, network.prefixlen - 96)))
    return str(network)


def network_of(text: str) -> Network:
    """The network that an address, or one in CIDR notation, lies in: 10.1.2.3/8 is 10.0.0.0/8. Raises `WrongValue`."""
    try:
        return ip_network(text, strict=False)
    except ValueError:
        raise _not_a_network(text) from None


def _not_a_network(text: str) -> WrongValue:
    return WrongValue(f"'{text}' is not a network", "write for example 10.0.0.0/8, fd00::/8 or 10.1.2.3")


def lies_in(network: Network, wanted: Network) -> bool:
    """Whether a network is part of another one; never where one is IPv4 and the other IPv6."""
    if isinstance(network, IPv4Network):
        return isinstance(wanted, IPv4Network) and network.subnet_of(wanted)
    return isinstance(wanted, IPv6Network) and network.subnet_of(wanted)


def parse_address(text: str) -> Address | None:
    """An address without its zone, which names an interface of ours ("fe80::1%eth0"); None for other texts."""
    try:
        return ip_address(text.partition("%")[0])
    except ValueError:
        return None


def normalised(text: str) -> Address | None:
    """A client's address as it is judged: an IPv4-mapped IPv6 address as the IPv4 one, a scope id left off.

    None for what is not an IP address: the peer of a Unix socket.
    """
    address = parse_address(text)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def network_around(address: Address, prefix_ipv4: int, prefix_ipv6: int) -> str:
    """The network of a size that an address belongs to, as text, in CIDR notation."""
    prefix = prefix_ipv4 if address.version == 4 else prefix_ipv6
    shift = address.max_prefixlen - prefix
    base = type(address)(int(address) >> shift << shift)
    return f"{base}/{prefix}"
