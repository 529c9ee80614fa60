"""A client's connection as Twisted has it. It moves bytes and nothing else; what they mean is the conversation's."""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from kmstwist.conversation.conversation import Conversation
from kmstwist.conversation.lines import Cause
from kmstwist.conversation.shared import Conversations
from kmstwist.conversation.states import Input
from kmstwist.conversation.tracing import transitions_to
from kmstwist.reasons import Reason

#: Bytes read from one connection, then it is the others' turn: a Windows client's bind or request is 160 to 400, and
#: the smallest PDU 16, so that a flood of those is 32 a turn.
READ: Final = 512
#: Bytes taken in one turn from what stands between us and the socket (TLS, say), which reads for itself.
TAKEN: Final = 2048
#: So much noise, and a connection is read from in the slow lane.
_NOISY: Final = 32
#: Why nothing is read: the client does not read its answers; its bytes wait for their turn; it waits for its own.
_FULL, _LEFT, _SLOWED = 1, 2, 4

_CLOSED: Final = Cause(Reason.CLIENT_CLOSED, "")
_LOST: Final = Cause(Reason.CLIENT_LOST, "")


@implementer(IHalfCloseableProtocol, IPushProducer)
class KmsProtocol(Protocol):
    """One client's connection. The peer's address is known before there is a transport."""

    #: A TCP or Unix connection of Twisted's, which is a consumer and a producer as well as a transport.
    transport: Any
    conversation: Conversation

    def __init__(self, shared: Conversations, peer: str, port: int) -> None:
        self._shared = shared
        self._peer = peer
        self._port = port
        #: What has been read and is for the turns to come.
        self._left = b""
        #: Why nothing is read at present: the sum of the reasons below.
        self._held = 0

    def connectionMade(self) -> None:
        """Begin the conversation."""
        self.transport.bufferSize = READ
        # A client that does not read its answers is not read from either, and its time runs.
        self.transport.registerProducer(self, True)
        shared, peer, port = self._shared, self._peer, self._port
        trace = transitions_to(shared.log, peer, port) if shared.tracing else None
        self.conversation = Conversation(shared, self.transport, peer, port, trace)

    def dataReceived(self, data: bytes) -> None:
        """The client has sent something."""
        if len(data) > TAKEN or self._left:
            self._take_in_turns(data)
            return
        self.conversation.step(Input.BYTES, data)
        if self.conversation.noise > _NOISY:
            self._hold(_SLOWED)
            self._shared.slow_lane.enter(self)

    def _take_in_turns(self, data: bytes) -> None:
        """Take the first of it, and the rest when others have had their turn; nothing is read meanwhile."""
        waiting, self._left = bool(self._left), self._left + data
        if not waiting:
            self._hold(_LEFT)
            self._take_next()

    def _take_next(self) -> None:
        data, self._left = self._left[:TAKEN], self._left[TAKEN:]
        if not data:
            # The connection ended in between.
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
        """Our side is closed, as we wanted."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone."""
        self._left = b""
        self.conversation.step(Input.LOST, _CLOSED if isinstance(reason.value, ConnectionDone) else _LOST)

    def pauseProducing(self) -> None:
        """The transport holds as much as it should for a client that does not read."""
        self._hold(_FULL)

    def resumeProducing(self) -> None:
        """The client has read what was held."""
        self._release(_FULL)

    def stopProducing(self) -> None:
        """The connection is gone; `connectionLost` says so, too."""
