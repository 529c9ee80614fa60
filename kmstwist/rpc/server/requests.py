"""What a server does with requests: the actions of the association's machine for calls.

A request arrives whole or in fragments (C706 12.6.4.9). While it is incomplete its bytes are held, within three limits:
the size of one call, the size of all connections' calls together, and the number of calls on a connection. A client
that did not negotiate concurrent multiplexing in its bind makes one call at a time ([MS-RPCE] 3.3.3: without it,
request N+1 must not precede the answer to N).

A broken rule gets the answer that Windows gives, as Samba's `raw_protocol` suite records it: "observed" below.
"""

from __future__ import annotations

from kmstwist.reasons import Reason
from kmstwist.rpc.fragments import PartialStub
from kmstwist.rpc.pdu import (
    DID_NOT_EXECUTE,
    FIRST_FRAG,
    LAST_FRAG,
    MAYBE,
    PENDING_CANCEL,
    WHOLE,
    AuthVerifier,
    Fault,
    Orphaned,
    Request,
)
from kmstwist.rpc.server.binding import describe_authentication
from kmstwist.rpc.server.core import ServerCore
from kmstwist.rpc.server.events import Call, CallOrphaned
from kmstwist.rpc.server.inputs import Refusal
from kmstwist.rpc.status import FaultStatus


def receive_request(association: ServerCore, pdu: Request) -> None:
    """Take a request, or a fragment of one."""
    if not pdu.flags & FIRST_FRAG:
        _receive_further(association, pdu)
    elif (association.calls or association.incoming is not None or pdu.flags & PENDING_CANCEL) and (
        refusal := _first_fragment_refusal(association, pdu)
    ) is not None:
        association.step(Refusal, refusal)
    elif pdu.context_id not in association.contexts:
        _refuse_context(association, pdu)
    elif pdu.auth is not None:
        _refuse_authentication(association, pdu, pdu.auth, pdu.context_id)
    elif pdu.flags & LAST_FRAG:
        _start(association, pdu, pdu.stub)
    else:
        _begin_partial(association, pdu)


def note_orphan(association: ServerCore, pdu: Orphaned) -> None:
    """Drop the answer of an executing call (C706 12.6.4.8). One still being received goes on (observed)."""
    call = association.calls.pop(pdu.call_id, None)
    if call is not None:
        association.events.append(CallOrphaned(call))


def _first_fragment_refusal(association: ServerCore, pdu: Request) -> Refusal | None:
    """What is wrong with the beginning of a new call, given the calls under way; None if nothing is wrong."""
    calls, incoming = association.calls, association.incoming
    call_id, context_id = pdu.call_id, pdu.context_id
    if incoming is not None:
        return _broken_into(association, pdu, incoming.first)
    if pdu.flags & PENDING_CANCEL:
        text = f"call {call_id} is cancelled before it begins"
        return _refusal(call_id, FaultStatus.NO_CALL_ACTIVE, Reason.RPC_NO_CALL, text, flags=DID_NOT_EXECUTE)
    if call_id in calls:
        text = f"call id {call_id} is in use"
        return _refusal(call_id, FaultStatus.NCA_PROTOCOL_ERROR, Reason.RPC_CALL_ID_IN_USE, text, context_id)
    if not association.multiplexed:
        text = f"call {call_id} begins while another is under way, without concurrent multiplexing"
        status, reason = FaultStatus.NCA_PROTOCOL_ERROR, Reason.RPC_NOT_MULTIPLEXED
        return _refusal(call_id, status, reason, text, context_id, DID_NOT_EXECUTE)
    limit = association.server.limits.max_calls
    if len(calls) < limit:
        return None
    text = f"{limit} calls are under way on this connection"
    status, reason = FaultStatus.NCA_SERVER_TOO_BUSY, Reason.RPC_TOO_MANY_CALLS
    return _refusal(call_id, status, reason, text, context_id, DID_NOT_EXECUTE)


def _broken_into(association: ServerCore, pdu: Request, first: Request) -> Refusal:
    """The refusal when a call begins while the fragments of another one are still arriving.

    One call is received at a time, with or without multiplexing ([MS-RPCE] 3.3.3). Observed: without multiplexing, the
    fault is for the call under way; with it, for the call that begins, without a context, unless it has the same id.
    """
    status, call_id = FaultStatus.NCA_PROTOCOL_ERROR, pdu.call_id
    if call_id == first.call_id:
        text = f"call id {call_id} is in use"
        if pdu.auth is not None and pdu.context_id == first.context_id:
            # Observed: a call cannot change how it is authenticated.
            status = FaultStatus.SECURITY_PACKAGE_ERROR
        return _refusal(call_id, status, Reason.RPC_CALL_ID_IN_USE, text, first.context_id)
    if not association.multiplexed:
        text = f"call {call_id} begins while another is under way, without concurrent multiplexing"
        return _refusal(first.call_id, status, Reason.RPC_NOT_MULTIPLEXED, text, first.context_id)
    if pdu.context_id not in association.contexts:
        text = f"context {pdu.context_id} is not bound, and another call is half received"
        return _refusal(call_id, status, Reason.RPC_UNKNOWN_CONTEXT, text)
    text = f"call {call_id} begins while fragments of call {first.call_id} are missing"
    return _refusal(call_id, status, Reason.RPC_FRAGMENT_ORDER, text)


