"""What a server does with requests and what belongs to them: the actions of the association's machine for calls.

A request comes whole or in fragments (C706 12.6.4.9). While one is incomplete its bytes are held, within three bounds:
the call's own, that of all connections together, and the number of calls on a connection. A client that did not
negotiate concurrent multiplexing in its bind has one call at a time ([MS-RPCE] 3.3.3: without it no request N+1 before
the answer to N).

Which answer a broken rule gets is what Windows does, as Samba's `raw_protocol` suite records it: "observed" below.
"""

from __future__ import annotations

from kmstwist.reasons import Reason
from kmstwist.rpc import mgmt
from kmstwist.rpc.fragments import PartialStub
from kmstwist.rpc.ndr import StubError
from kmstwist.rpc.pdu import (
    DID_NOT_EXECUTE,
    FIRST_FRAG,
    LAST_FRAG,
    PENDING_CANCEL,
    WHOLE,
    Fault,
    Orphaned,
    Request,
)
from kmstwist.rpc.server.binding import describe_authentication
from kmstwist.rpc.server.call import Call, CallInput
from kmstwist.rpc.server.core import Refusal, ServerCore
from kmstwist.rpc.server.events import CallOrphaned, CallReceived
from kmstwist.rpc.status import FaultStatus


def receive_request(association: ServerCore, pdu: Request) -> None:
    """Take a request or a fragment of one."""
    if pdu.auth is not None:
        text = describe_authentication(pdu.auth)
        _refuse(association, pdu.call_id, FaultStatus.ACCESS_DENIED, Reason.RPC_AUTHENTICATION, text, pdu.context_id)
    elif not pdu.flags & FIRST_FRAG:
        _receive_further(association, pdu)
    elif (refusal := _first_fragment_refusal(association, pdu)) is not None:
        association.step(Refusal, refusal)
    elif pdu.context_id not in association.contexts:
        _refuse_context(association, pdu)
    elif pdu.flags & LAST_FRAG:
        _start(association, pdu, pdu.stub)
    else:
        _begin_partial(association, pdu)


def note_orphan(association: ServerCore, pdu: Orphaned) -> None:
    """Drop the answer of an executing call (C706 12.6.4.8). One still being received goes on (observed)."""
    call = association.calls.pop(pdu.call_id, None)
    if call is not None:
        call.step(CallInput.ORPHAN)
        association.events.append(CallOrphaned(call))


def _first_fragment_refusal(association: ServerCore, pdu: Request) -> Refusal | None:
    """What is wrong with the beginning of a new call, given the calls under way; None if nothing is."""
    calls, partial = association.calls, association.partial
    if not (calls or partial or pdu.flags & PENDING_CANCEL):
        return None
    call_id, context_id = pdu.call_id, pdu.context_id
    if pdu.flags & PENDING_CANCEL:
        text = f"call {call_id} is cancelled before it begins"
        return _refusal(call_id, FaultStatus.NO_CALL_ACTIVE, Reason.RPC_NO_CALL, text, flags=DID_NOT_EXECUTE)
    if call_id in calls or call_id in partial:
        text = f"call id {call_id} is in use"
        return _refusal(call_id, FaultStatus.NCA_PROTOCOL_ERROR, Reason.RPC_CALL_ID_IN_USE, text, context_id)
    if association.multiplexed:
        limit = association.server.limits.max_calls
        if len(calls) + len(partial) < limit:
            return None
        text = f"{limit} calls are under way on this connection"
        status, reason = FaultStatus.NCA_SERVER_TOO_BUSY, Reason.RPC_TOO_MANY_CALLS
        return _refusal(call_id, status, reason, text, context_id, DID_NOT_EXECUTE)
    text = f"call {call_id} begins while another is under way, without concurrent multiplexing"
    status, reason = FaultStatus.NCA_PROTOCOL_ERROR, Reason.RPC_NOT_MULTIPLEXED
    if partial:
        # Observed: it is the call under way that is faulted when its fragments are broken into.
        first = next(iter(partial.values())).first
        return _refusal(first.call_id, status, reason, text, first.context_id)
    return _refusal(call_id, status, reason, text, context_id, DID_NOT_EXECUTE)


