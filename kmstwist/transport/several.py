"""An endpoint for a host of several addresses: they are tried one after the other until one takes the connection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from zope.interface import implementer


@implementer(IStreamClientEndpoint)
class FirstToConnect:
    """Connects to the first of `endpoints` that can be had; the last one's failure is the failure."""

    def __init__(self, endpoints: Sequence[IStreamClientEndpoint]) -> None:
        if not endpoints:
            raise ValueError("there must be an endpoint")
        self._endpoints = tuple(endpoints)

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Fires with the connected protocol; fails with the last endpoint's failure."""
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        *others, last = self._endpoints
        for endpoint in others:
            try:
                return await _connected(endpoint, factory)
            except CancelledError:
                raise
            except Exception:  # noqa: S112 - whatever keeps one address from answering, the next is tried
                continue
        return await _connected(last, factory)


async def _connected(endpoint: IStreamClientEndpoint, factory: IProtocolFactory) -> IProtocol:
    attempt: Deferred[Any] = endpoint.connect(factory)
    protocol: IProtocol = await attempt
    return protocol