def _refuse_context(association: ServerCore, pdu: Request) -> None:
    """Fault a call on a context that is not bound. A well-behaved client may make such a call, so the connection stays.

    Observed, for whole requests and for fragments.
    """
    association.send(Fault(pdu.call_id, 0, FaultStatus.NCA_UNKNOWN_INTERFACE, flags=WHOLE | DID_NOT_EXECUTE))
    association.answered += 1
    association.note_refusal(Reason.RPC_UNKNOWN_CONTEXT, f"context {pdu.context_id} is not bound")


def _refuse_authentication(association: ServerCore, pdu: Request, auth: AuthVerifier, context_id: int) -> None:
    text = describe_authentication(auth)
    _refuse(association, pdu.call_id, FaultStatus.ACCESS_DENIED, Reason.RPC_AUTHENTICATION, text, context_id)


def _begin_partial(association: ServerCore, pdu: Request) -> None:
    association.incoming = PartialStub(pdu)
    association.server.reassembling += len(pdu.stub)
    _check_room(association, pdu, 0)


def _receive_further(association: ServerCore, pdu: Request) -> None:
    """Join a fragment to its call. The context and operation of the first fragment count, not its own (observed)."""
    incoming = association.incoming
    if incoming is None or incoming.first.call_id != pdu.call_id:
        _refuse_stray(association, pdu)
        return
    first = incoming.first
    if pdu.little_endian is not first.little_endian:
        text = f"the fragments of call {pdu.call_id} differ in their byte order"
        status, reason = FaultStatus.NCA_PROTOCOL_ERROR, Reason.RPC_FRAGMENT_ORDER
        _refuse(association, pdu.call_id, status, reason, text, first.context_id, DID_NOT_EXECUTE)
        return
    if pdu.auth is not None:
        _refuse_authentication(association, pdu, pdu.auth, first.context_id)
        return
    before = len(incoming.stub)
    incoming.add(pdu)
    association.server.reassembling += len(pdu.stub)
    if _check_room(association, pdu, before) and pdu.flags & LAST_FRAG:
        association.forget_incoming()
        _start(association, first, bytes(incoming.stub))


def _refuse_stray(association: ServerCore, pdu: Request) -> None:
    """Refuse a fragment that is not the first, of a call that has not begun.

    Observed: without multiplexing, the fault is for the call under way. With it, if no call is being received, the
    answer depends on the fragment's context.
    """
    incoming = association.incoming
    status, reason = FaultStatus.NCA_PROTOCOL_ERROR, Reason.RPC_FRAGMENT_ORDER
    text = f"a fragment of call {pdu.call_id}, whose first fragment has not arrived"
    if not association.multiplexed and incoming is not None:
        _refuse(association, incoming.first.call_id, status, reason, text, incoming.first.context_id)
    elif not association.multiplexed or incoming is not None:
        _refuse(association, pdu.call_id, status, reason, text)
    elif pdu.context_id not in association.contexts:
        _refuse_context(association, pdu)
    elif pdu.auth is not None:
        _refuse_authentication(association, pdu, pdu.auth, pdu.context_id)
    else:
        _refuse(association, pdu.call_id, status, reason, text, pdu.context_id)


def _check_room(association: ServerCore, pdu: Request, before: int) -> bool:
    """Whether the call being received, which had `before` bytes, and all such calls together are within their limits.

    alloc_hint reserves nothing ([MS-RPCE] 2.2.2.6), but a call that announces more than the limit is refused at once.
    """
    server, incoming = association.server, association.incoming
    if incoming is None:
        return False
    limits = server.limits
    size = len(incoming.stub)
    if before + pdu.alloc_hint > limits.max_request:
        status = FaultStatus.ACCESS_DENIED
        text = f"alloc_hint announces {before + pdu.alloc_hint} bytes, {limits.max_request} are allowed"
    elif size > limits.max_request:
        status = FaultStatus.ACCESS_DENIED
        text = f"the request has reached {size} bytes, {limits.max_request} are allowed"
    elif incoming.is_crumbled:
        status = FaultStatus.ACCESS_DENIED
        text = f"{incoming.fragments} fragments for {size} bytes are more than any client needs"
    elif server.reassembling > limits.max_reassembly:
        status = FaultStatus.NCA_REMOTE_NO_MEMORY
        text = f"the requests in fragments of all connections have reached {limits.max_reassembly} bytes"
    else:
        return True
    first = incoming.first
    _refuse(association, first.call_id, status, Reason.RPC_REQUEST_TOO_LARGE, text, first.context_id)
    return False


def _start(association: ServerCore, request: Request, stub: bytes) -> None:
    """All fragments of a call are here: execute it."""
    context = association.contexts[request.context_id]
    maybe = bool(request.flags & MAYBE)
    association.start(
        Call(
            request.call_id,
            request.context_id,
            context,
            request.opnum,
            stub,
            context.ndr64,
            request.little_endian,
            request.object,
            maybe,
        )
    )


def _refuse(
    association: ServerCore, call_id: int, status: int, reason: Reason, detail: str, context_id: int = 0, flags: int = 0
) -> None:
    association.step(Refusal, _refusal(call_id, status, reason, detail, context_id, flags))


def _refusal(call_id: int, status: int, reason: Reason, detail: str, context_id: int = 0, flags: int = 0) -> Refusal:
    """The fault that answers a broken rule before the association ends."""
    return Refusal(Fault(call_id, context_id, status, flags=WHOLE | flags), reason, detail)
