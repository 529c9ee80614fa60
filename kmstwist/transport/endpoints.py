"""Endpoints of hosts: by name, or by an address that is known already."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any, cast

from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.interfaces import IStreamClientEndpoint


def address_endpoint(reactor: Any, address: str, port: int, seconds: float) -> IStreamClientEndpoint:
    """The endpoint of an IPv4 or IPv6 address; connecting may take `seconds`.

    Not a `HostnameEndpoint`: that one waits 0.3 seconds for further addresses of a name before it reports a refusal,
    which would be measured as the host's.
    """
    kind: Any = TCP6ClientEndpoint if ":" in address else TCP4ClientEndpoint
    endpoint: IStreamClientEndpoint = kind(reactor, address, port, timeout=seconds)
    return endpoint


def endpoint_for(reactor: Any, host: str, port: int, timeout: float) -> IStreamClientEndpoint:
    """The endpoint of a host by name or address; a name's addresses are tried as RFC 8305 says."""
    try:
        ip_address(host)
    except ValueError:
        return cast(IStreamClientEndpoint, HostnameEndpoint(reactor, host, port, timeout=timeout))
    return address_endpoint(reactor, host, port, timeout)
