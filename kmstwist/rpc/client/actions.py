"""What a client does with a server's PDUs: the actions of the association's machine.

Each action takes the association and the input's own data.
"""

from __future__ import annotations

from typing import Final

from kmstwist.reasons import Reason
from kmstwist.rpc.client.core import ClientCore
from kmstwist.rpc.client.events import (
    AcceptedContext,
    BindRejected,
    Bound,
    FaultReceived,
    ResponseReceived,
    ServerBroke,
    ShutdownRequested,
)
from kmstwist.rpc.fragments import PartialStub, fragment_size
from kmstwist.rpc.pdu import (
    DID_NOT_EXECUTE,
    FIRST_FRAG,
    LAST_FRAG,
    AlterContextResp,
    Bind,
    BindAck,
    BindNak,
    ContextOutcome,
    Fault,
    Pdu,
    PduError,
    PresentationContext,
    Response,
    Shutdown,
)
from kmstwist.rpc.status import ContextResult
from kmstwist.rpc.syntax import NDR32, NDR64

#: The most bytes of a response. A response to anything we ask is far smaller; a server that sends more breaks the
#: rules.
MAX_RESPONSE: Final = 0x10000


def send_bind(association: ClientCore, contexts: tuple[PresentationContext, ...]) -> None:
    """Send the bind; its call id is also the first call's, as Windows numbers them."""
    association.proposed = contexts
    association.send(Bind(association.next_call_id, contexts))


def take_bind_ack(association: ClientCore, pdu: BindAck) -> None:
    """Keep the contexts that the server accepted, and the fragment size."""
    association.group = pdu.assoc_group
    association.secondary_address = pdu.secondary_address.decode("ascii", "replace")
    # The server's sizes limit ours; if it offers less than the protocol allows, we use the minimum.
    association.fragment_size = fragment_size(pdu.max_xmit_frag, pdu.max_recv_frag)
    _accept(association, association.proposed, pdu.results)


def take_bind_nak(association: ClientCore, pdu: BindNak) -> None:
    """Tell the owner that there will be no association."""
    association.end(BindRejected(pdu.reject_reason))


def take_alter_resp(association: ClientCore, pdu: AlterContextResp) -> None:
    """Keep the further contexts that the server accepted."""
    pending = association.pending.pop(pdu.call_id, None)
    if pending is None or pending.proposed is None:
        _unknown_call(association, pdu.call_id)
    else:
        _accept(association, pending.proposed, pdu.results)


def take_response(association: ClientCore, pdu: Response) -> None:
    """Join the response's fragments; hand the response to the owner when the last one has arrived."""
    if pdu.call_id in association.orphaned:
        return
    pending = association.pending.get(pdu.call_id)
    first = bool(pdu.flags & FIRST_FRAG)
    if pending is None or pending.proposed is not None or first is not (pending.partial is None):
        _unknown_call(association, pdu.call_id)
        return
    stub = pdu.stub
    if not (first and pdu.flags & LAST_FRAG):
        if pending.partial is None:
            pending.partial = PartialStub(pdu)
            size = len(pdu.stub)
        else:
            size = pending.partial.add(pdu)
        if size > MAX_RESPONSE:
            _violate(association, f"a response of more than {MAX_RESPONSE} bytes")
            return
        if pending.partial.is_crumbled:
            _violate(association, f"a response of {size} bytes in {pending.partial.fragments} fragments")
            return
        if not pdu.flags & LAST_FRAG:
            return
        stub = bytes(pending.partial.stub)
    del association.pending[pdu.call_id]
    association.events.append(ResponseReceived(pdu.call_id, stub, pending.ndr64, pdu.little_endian))


def take_fault(association: ClientCore, pdu: Fault) -> None:
    """Hand the fault to the owner."""
    if pdu.call_id in association.orphaned:
        return
    if association.pending.pop(pdu.call_id, None) is None:
        _unknown_call(association, pdu.call_id)
        return
    association.events.append(FaultReceived(pdu.call_id, pdu.status, bool(pdu.flags & DID_NOT_EXECUTE)))


def take_shutdown(association: ClientCore, pdu: Shutdown) -> None:
    """Ask the owner to end the connection when its calls are done."""
    association.events.append(ShutdownRequested())


def break_off(association: ClientCore, pdu: Pdu) -> None:
    """End the association: the server sent a PDU that no server may send here."""
    text = f"a server may not send {type(pdu).__name__} here"
    association.end(ServerBroke(Reason.UPSTREAM_PROTOCOL, text))


def break_off_malformed(association: ClientCore, error: PduError) -> None:
    """End the association: the server sent bytes that are not a PDU."""
    association.end(ServerBroke(Reason.UPSTREAM_PROTOCOL, error.detail))


def break_off_violated(association: ClientCore, breach: ServerBroke) -> None:
    """End the association: the server sent a PDU that does not match anything we asked."""
    association.end(breach)


def _accept(
    association: ClientCore,
    proposed: tuple[PresentationContext, ...],
    results: tuple[ContextOutcome, ...],
) -> None:
    if len(results) != len(proposed):
        text = f"{len(results)} results for {len(proposed)} contexts"
        _violate(association, text)
        return
    accepted = [pair for pair in zip(proposed, results, strict=True) if pair[1].result == ContextResult.ACCEPTANCE]
    for proposal, outcome in accepted:
        if outcome.transfer not in proposal.transfers:
            text = f"context {proposal.context_id} accepted with a transfer syntax that was not proposed for it"
            _violate(association, text)
            return
    for proposal, outcome in accepted:
        # Feature negotiation puts features in the place of a transfer syntax; such a context carries no calls.
        if outcome.transfer in (NDR32, NDR64):
            association.contexts.append(AcceptedContext(proposal, outcome.transfer == NDR64))
    association.events.append(Bound(proposed, results))


def _violate(association: ClientCore, detail: str) -> None:
    association.step(ServerBroke, ServerBroke(Reason.UPSTREAM_PROTOCOL, detail))


def _unknown_call(association: ClientCore, call_id: int) -> None:
    _violate(association, f"an answer to call {call_id}, which is not under way")
