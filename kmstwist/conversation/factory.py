"""The Twisted factory for clients' connections."""

from __future__ import annotations

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory

from kmstwist.addresses import plain_address
from kmstwist.conversation.conversations import Conversations
from kmstwist.conversation.protocol import KmsProtocol


class KmsFactory(Conversations, Factory):
    """Makes a `KmsProtocol` for each connection, and holds what they share."""

    noisy = False

    def buildProtocol(self, addr: IAddress | None) -> KmsProtocol:
        """A protocol for the client at `addr`, or for the load balancer at `addr` that will name a client."""
        return KmsProtocol(self, plain_address(getattr(addr, "host", "local")), getattr(addr, "port", 0))