def _refuse_context(association: ServerCore, pdu: Request) -> None:
    """A call begins on a context that is not bound."""
    if association.partial:
        text = f"context {pdu.context_id} is not bound, and another call is half received"
        _refuse(association, pdu.call_id, FaultStatus.NCA_PROTOCOL_ERROR, Reason.RPC_UNKNOWN_CONTEXT, text)
    elif pdu.flags & LAST_FRAG:
        # The one refusal a well-meaning client may meet, so the connection stays (observed).
        association.send(Fault(pdu.call_id, 0, FaultStatus.NCA_UNKNOWN_INTERFACE, flags=WHOLE | DID_NOT_EXECUTE))
        association.answered += 1
        association.note_refusal(Reason.RPC_UNKNOWN_CONTEXT, f"context {pdu.context_id} is not bound")
    else:
        text = f"a request in fragments for context {pdu.context_id}, which is not bound"
        status = FaultStatus.NCA_UNKNOWN_INTERFACE
        _refuse(association, pdu.call_id, status, Reason.RPC_UNKNOWN_CONTEXT, text, flags=DID_NOT_EXECUTE)


def _begin_partial(association: ServerCore, pdu: Request) -> None:
    # alloc_hint reserves nothing ([MS-RPCE] 2.2.2.6); but what it announces beyond the limit need not be waited for.
    limit = association.server.limits.max_request
    if pdu.alloc_hint > limit:
        text = f"alloc_hint announces {pdu.alloc_hint} bytes, {limit} are allowed"
        _refuse(association, pdu.call_id, FaultStatus.ACCESS_DENIED, Reason.RPC_REQUEST_TOO_LARGE, text, pdu.context_id)
        return
    association.partial[pdu.call_id] = PartialStub(pdu)
    association.server.reassembling += len(pdu.stub)
    _check_room(association, pdu)


def _receive_further(association: ServerCore, pdu: Request) -> None:
    partial = association.partial.get(pdu.call_id)
    status, reason = FaultStatus.NCA_PROTOCOL_ERROR, Reason.RPC_FRAGMENT_ORDER
    if partial is None:
        text = f"a fragment of call {pdu.call_id}, whose first has not come"
        _refuse(association, pdu.call_id, status, reason, text)
        return
    first = partial.first
    if pdu.context_id != first.context_id or pdu.opnum != first.opnum:
        text = f"a fragment of call {pdu.call_id} names another context or operation than its first"
        _refuse(association, pdu.call_id, status, reason, text, first.context_id)
        return
    partial.add(pdu)
    association.server.reassembling += len(pdu.stub)
    if _check_room(association, pdu) and pdu.flags & LAST_FRAG:
        association.forget_partial(pdu.call_id)
        _start(association, first, bytes(partial.stub))


def _check_room(association: ServerCore, pdu: Request) -> bool:
    """Whether the call just added to is within its own limit and all such calls within theirs; else refuse it."""
    server = association.server
    limits = server.limits
    size = len(association.partial[pdu.call_id].stub)
    if size > limits.max_request:
        status = FaultStatus.ACCESS_DENIED
        text = f"the request has reached {size} bytes, {limits.max_request} are allowed"
    elif server.reassembling > limits.max_reassembly:
        status = FaultStatus.NCA_REMOTE_NO_MEMORY
        text = f"all requests in fragments together have reached {limits.max_reassembly} bytes"
    else:
        return True
    _refuse(association, pdu.call_id, status, Reason.RPC_REQUEST_TOO_LARGE, text, pdu.context_id)
    return False


def _start(association: ServerCore, request: Request, stub: bytes) -> None:
    """All fragments of a call are here: execute it, if there is such an operation."""
    context = association.contexts[request.context_id]
    call = Call(request, context, stub)
    association.server.statistics.calls_in += 1
    if request.opnum >= context.interface.operations:
        association.fault(call, FaultStatus.NCA_OP_RANGE, did_not_execute=True)
        association.note_refusal(Reason.RPC_UNKNOWN_OPERATION, f"there is no operation {request.opnum}")
    elif context.interface is mgmt.MANAGEMENT:
        _manage(association, call)
    else:
        association.calls[call.call_id] = call
        association.events.append(CallReceived(call))


def _manage(association: ServerCore, call: Call) -> None:
    """Answer a call of the management interface, which needs nobody else."""
    server = association.server
    try:
        stub = mgmt.answer(
            call.opnum,
            call.stub,
            server.interfaces,
            server.statistics,
            ndr64=call.ndr64,
            little_endian=call.little_endian,
        )
    except StubError as error:
        association.fault(call, FaultStatus.BAD_STUB_DATA)
        association.note_refusal(Reason.RPC_BAD_STUB, str(error))
    else:
        association.respond(call, stub)


def _refuse(
    association: ServerCore, call_id: int, status: int, reason: Reason, detail: str, context_id: int = 0, flags: int = 0
) -> None:
    association.step(Refusal, _refusal(call_id, status, reason, detail, context_id, flags))


def _refusal(call_id: int, status: int, reason: Reason, detail: str, context_id: int = 0, flags: int = 0) -> Refusal:
    """The fault that a broken rule is answered with, before the association ends."""
    return Refusal(Fault(call_id, context_id, status, flags=WHOLE | flags), reason, detail)
