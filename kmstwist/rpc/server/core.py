"""The server's side of an association below its rules: what it holds, and what it can do.

`kmstwist.rpc.server.association` says when which of it is done; the rules are in `binding`, `requests` and `refusals`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

from kmstwist.machine import Table, Trace
from kmstwist.reasons import Reason
from kmstwist.rpc import mgmt
from kmstwist.rpc.decoding import whole_request
from kmstwist.rpc.encoding import encode_response
from kmstwist.rpc.endpoint import Endpoint
from kmstwist.rpc.fragments import PartialStub, cut
from kmstwist.rpc.interfaces import Interface, InterfaceTable
from kmstwist.rpc.pdu import (
    DID_NOT_EXECUTE,
    HEADER_SIZE,
    MAX_FRAGMENT,
    RESPONSE_HEADER_SIZE,
    WHOLE,
    BindNak,
    Fault,
    Pdu,
    Request,
)
from kmstwist.rpc.server.behaviour import NEWEST_WINDOWS, WindowsVersion
from kmstwist.rpc.server.call import Call, CallInput, CallState
from kmstwist.rpc.server.contexts import BoundContext
from kmstwist.rpc.server.events import Ended, Event, Refused
from kmstwist.rpc.server.groups import AssociationGroups


@dataclass(frozen=True, slots=True)
class Limits:
    """What one server allows, all sizes in bytes.

    `max_request` bounds the stub of one request in fragments (4 MiB is Windows' and Samba's own bound),
    `max_reassembly` those of all connections together, `max_calls` the calls under way on one multiplexed connection.
    """

    max_request: int = 0x400000
    max_reassembly: int = 64 * 1024 * 1024
    max_calls: int = 32


@dataclass(slots=True)
class RpcServer:
    """What all associations of one server share: its interfaces, limits, groups and counters."""

    interfaces: tuple[Interface, ...]
    limits: Limits = field(default_factory=Limits)
    #: Which Windows the server behaves as, where one differs from another.
    windows: WindowsVersion = NEWEST_WINDOWS
    groups: AssociationGroups = field(default_factory=AssociationGroups)
    statistics: mgmt.Statistics = field(default_factory=mgmt.Statistics)
    #: Whether calls are served at present, for those who ask the management interface.
    listening: Callable[[], bool] = lambda: True
    #: Stub bytes held for requests of which fragments are missing, over all connections.
    reassembling: int = 0
    table: InterfaceTable = field(init=False)
    #: Binds that were acknowledged, by the port and their bytes without the call id.
    known_binds: dict[bytes, KnownBind] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.interfaces = (*self.interfaces, mgmt.MANAGEMENT)
        self.table = InterfaceTable(self.interfaces)


class ServerState(StrEnum):
    """Where an association is."""

    UNBOUND = "unbound"
    BOUND = "bound"
    FINISHING = "finishing"
    CLOSED = "closed"


class Accepted:
    """As an input: the bind's context list was in order, and it has been acknowledged."""


@dataclass(frozen=True, slots=True)
class KnownBind:
    """As an input: a bind came that was acknowledged before, byte for byte but for its call id.

    A site's clients send the same few, so what was negotiated then is kept: the contexts (nobody changes them), and
    the bind_ack in three parts, between which stand the call id and the group.
    """

    contexts: dict[int, BoundContext]
    features: int
    multiplexed: bool
    fragment_size: int
    ack: tuple[bytes, bytes, bytes]


#: So many binds are known at most, of so many bytes: a list of its own for each connection is somebody's plaything.
_KNOWN_BINDS: Final = 256
_LONGEST_KNOWN: Final = 512


class EndOfInput:
    """As an input: the client has ended its side of the connection."""


class Finished:
    """As an input: the last call of a client that has nothing more to send is answered."""


class Refusal(NamedTuple):
    """As an input: the client broke a rule. It is answered, and the association ends."""

    answer: BindNak | Fault
    reason: Reason
    detail: str


