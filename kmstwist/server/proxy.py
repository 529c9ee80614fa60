"""The PROXY protocol, versions 1 and 2, from the load balancers that the configuration names and from nobody else.

Twisted's wrapper reads the header and has the transport's `getPeer` say what stands in it. It is put only around the
connections of named balancers: to anybody else a header would be a way to claim any address.
"""

from __future__ import annotations

from typing import Any

from twisted.protocols.haproxy._wrapper import HAProxyProtocolWrapper
from twisted.protocols.policies import WrappingFactory

#: How a header of either version begins (the PROXY protocol's specification, 2.1 and 2.2).
_STARTS = (b"PROXY ", b"\r\n\r\n\x00\r\nQUIT\n")


def begins_as_header(data: bytes) -> bool:
    """Whether a connection's first bytes are a PROXY header's."""
    return data.startswith(_STARTS)


class BalancedConnection(HAProxyProtocolWrapper):
    """A balancer's connection, wrapped; tells the protocol inside if the header is not one."""

    def loseConnection(self) -> None:
        """Close; that the protocol inside did not ask for it means that the wrapper found no header."""
        inner: Any = self.wrappedProtocol
        if not inner.has_ended():
            inner.header_refused()
        super().loseConnection()


class BalancedFactory(WrappingFactory[BalancedConnection]):
    """What Twisted's wrapper counts its connections in."""

    protocol = BalancedConnection
    noisy = False
