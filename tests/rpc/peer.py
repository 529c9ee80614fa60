"""A client for the tests: sends PDUs to a server association and reads what comes back, without a connection."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypedDict, Unpack

from kmstwist.kms.interface import KMS_INTERFACE
from kmstwist.rpc import (
    MGMT_INTERFACE,
    NDR32,
    NDR64,
    AcceptedContext,
    Bind,
    BindAck,
    Call,
    CallReceived,
    ClientAssociation,
    Ended,
    Event,
    Interface,
    Limits,
    Pdu,
    PresentationContext,
    Refused,
    RpcServer,
    ServerAssociation,
    decode,
    encode,
)

KMS = Interface(KMS_INTERFACE, operations=1)
KMS_CONTEXT = PresentationContext(0, KMS_INTERFACE, (NDR32,))
KMS64_CONTEXT = PresentationContext(0, KMS_INTERFACE, (NDR64,))
MGMT_CONTEXT = PresentationContext(1, MGMT_INTERFACE, (NDR32,))


def make_server(**limits: int) -> RpcServer:
    return RpcServer((KMS,), limits=Limits(**limits))


def split(data: bytes) -> list[bytes]:
    """The PDUs of these bytes, which must be whole."""
    pieces = []
    while data:
        size = int.from_bytes(data[8:10], "little")
        pieces.append(data[:size])
        data = data[size:]
    return pieces


class BindFields(TypedDict, total=False):
    """What a bind says in addition to its contexts."""

    flags: int
    max_xmit_frag: int
    max_recv_frag: int
    assoc_group: int


def kms_context(client: ClientAssociation) -> AcceptedContext:
    """The context that a bound client calls the KMS interface on."""
    context = client.context_for(KMS_INTERFACE)
    assert context is not None
    return context


class Peer:
    """One client's connection to `server`. `events` and `raw` hold all that has happened so far."""

    def __init__(self, server: RpcServer | None = None, port: str = "1688", client: str = "") -> None:
        self.server = server if server is not None else make_server()
        self.association = ServerAssociation(self.server, port, client)
        self.events: list[Event] = []
        self.raw: list[bytes] = []

    def send_bytes(self, data: bytes) -> list[Pdu]:
        self.events += self.association.receive_data(data)
        return self.receive()

    def send(self, *pdus: Pdu, little_endian: bool = True) -> list[Pdu]:
        """Send these at once. Returns the answers."""
        return self.send_bytes(b"".join(encode(pdu, little_endian=little_endian) for pdu in pdus))

    def receive(self) -> list[Pdu]:
        pieces = split(self.association.data_to_send())
        self.raw += pieces
        return [decode(piece) for piece in pieces]

    def bind(
        self, contexts: Iterable[PresentationContext] = (KMS_CONTEXT, MGMT_CONTEXT), **fields: Unpack[BindFields]
    ) -> BindAck:
        [ack] = self.send(Bind(1, tuple(contexts), **fields))
        assert type(ack) is BindAck
        return ack

    def respond(self, call: Call, stub: bytes) -> list[Pdu]:
        self.association.respond(call, stub)
        return self.receive()

    @property
    def calls(self) -> list[Call]:
        return [event.call for event in self.events if type(event) is CallReceived]

    @property
    def ended(self) -> Ended | None:
        """The association's end, if it has come; there is never more than one."""
        ends = [event for event in self.events if type(event) is Ended]
        assert len(ends) <= 1
        return ends[0] if ends else None

    @property
    def refusals(self) -> list[Refused]:
        """All events so far; fails if any is not a refusal."""
        refusals = [event for event in self.events if type(event) is Refused]
        assert refusals == self.events
        return refusals

    @property
    def end(self) -> Ended:
        """The association's end; fails if it has not come."""
        assert self.ended is not None
        return self.ended


def bound_peer(
    server: RpcServer | None = None,
    contexts: Iterable[PresentationContext] = (KMS_CONTEXT, MGMT_CONTEXT),
    **fields: Unpack[BindFields],
) -> Peer:
    peer = Peer(server)
    peer.bind(contexts, **fields)
    return peer
