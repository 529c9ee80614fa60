"""The client's side of an association: what the gateway, the lab's clients and the probe speak with a KMS host.

It has the same shape as `kmstwist.rpc.server`: bytes in, events and bytes out, and one machine whose table `CLIENT`
lists everything that can happen; its actions are in `answers`. A client association is `idle` until `bind` is called,
`binding` until the server has answered, `bound` while calls and alter_contexts may be made, and `closed` after the
server broke the protocol or refused the bind. It makes one bind, as Windows clients do, and any number of calls, each
identified by its call id.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from kmstwist.rpc.client.actions import (
    break_off,
    break_off_malformed,
    break_off_violated,
    send_bind,
    take_alter_resp,
    take_bind_ack,
    take_bind_nak,
    take_fault,
    take_response,
    take_shutdown,
)
from kmstwist.rpc.client.core import ClientCore, ClientState
from kmstwist.rpc.client.events import ServerBroke
from kmstwist.rpc.pdu import (
    AlterContext,
    AlterContextResp,
    Auth3,
    Bind,
    BindAck,
    BindNak,
    CoCancel,
    Fault,
    Orphaned,
    OtherPdu,
    PduError,
    PresentationContext,
    Request,
    Response,
    Shutdown,
)
from kmstwist.statemachine import ANY, SAME, NoRow, Table, Trace


class Start:
    """The input for our own bind."""


class ClientAssociation(ClientCore):
    """One connection's association, on the client's side. `bind` first; then `call` as often as you like."""

    __slots__ = ()

    def __init__(self, trace: Trace | None = None) -> None:
        """`trace` is called for every transition."""
        super().__init__(CLIENT, trace)

    def bind(self, contexts: Sequence[PresentationContext]) -> None:
        """Propose these contexts. Call it once, before anything else; otherwise it raises `NoRow`."""
        if self.state is not _IDLE:
            raise NoRow("client association: a client binds once")
        self.step(Start, tuple(contexts))


#: What can happen to a client association: our bind, a PDU of each kind, bytes that are not a PDU, a broken rule.
INPUTS: Final[dict[type, str]] = {
    Start: "We bind.",
    BindAck: "The server acknowledged the bind.",
    BindNak: "The server refused the bind.",
    AlterContextResp: "The server answered an alter_context.",
    Response: "A response, or a fragment of one.",
    Fault: "A fault.",
    Shutdown: "The server wants the connection ended.",
    PduError: "Bytes that are not a PDU.",
    ServerBroke: "The server broke the protocol in a PDU that was well-formed.",
    **dict.fromkeys((Bind, AlterContext, Request, CoCancel, Orphaned, Auth3, OtherPdu), "A PDU that no server sends."),
}

_IDLE, _BINDING, _BOUND, _CLOSED = ClientState.IDLE, ClientState.BINDING, ClientState.BOUND, ClientState.CLOSED
#: This table is the association. A server may not send in a state what the table does not list for it.
CLIENT: Final[Table[ClientState, type]] = Table(
    "client association",
    INPUTS,
    [
        # state, input, next state, what is done
        (_IDLE, Start, _BINDING, send_bind),
        (_IDLE, Shutdown, SAME, take_shutdown),
        (_IDLE, PduError, _CLOSED, break_off_malformed),
        (_IDLE, ANY, _CLOSED, break_off),
        (_BINDING, BindAck, _BOUND, take_bind_ack),
        (_BINDING, BindNak, _CLOSED, take_bind_nak),
        (_BINDING, Shutdown, SAME, take_shutdown),
        (_BINDING, PduError, _CLOSED, break_off_malformed),
        (_BINDING, ANY, _CLOSED, break_off),
        (_BOUND, AlterContextResp, SAME, take_alter_resp),
        (_BOUND, Response, SAME, take_response),
        (_BOUND, Fault, SAME, take_fault),
        (_BOUND, Shutdown, SAME, take_shutdown),
        (_BOUND, PduError, _CLOSED, break_off_malformed),
        (_BOUND, ServerBroke, _CLOSED, break_off_violated),
        (_BOUND, ANY, _CLOSED, break_off),
        (_CLOSED, ANY, SAME, None),
    ],
)
