"""What a server answers to a PDU that a client may not send: the machine's actions that end the association."""

from __future__ import annotations

from kmstwist.reasons import Reason
from kmstwist.rpc.pdu import (
    DID_NOT_EXECUTE,
    WHOLE,
    AlterContext,
    BindNak,
    Fault,
    PacketType,
    Pdu,
    PduError,
    Request,
)
from kmstwist.rpc.server.core import ServerCore
from kmstwist.rpc.server.inputs import Refusal
from kmstwist.rpc.status import FaultStatus, RejectReason


def fault_not_bound(association: ServerCore, pdu: AlterContext | Request) -> None:
    """Fault a PDU that needs a bound association but came before the bind ([MS-RPCE] 3.3.3, state ESTABLISHED)."""
    association.send(Fault(pdu.call_id, 0, FaultStatus.NCA_PROTOCOL_ERROR, flags=WHOLE | DID_NOT_EXECUTE))
    name = "alter_context" if isinstance(pdu, AlterContext) else "request"
    association.end(Reason.RPC_NOT_BOUND, f"{name} before any bind")


def end_foreign(association: ServerCore, pdu: Pdu) -> None:
    """End the association without an answer, which neither a server's PDU nor rpc_auth_3 has ([MS-RPCE] 2.2.2.10)."""
    association.end(Reason.RPC_UNEXPECTED_PDU, f"a client may not send {type(pdu).__name__} here")


def reject_malformed(association: ServerCore, error: PduError) -> None:
    """Before a bind, answer bytes of another version, RPC or not, with a bind_nak that names the version spoken.

    Observed in Windows: nmap recognises its RPC servers by their answers to a DNS question and an SMB negotiation. A
    bind whose verifier does not fit gets this answer too ([MS-RPCE] 2.2.2.5); a bind that is too short gets another
    reason.
    """
    verifier_of_a_bind = error.ptype == PacketType.BIND and error.reason is Reason.RPC_AUTHENTICATION
    if verifier_of_a_bind or error.reason in (Reason.RPC_VERSION, Reason.RPC_NOT_RPC):
        association.send(BindNak(error.call_id, RejectReason.PROTOCOL_VERSION_NOT_SUPPORTED))
        association.end(error.reason, error.detail)
    else:
        answer_malformed(association, error)


def answer_malformed(association: ServerCore, error: PduError) -> None:
    """Answer bytes that are not a PDU, if they began as a bind or a request; otherwise only end the association."""
    if error.ptype == PacketType.BIND and error.reason is not Reason.RPC_NOT_RPC:
        association.send(BindNak(error.call_id, RejectReason.NOT_SPECIFIED))
    elif error.ptype in (PacketType.REQUEST, PacketType.ALTER_CONTEXT) and error.reason not in (
        Reason.RPC_NOT_RPC,
        Reason.RPC_VERSION,
    ):
        # Observed: a fault for a request that is only too long does not have this flag.
        refused_unread = error.ptype == PacketType.ALTER_CONTEXT or error.reason is Reason.RPC_AUTHENTICATION
        did_not_execute = DID_NOT_EXECUTE if refused_unread else 0
        association.send(Fault(error.call_id, 0, FaultStatus.NCA_PROTOCOL_ERROR, flags=WHOLE | did_not_execute))
    association.end(error.reason, error.detail)


def refuse(association: ServerCore, refusal: Refusal) -> None:
    """Tell the client which rule it broke, and tell the connection's owner to close it."""
    association.send(refusal.answer)
    association.end(refusal.reason, refusal.detail)
