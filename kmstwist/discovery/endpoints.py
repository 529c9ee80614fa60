"""TCP to an address that is known already."""

from __future__ import annotations

from typing import Any

from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.interfaces import IStreamClientEndpoint


def address_endpoint(reactor: Any, address: str, port: int, seconds: float) -> IStreamClientEndpoint:
    """The endpoint of an IPv4 or IPv6 address; connecting may take `seconds`.

    Not a `HostnameEndpoint`: that one waits 0.3 seconds for further addresses of a name before it reports a refusal,
    which would be measured as the host's.
    """
    kind: Any = TCP6ClientEndpoint if ":" in address else TCP4ClientEndpoint
    endpoint: IStreamClientEndpoint = kind(reactor, address, port, timeout=seconds)
    return endpoint
