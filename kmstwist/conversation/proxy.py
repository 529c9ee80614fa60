"""The PROXY protocol, versions 1 and 2, from the load balancers that the configuration names and from nobody else.

Twisted's wrapper reads the header and has the transport's `getPeer` say what stands in it. It is put only around the
connections of named balancers: to anybody else a header would be a way to claim any address.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Any

from twisted.protocols.haproxy._exceptions import InvalidProxyHeader
from twisted.protocols.haproxy._info import ProxyInfo
from twisted.protocols.haproxy._v1parser import V1Parser
from twisted.protocols.haproxy._wrapper import HAProxyProtocolWrapper
from twisted.protocols.policies import WrappingFactory

from kmstwist.addresses import is_address

#: How a header of either version begins (the PROXY protocol's specification, 2.1 and 2.2).
_STARTS = (b"PROXY ", b"\r\n\r\n\x00\r\nQUIT\n")


def begins_as_header(data: bytes) -> bool:
    """Whether a connection's first bytes are a PROXY header's."""
    return data.startswith(_STARTS)


class StrictV1Parser(V1Parser):
    """Twisted's parser of a version 1 header, with the checks that the specification asks for.

    Twisted's own takes any text for an address, fails with a plain `ValueError` at a port that is none, and does not
    know the short form of a connection whose client the balancer cannot tell.
    """

    @classmethod
    def parse(cls, line: bytes) -> ProxyInfo:
        """What a header's line says; `InvalidProxyHeader` where it is none."""
        parts = line.decode("ascii", "replace").split(" ")
        if parts[:2] == ["PROXY", "UNKNOWN"]:
            # What follows up to the line's end is to be ignored (2.1).
            return ProxyInfo(line, None, None)
        if len(parts) != 6 or not all(map(_is_port, parts[4:])):
            raise InvalidProxyHeader
        family: Any = {"TCP4": IPv4Address, "TCP6": IPv6Address}.get(parts[1])
        if family is None or not all(is_address(text, family) and "%" not in text for text in parts[2:4]):
            raise InvalidProxyHeader
        return super().parse(line)


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535


class BalancedConnection(HAProxyProtocolWrapper):
    """A balancer's connection, wrapped; tells the protocol inside if the header is not one."""

    def dataReceived(self, data: bytes) -> None:
        """Read the header, then pass on what follows."""
        if self._parser is None and data.startswith(_STARTS[0]):
            self._parser = StrictV1Parser()
        super().dataReceived(data)

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
