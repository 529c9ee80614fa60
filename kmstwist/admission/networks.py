"""Rules by network, for IPv4 and IPv6: the most specific network that contains an address decides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kmstwist.networks import Address, Network


class NetworkTable:
    """Networks, each with a value; `find` returns the value of the longest prefix that contains an address."""

    def __init__(self, networks: Mapping[Network, bool]) -> None:
        # For each family the prefix lengths in use, longest first, each with its networks by number.
        tables: dict[int, dict[int, dict[int, bool]]] = {4: {}, 6: {}}
        for network, value in networks.items():
            shift = network.max_prefixlen - network.prefixlen
            tables[network.version].setdefault(shift, {})[int(network.network_address) >> shift] = value
        self._tables = {family: sorted(table.items()) for family, table in tables.items()}

    @classmethod
    def of(cls, networks: Iterable[Network]) -> NetworkTable:
        """A table in which all of these networks have the value True."""
        return cls(dict.fromkeys(networks, True))

    def find(self, address: Address) -> bool | None:
        """The value for an address, or None if no network contains it."""
        number = int(address)
        for shift, networks in self._tables[address.version]:
            value = networks.get(number >> shift)
            if value is not None:
                return value
        return None
