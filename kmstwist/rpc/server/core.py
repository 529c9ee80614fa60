"""The server's side of an association without its rules: its data, and the methods that its actions call.

The table in `kmstwist.rpc.server.association` says what is done when; the actions are in the files beside it.
The common way of a call is here from one end to the other: a request that comes whole, and its answer.
"""

from __future__ import annotations

from typing import Final

from kmstwist.reasons import Reason
from kmstwist.rpc import mgmt
from kmstwist.rpc.endpoint import Endpoint
from kmstwist.rpc.fragments import PartialStub, cut
from kmstwist.rpc.layout import LITTLE
from kmstwist.rpc.ndr import StubError
from kmstwist.rpc.pdu import (
    DID_NOT_EXECUTE,
    HEADER_SIZE,
    MAX_FRAGMENT,
    REQUEST_HEADER_SIZE,
    RESPONSE_HEADER_SIZE,
    RPC_VERSION,
    WHOLE,
    Fault,
    PacketType,
    Pdu,
    Request,
)
from kmstwist.rpc.server.contexts import BoundContext
from kmstwist.rpc.server.events import Call, CallReceived, Ended, Event, Refused
from kmstwist.rpc.server.inputs import EndOfInput, Finished, KnownBind, ServerState
from kmstwist.rpc.server.server import RpcServer
from kmstwist.rpc.status import FaultStatus
from kmstwist.statemachine import Table, Trace

#: The most binds that are kept, and the most bytes of one, so that a client that varies its bind cannot fill memory.
_KNOWN_BINDS: Final = 256
_LONGEST_KNOWN: Final = 512

#: The first bytes of a Windows client's request: version 5.0, one fragment, little-endian.
_WHOLE_REQUEST: Final = bytes((RPC_VERSION, 0, PacketType.REQUEST, WHOLE)) + LITTLE.drep
_DREP: Final = LITTLE.drep
_AFTER_DREP: Final = LITTLE.after_drep.unpack_from
_RESPONSE: Final = int(PacketType.RESPONSE)
_RESPONSE_START: Final = LITTLE.response_start.pack


def whole_request(data: bytes) -> tuple[int, int, int, bytes, int] | None:
    """The fields of the `Request` that `decode` would return, if these bytes are exactly one as Windows sends it.

    None for anything else, well-formed or not; the caller then uses `decode`, which takes three times as long (5 µs).
    """
    if data[:8] != _WHOLE_REQUEST or not REQUEST_HEADER_SIZE <= len(data) <= MAX_FRAGMENT:
        return None
    size, auth_length, call_id, alloc_hint, context_id, opnum = _AFTER_DREP(data, 8)
    if size != len(data) or auth_length:
        return None
    return call_id, context_id, opnum, data[REQUEST_HEADER_SIZE:], alloc_hint


def encode_response(call_id: int, context_id: int, stub: bytes, hint: int, flags: int = WHOLE) -> bytes:
    """The bytes of a `Response` with these fields, little-endian: the same as `encode` gives."""
    size = len(stub) + RESPONSE_HEADER_SIZE
    return _RESPONSE_START(RPC_VERSION, 0, _RESPONSE, flags, _DREP, size, 0, call_id, hint, context_id, 0, 0) + stub