class ServerCore(Endpoint[ServerState, Event]):
    """What an association holds, and what the machine's actions are made of."""

    __slots__ = (
        "altered",
        "answered",
        "bind",
        "calls",
        "client",
        "contexts",
        "features",
        "fragment_size",
        "group",
        "incoming",
        "multiplexed",
        "secondary_address",
        "server",
    )

    def __init__(
        self,
        table: Table[ServerState, type],
        server: RpcServer,
        secondary_address: str,
        client: str,
        trace: Trace | None,
    ) -> None:
        super().__init__(table, trace)
        self.server = server
        self.client = client
        self.secondary_address = secondary_address.encode("ascii")
        self.features = 0
        self.fragment_size = MAX_FRAGMENT
        self.group: int | None = None
        self.multiplexed = False
        #: What came in place of the first PDU, in one piece; empty once there is an answer.
        self.bind = b""
        #: Calls answered, with a response or a fault, those of the management interface included.
        self.answered = 0
        #: Times that contexts were added.
        self.altered = 0
        self.contexts: dict[int, BoundContext] = {}
        self.calls: dict[int, Call] = {}
        #: The request of which fragments are missing: one at a time is received.
        self.incoming: PartialStub[Request] | None = None

    @property
    def buffered(self) -> int:
        """Bytes held of fragments and requests that are not complete."""
        return self._reader.pending + (0 if self.incoming is None else len(self.incoming.stub))

    @property
    def over(self) -> bool:
        """Whether the association is over: when what there is to send is sent, the connection is to be closed."""
        return self.state is ServerState.CLOSED

    def receive_data(self, data: bytes) -> list[Event]:
        """Take bytes from the connection; the events they amount to. Never raises, and does nothing once it is over."""
        if self.state is ServerState.UNBOUND:
            known = self.server.known_binds.get(self._key(data))
            if known is not None and not self._reader.pending:
                events = self.events = []
                self.server.statistics.packets_in += 1
                self.step(KnownBind, known, data[12:16])
                return events
            self.bind = b"" if self._reader.pending else data
        elif self.state is ServerState.BOUND and not self._reader.data:
            request = whole_request(data)
            if request is not None:
                events = self.events = []
                self.server.statistics.packets_in += 1
                self.step(Request, request)
                return events
        return super().receive_data(data)

    def know_bind(self, known: KnownBind) -> None:
        """Have the same bind acknowledged in the same way from now on; if it came whole, alone, and little-endian."""
        data, self.bind = self.bind, b""
        size = len(data)
        if HEADER_SIZE <= size <= _LONGEST_KNOWN and size == int.from_bytes(data[8:10], "little") and data[4] & 0xF0:
            binds = self.server.known_binds
            if len(binds) >= _KNOWN_BINDS:
                binds.clear()
            binds[self._key(data)] = known

    def _key(self, data: bytes) -> bytes:
        # The port is in the acknowledgement.
        return self.secondary_address + data[:12] + data[16:]

    def end_of_input(self) -> list[Event]:
        """The client has nothing more to send, and still reads: calls under way are answered, then it is over.

        `Ended` is among the events where nothing was under way; else `over` says when it is.
        """
        events = self.events = []
        self.step(EndOfInput)
        return events

    def respond(self, call: Call, stub: bytes) -> None:
        """Answer a call with a response stub, in as many fragments as the client's fragment size needs."""
        executing = call.state is CallState.EXECUTING
        call.step(CallInput.ANSWER)
        if not executing:
            return
        statistics = self.server.statistics
        statistics.calls_out += 1
        if not call.maybe:
            # Windows puts only the low byte of the context id into a response, and Samba does the same.
            context_id = call.context_id & 0xFF
            room = self.fragment_size - RESPONSE_HEADER_SIZE
            if len(stub) <= room:
                statistics.packets_out += 1
                self.unsent.append(encode_response(call.call_id, context_id, stub, len(stub), WHOLE))
            else:
                for piece, flags, hint in cut(stub, room):
                    self.put(encode_response(call.call_id, context_id, piece, hint, flags))
        self._finish(call)

    def fault(self, call: Call, status: int, *, did_not_execute: bool = False) -> None:
        """Answer a call with a fault; `did_not_execute` tells the client that it may safely ask again."""
        executing = call.state is CallState.EXECUTING
        call.step(CallInput.ANSWER)
        if not executing:
            return
        if not call.maybe:
            flags = WHOLE | DID_NOT_EXECUTE if did_not_execute else WHOLE
            self.send(Fault(call.call_id, call.context_id, status, flags=flags))
        self._finish(call)

    def connection_lost(self) -> None:
        """The connection is gone: leave the group, drop what was half received and all answers still to come."""
        if self.calls or self.incoming is not None:
            self.drop_calls()
        if self.group is not None:
            self.server.groups.leave(self.group)
            self.group = None

    def take(self, pdu: Pdu) -> None:
        """Count a PDU, and step the machine by it."""
        self.server.statistics.packets_in += 1
        self.step(type(pdu), pdu)

    def put(self, fragment: bytes) -> None:
        """Put a PDU on the connection, and count it."""
        self.server.statistics.packets_out += 1
        self.unsent.append(fragment)

    def note_refusal(self, reason: Reason, detail: str) -> None:
        """Tell the owner of a refusal after which the association goes on."""
        self.events.append(Refused(reason, detail))

    def end(self, reason: Reason, detail: str) -> None:
        """Tell the owner to close the connection; nothing more is taken from it, and nothing held for it."""
        self.drop_calls()
        self.close(Ended(reason, detail))

    def forget_incoming(self) -> None:
        """No request is incomplete any more; its bytes count no longer."""
        if self.incoming is not None:
            self.server.reassembling -= len(self.incoming.stub)
            self.incoming = None

    def drop_calls(self) -> None:
        """Nobody waits for an answer any more."""
        for call in self.calls.values():
            call.step(CallInput.ORPHAN)
        self.calls.clear()
        self.forget_incoming()

    def _finish(self, call: Call) -> None:
        self.calls.pop(call.call_id, None)
        self.answered += 1
        if self.state is ServerState.FINISHING and not self.calls:
            self.step(Finished)
