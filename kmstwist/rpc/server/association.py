"""The server's side of an association: bytes in, events and bytes out (C706 chapter 11, 12.6; [MS-RPCE] 3.3.3).

Why it has this shape: what a server answers depends only on whether the connection is bound, and on the PDU. So the
association is one machine whose inputs are the kinds of PDU, and the table `SERVER` is all of it: to find out what
happens to an alter_context before a bind, look for that line. What varies *within* a line (a context list that is
refused, a fragment that does not fit its call) is decided by the action named there; the action may step the machine by
inputs that are not PDUs, such as `Accepted` and `Refusal`. The actions are in four files: `binding` (contexts),
`requests` (calls), `refusals` (PDUs that a client may not send) and `half_close` (half-closed connections).

The rules are C706's. Where Windows and Samba agree on another rule, that one applies, and the action says so:

- Only a whole bind is ever refused with bind_nak; everything else that breaks the protocol is answered with a fault,
  most with nca_s_proto_error, and the connection is closed ([MS-RPCE] 3.3.3 and 3.3.3.5.1; observed).
- A fault names its call's context only if the call had one. The flag "did not execute" is set if the call was refused
  before its fragments were complete or its operation known (C706 12.6.3.1, PFC_DID_NOT_EXECUTE; observed).
- A cancel is a hint and changes nothing; an orphaned call is executed and its answer dropped. Neither affects a call
  whose fragments are still arriving (observed).

"Observed" means: Samba's suite `samba.tests.dcerpc.raw_protocol` records that Windows does so; `tests/system` runs it.

This module never raises, whatever the bytes and their order: tests and a fuzzer hold it to that. Management calls are
answered here; all other calls become events, and are answered when whoever executes them is done.
"""

from __future__ import annotations

from typing import Final

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
    Request,
    Response,
    Shutdown,
)
from kmstwist.rpc.server.binding import acknowledge_known, alter, negotiate_bind, reject_second_bind
from kmstwist.rpc.server.core import ServerCore
from kmstwist.rpc.server.half_close import end_finished, finish
from kmstwist.rpc.server.inputs import Accepted, EndOfInput, Finished, KnownBind, Refusal, ServerState
from kmstwist.rpc.server.refusals import answer_malformed, end_foreign, fault_not_bound, refuse, reject_malformed
from kmstwist.rpc.server.requests import note_orphan, receive_request
from kmstwist.rpc.server.server import RpcServer
from kmstwist.statemachine import ANY, SAME, Table, Trace


class ServerAssociation(ServerCore):
    """One connection's association. Feed it with `receive_data`, act on the events, send what `data_to_send` has."""

    __slots__ = ()

    def __init__(self, server: RpcServer, secondary_address: str, client: str = "", trace: Trace | None = None) -> None:
        """`secondary_address` is the port the client connected to, as text (C706 12.6.3.1, port_any_t).

        `client` identifies the client's machine: over TCP, its IP address; it may be set until the bind arrives.
        `trace` is called for every transition.
        """
        super().__init__(SERVER, server, secondary_address, client, trace)


#: What can happen to an association: a PDU of each kind, bytes that are not a PDU, and conclusions of our own.
INPUTS: Final[dict[type, str]] = {
    Bind: "A bind has arrived.",
    KnownBind: "A bind has arrived that equals, byte for byte, one acknowledged before.",
    Accepted: "The bind's context list was in order, and it has been acknowledged.",
    AlterContext: "An alter_context has arrived.",
    Request: "A request, or a fragment of one, has arrived.",
    CoCancel: "A cancel has arrived.",
    Orphaned: "An orphaned PDU has arrived.",
    Shutdown: "A shutdown has arrived, which only servers may send.",
    BindAck: "A bind_ack, a server's PDU.",
    AlterContextResp: "An alter_context_resp, a server's PDU.",
    BindNak: "A bind_nak, a server's PDU.",
    Response: "A response, a server's PDU.",
    Fault: "A fault, a server's PDU.",
    Auth3: "A third authentication leg has arrived.",
    OtherPdu: "A PDU has arrived that has no meaning on a connection.",
    PduError: "Bytes have arrived that are not a PDU.",
    Refusal: "The client broke a rule; the answer says which.",
    EndOfInput: "The client has ended its side of the connection, and still reads.",
    Finished: "The last call of a client that has nothing more to send is answered.",
}

_UNBOUND, _BOUND = ServerState.UNBOUND, ServerState.BOUND
_FINISHING, _CLOSED = ServerState.FINISHING, ServerState.CLOSED
#: This table is the association. A client may not send in a state what the table does not list for it.
SERVER: Final[Table[ServerState, type]] = Table(
    "server association",
    INPUTS,
    [
        # state, input, next state, what is done
        (_UNBOUND, Bind, SAME, negotiate_bind),
        (_UNBOUND, Accepted, _BOUND, None),
        (_UNBOUND, KnownBind, _BOUND, acknowledge_known),
        (_UNBOUND, AlterContext, _CLOSED, fault_not_bound),
        (_UNBOUND, Request, _CLOSED, fault_not_bound),
        (_UNBOUND, PduError, _CLOSED, reject_malformed),
        (_UNBOUND, Refusal, _CLOSED, refuse),
        (_UNBOUND, EndOfInput, _CLOSED, end_finished),
        (_UNBOUND, ANY, _CLOSED, end_foreign),
        (_BOUND, Bind, _CLOSED, reject_second_bind),
        (_BOUND, AlterContext, SAME, alter),
        (_BOUND, Request, SAME, receive_request),
        (_BOUND, CoCancel, SAME, None),
        (_BOUND, Orphaned, SAME, note_orphan),
        (_BOUND, PduError, _CLOSED, answer_malformed),
        (_BOUND, Refusal, _CLOSED, refuse),
        (_BOUND, EndOfInput, _FINISHING, finish),
        (_BOUND, ANY, _CLOSED, end_foreign),
        (_FINISHING, Finished, _CLOSED, end_finished),
        (_FINISHING, ANY, SAME, None),
        (_CLOSED, ANY, SAME, None),
    ],
)