class ServerCore(Endpoint[ServerState, Event]):
    """An association's data, and the methods that the machine's actions call."""

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
        #: The bytes that arrived in place of the first PDU, in one piece; empty once they are answered.
        self.bind = b""
        #: Calls answered with a response or a fault, including those of the management interface.
        self.answered = 0
        #: How often contexts were added.
        self.altered = 0
        self.contexts: dict[int, BoundContext] = {}
        self.calls: dict[int, Call] = {}
        #: The request of which fragments are missing; only one is received at a time.
        self.incoming: PartialStub[Request] | None = None

    @property
    def buffered(self) -> int:
        """How many bytes of incomplete fragments and requests are held."""
        return self._reader.pending + (0 if self.incoming is None else len(self.incoming.stub))

    @property
    def over(self) -> bool:
        """Whether the association is over: the connection is to be closed once the remaining bytes are sent."""
        return self.state is ServerState.CLOSED

    def receive_data(self, data: bytes) -> list[Event]:
        """Take bytes from the connection and return their events. Never raises; once it is over, it does nothing."""
        if self.state is ServerState.UNBOUND:
            known = self.server.known_binds.get(self._key(data))
            if known is not None and not self._reader.pending:
                events = self.events = []
                self.server.statistics.packets_in += 1
                self.step(KnownBind, known, data[12:16])
                return events
            self.bind = b"" if self._reader.pending else data
        elif self.state is ServerState.BOUND and not (self._reader.data or self.calls or self.incoming or self.trace):
            whole = whole_request(data)
            if whole is not None and (context := self.contexts.get(whole[1])) is not None:
                # Nothing to judge and no state to change: what the table's row comes to for nearly all requests.
                call_id, context_id, opnum, stub, _ = whole
                self.events = []
                self.server.statistics.packets_in += 1
                self.start(Call(call_id, context_id, context, opnum, stub, context.ndr64))
                return self.events
        return super().receive_data(data)

    def know_bind(self, known: KnownBind) -> None:
        """Acknowledge equal binds in the same way from now on, if this one arrived whole, alone and little-endian."""
        data, self.bind = self.bind, b""
        size = len(data)
        if HEADER_SIZE <= size <= _LONGEST_KNOWN and size == int.from_bytes(data[8:10], "little") and data[4] & 0xF0:
            binds = self.server.known_binds
            if len(binds) >= _KNOWN_BINDS:
                binds.clear()
            binds[self._key(data)] = known

    def _key(self, data: bytes) -> bytes:
        # The acknowledgement contains the port.
        return self.secondary_address + data[:12] + data[16:]

    def end_of_input(self) -> list[Event]:
        """The client has nothing more to send, but still reads: calls under way are answered, then it is over.

        If no call was under way, the events contain `Ended`; otherwise ask `over`.
        """
        events = self.events = []
        self.step(EndOfInput)
        return events

    def start(self, call: Call) -> None:
        """Execute a call, all fragments of which are here, if there is such an operation."""
        interface = call.context.interface
        self.calls[call.call_id] = call
        self.server.statistics.calls_in += 1
        if call.opnum >= interface.operations:
            self.fault(call, FaultStatus.NCA_OP_RANGE, did_not_execute=True)
            self.note_refusal(Reason.RPC_UNKNOWN_OPERATION, f"there is no operation {call.opnum}")
        elif interface is mgmt.MANAGEMENT:
            self._manage(call)
        else:
            self.events.append(CallReceived(call))

    def respond(self, call: Call, stub: bytes) -> None:
        """Answer a call with a response stub, in as many fragments as the client's fragment size needs.

        A call is executing until it is answered, its client orphans it, or its connection ends. After that an answer is
        dropped: whoever executes the call need not know what happened to the client.
        """
        if self.calls.get(call.call_id) is not call:
            return
        statistics = self.server.statistics
        statistics.calls_out += 1
        if not call.maybe:
            # Windows puts only the low byte of the context id into a response, and Samba does the same.
            context_id = call.context_id & 0xFF
            room = self.fragment_size - RESPONSE_HEADER_SIZE
            if len(stub) <= room:
                statistics.packets_out += 1
                self.unsent.append(encode_response(call.call_id, context_id, stub, len(stub)))
            else:
                for piece, flags, hint in cut(stub, room):
                    self.put(encode_response(call.call_id, context_id, piece, hint, flags))
        self._finish(call)

    def fault(self, call: Call, status: int, *, did_not_execute: bool = False) -> None:
        """Answer a call with a fault; `did_not_execute` tells the client that it may safely ask again."""
        if self.calls.get(call.call_id) is not call:
            return
        if not call.maybe:
            flags = WHOLE | DID_NOT_EXECUTE if did_not_execute else WHOLE
            self.send(Fault(call.call_id, call.context_id, status, flags=flags))
        self._finish(call)

    def connection_lost(self) -> None:
        """The connection is gone: leave the group, drop incomplete requests and all answers that are still to come."""
        if self.calls or self.incoming is not None:
            self.drop_calls()
        group, self.group = self.group, None
        if group is not None:
            groups = self.server.groups
            if groups[group].connections == 1:
                # Nearly always: Windows makes a connection, and so a group, for each conversation.
                del groups[group]
            else:
                groups.leave(group)

    def take(self, pdu: Pdu) -> None:
        """Count a PDU, and step the machine by it."""
        self.server.statistics.packets_in += 1
        self.step(type(pdu), pdu)

    def put(self, fragment: bytes) -> None:
        """Queue an encoded PDU for sending, and count it."""
        self.server.statistics.packets_out += 1
        self.unsent.append(fragment)

    def note_refusal(self, reason: Reason, detail: str) -> None:
        """Tell the owner of a refusal after which the association goes on."""
        self.events.append(Refused(reason, detail))

    def end(self, reason: Reason, detail: str) -> None:
        """Tell the owner to close the connection; ignore further bytes from it, and drop those that are held."""
        self.drop_calls()
        self.close(Ended(reason, detail))

    def forget_incoming(self) -> None:
        """Drop the incomplete request, and stop counting its bytes."""
        if self.incoming is not None:
            self.server.reassembling -= len(self.incoming.stub)
            self.incoming = None

    def drop_calls(self) -> None:
        """Drop the answers to all calls under way: nobody waits for them any more."""
        self.calls.clear()
        self.forget_incoming()

    def _finish(self, call: Call) -> None:
        del self.calls[call.call_id]
        self.answered += 1
        if self.state is ServerState.FINISHING and not self.calls:
            self.step(Finished)

    def _manage(self, call: Call) -> None:
        """Answer a call of the management interface."""
        server = self.server
        try:
            stub = mgmt.answer(
                call.opnum,
                call.stub,
                server.interfaces,
                server.statistics,
                listening=server.listening(),
                ndr64=call.ndr64,
                little_endian=call.little_endian,
            )
        except StubError as error:
            self.fault(call, FaultStatus.BAD_STUB_DATA)
            self.note_refusal(Reason.RPC_BAD_STUB, str(error))
        else:
            self.respond(call, stub)
