"""The Twisted protocol of a client's connection. It only moves bytes; the conversation interprets them."""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from kmstwist.conversation.conversation import Conversation
from kmstwist.conversation.conversations import Conversations
from kmstwist.conversation.lines import Cause
from kmstwist.conversation.states import Input
from kmstwist.conversation.tracing import transitions_to
from kmstwist.reasons import Reason
from kmstwist.transport.sending import Sender

#: How many bytes one connection may have read before the others get their turn. A bind or request of a Windows client
#: has 160 to 400 bytes and the smallest PDU 16, so that a flood of those gets 32 of them into a turn.
READ: Final = 512
#: How many bytes are taken in one turn from a layer between us and the socket (such as TLS), which reads by itself.
TAKEN: Final = 2048
#: A connection with this much noise is read from in the slow lane.
_NOISY: Final = 32
#: Why reading is paused: the client does not read its answers; bytes already read wait; the connection waits its turn.
_FULL, _LEFT, _SLOWED = 1, 2, 4

_CLOSED: Final = Cause(Reason.CLIENT_CLOSED, "")
_LOST: Final = Cause(Reason.CLIENT_LOST, "")


@implementer(IHalfCloseableProtocol, IPushProducer)
class KmsProtocol(Protocol):
    """One client's connection. The peer's address is known before the transport exists."""

    #: Twisted's TCP or Unix transport, which is also a consumer and a producer.
    transport: Any
    conversation: Conversation

    def __init__(self, shared: Conversations, peer: str, port: int) -> None:
        self._shared = shared
        self._peer = peer
        self._port = port
        #: Bytes that have been read and wait for later turns.
        self._left = b""
        #: Why reading is paused at present: the sum of the reasons above.
        self._held = 0

    def connectionMade(self) -> None:
        """Begin the conversation."""
        transport = self.transport
        transport.bufferSize = READ
        # While a client does not read its answers, we do not read from it, and its deadlines run.
        sender = Sender(transport, producer=self)
        shared, peer, port = self._shared, self._peer, self._port
        trace = transitions_to(shared.log, peer, port) if shared.tracing else None
        self.conversation = Conversation(shared, transport, sender, peer, port, trace)

    def dataReceived(self, data: bytes) -> None:
        """The client has sent bytes."""
        if len(data) > TAKEN or self._left:
            self._take_in_turns(data)
            return
        self.conversation.step(Input.BYTES, data)
        if self.conversation.noise > _NOISY:
            self._hold(_SLOWED)
            self._shared.slow_lane.enter(self)

    def _take_in_turns(self, data: bytes) -> None:
        """Take the first of the bytes, and the rest in later turns; nothing is read meanwhile."""
        waiting, self._left = bool(self._left), self._left + data
        if not waiting:
            self._hold(_LEFT)
            self._take_next()

    def _take_next(self) -> None:
        data, self._left = self._left[:TAKEN], self._left[TAKEN:]
        if not data:
            # The connection has ended meanwhile.
            return
        self.conversation.step(Input.BYTES, data)
        if self._left:
            self._shared.clock.callLater(0, self._take_next)
        else:
            self._release(_LEFT)

    def your_turn(self) -> None:
        """Read again, once."""
        self._release(_SLOWED)

    def _hold(self, reason: int) -> None:
        if not self._held:
            self.transport.pauseProducing()
        self._held |= reason

    def _release(self, reason: int) -> None:
        if self._held:
            self._held &= ~reason
            if not self._held:
                self.transport.resumeProducing()

    def readConnectionLost(self) -> None:
        """The client has closed its side."""
        self.conversation.step(Input.SAID_LAST)

    def writeConnectionLost(self) -> None:
        """Our side is closed, as we asked."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone."""
        self._left = b""
        self.conversation.step(Input.LOST, _CLOSED if isinstance(reason.value, ConnectionDone) else _LOST)

    def pauseProducing(self) -> None:
        """The transport holds as many bytes as it should for a client that does not read."""
        self._hold(_FULL)

    def resumeProducing(self) -> None:
        """The client has read the bytes that were held."""
        self._release(_FULL)

    def stopProducing(self) -> None:
        """The connection is gone; `connectionLost` is called as well."""
