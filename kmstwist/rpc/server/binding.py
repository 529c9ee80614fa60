"""What a server does with bind and alter_context: the actions of the association's machine that set contexts up.

Only a bind is ever answered with bind_nak; an alter_context that breaks a rule is answered with a fault, and both end
the association ([MS-RPCE] 3.3.3: errors are handled "by closing the connection or sending a bind_nak/fault PDU").
`kmstwist.rpc.server.contexts` decides which contexts of a list are accepted.
"""

from __future__ import annotations

from kmstwist.reasons import Reason
from kmstwist.rpc.encoding import encode
from kmstwist.rpc.fragments import fragment_size
from kmstwist.rpc.pdu import (
    CONC_MPX,
    DID_NOT_EXECUTE,
    SUPPORT_HEADER_SIGN,
    WHOLE,
    AlterContext,
    AlterContextResp,
    AuthVerifier,
    Bind,
    BindAck,
    BindNak,
    Fault,
)
from kmstwist.rpc.server.contexts import ContextListError, Negotiation, negotiate
from kmstwist.rpc.server.core import ServerCore
from kmstwist.rpc.server.inputs import Accepted, KnownBind, Refusal
from kmstwist.rpc.status import FaultStatus, RejectReason


def negotiate_bind(association: ServerCore, pdu: Bind) -> None:
    """Acknowledge a bind, or refuse it as a whole (C706 12.6.4.3 to 12.6.4.5)."""
    server = association.server
    if not server.groups.may_join(pdu.assoc_group, association.client):
        text = f"the client has no association group {pdu.assoc_group}"
        _reject(association, pdu, RejectReason.NOT_SPECIFIED, Reason.RPC_ASSOC_GROUP, text)
        return
    if not pdu.contexts:
        _reject(association, pdu, server.windows.empty_bind, Reason.RPC_BAD_CONTEXT_LIST, "the context list is empty")
        return
    try:
        outcome = negotiate(server.table, pdu.contexts, {}, features_allowed=True)
    except ContextListError as error:
        _reject(association, pdu, RejectReason.NOT_SPECIFIED, Reason.RPC_BAD_CONTEXT_LIST, str(error))
        return
    if pdu.auth is not None:
        reject = authentication_rejection(pdu.auth)
        _reject(association, pdu, reject, Reason.RPC_AUTHENTICATION, describe_authentication(pdu.auth))
        return
    association.group = group = server.groups.join(pdu.assoc_group, association.client)
    association.contexts = outcome.accepted
    association.features = features = outcome.features or 0
    association.fragment_size = size = fragment_size(pdu.max_xmit_frag, pdu.max_recv_frag)
    # Of a bind's flags, only the two capabilities it may ask for are echoed ([MS-RPCE] 2.2.2.3; C706 12.6.3.1).
    flags = WHOLE | pdu.flags & SUPPORT_HEADER_SIGN | _multiplex(association, pdu, outcome)
    address = association.secondary_address
    ack = encode(BindAck(pdu.call_id, outcome.outcomes, size, size, group or 0, address, flags))
    association.put(ack)
    if not outcome.accepted:
        association.note_refusal(Reason.RPC_NO_INTERFACE, "no context of the bind was accepted")
    elif pdu.assoc_group == 0:
        parts = ack[:12], ack[16:20], ack[24:]
        association.know_bind(KnownBind(outcome.accepted, features, association.multiplexed, size, parts))
    association.bind = b""
    association.step(Accepted)


def acknowledge_known(association: ServerCore, known: KnownBind, call_id: bytes) -> None:
    """Acknowledge a bind as its equal was acknowledged before, in a group of its own."""
    association.group = group = association.server.groups.join(0, association.client) or 0
    association.contexts = known.contexts
    association.features = known.features
    association.multiplexed = known.multiplexed
    association.fragment_size = known.fragment_size
    head, sizes, rest = known.ack
    association.put(b"".join((head, call_id, sizes, group.to_bytes(4, "little"), rest)))


def alter(association: ServerCore, pdu: AlterContext) -> None:
    """Add contexts to the association (C706 12.6.4.1). Its fragment sizes and group are ignored, as Windows does."""
    # As in Samba: an empty list is refused before the verifier is checked, a list with an error in it after that.
    if pdu.auth is not None and pdu.contexts:
        fault = Fault(pdu.call_id, 0, FaultStatus.ACCESS_DENIED, flags=WHOLE | DID_NOT_EXECUTE)
        association.step(Refusal, Refusal(fault, Reason.RPC_AUTHENTICATION, describe_authentication(pdu.auth)))
        return
    try:
        outcome = negotiate(association.server.table, pdu.contexts, association.contexts, features_allowed=False)
    except ContextListError as error:
        fault = Fault(pdu.call_id, 0, FaultStatus.NCA_PROTOCOL_ERROR, flags=WHOLE | DID_NOT_EXECUTE)
        association.step(Refusal, Refusal(fault, Reason.RPC_BAD_CONTEXT_LIST, str(error)))
        return
    # A new mapping: other associations may share the old one.
    association.contexts = {**association.contexts, **outcome.accepted}
    size = association.fragment_size
    flags = WHOLE | pdu.flags & SUPPORT_HEADER_SIGN | _multiplex(association, pdu, outcome)
    association.altered += 1
    association.send(AlterContextResp(pdu.call_id, outcome.outcomes, size, size, association.group or 0, b"", flags))


def reject_second_bind(association: ServerCore, pdu: Bind) -> None:
    """Refuse a second bind and end the connection, as Windows and Samba do: a connection has one bind."""
    association.send(BindNak(pdu.call_id, RejectReason.NOT_SPECIFIED))
    association.end(Reason.RPC_SECOND_BIND, "a second bind on a bound connection")


def _multiplex(association: ServerCore, pdu: Bind, outcome: Negotiation) -> int:
    """Agree on concurrent multiplexing if the client asks for it. Returns the flag to answer with.

    As in Samba, the first PDU that adds a context decides, which need not be the bind; later answers repeat the flag.
    """
    if pdu.flags & CONC_MPX and (outcome.accepted or association.multiplexed):
        association.multiplexed = True
        return CONC_MPX
    return 0


def _reject(association: ServerCore, pdu: Bind, reject: RejectReason, reason: Reason, detail: str) -> None:
    association.step(Refusal, Refusal(BindNak(pdu.call_id, reject), reason, detail))


def authentication_rejection(auth: AuthVerifier) -> RejectReason:
    """The bind_nak reason for a verifier ([MS-RPCE] 2.2.2.5, 3.3.1.5.2).

    Observed in Windows: for a level that does not exist, or needs no verifier, the reason given is not the type.
    """
    return RejectReason.AUTHENTICATION_TYPE_NOT_RECOGNIZED if 2 <= auth.level <= 6 else RejectReason.NOT_SPECIFIED


def describe_authentication(auth: AuthVerifier) -> str:
    """What was offered, for the log."""
    return f"authentication type {auth.auth_type} level {auth.level} offered; calls here are anonymous"
