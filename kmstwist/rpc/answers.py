"""What a client does with a server's PDUs: the outputs of `kmstwist.rpc.client`'s machine.

Each takes the machine's inputs, the association, and what the input carried.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kmstwist.reasons import Reason
from kmstwist.rpc.client_events import (
    AcceptedContext,
    BindRejected,
    Bound,
    FaultReceived,
    ResponseReceived,
    ServerBroke,
    ShutdownRequested,
)
from kmstwist.rpc.negotiation import fragment_size
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

if TYPE_CHECKING:
    from kmstwist.rpc.client import ClientAssociation, ClientInputs

#: A response to anything we ask is far smaller, in bytes; a server that sends more is none we asked.
MAX_RESPONSE = 0x10000


def send_bind(inputs: ClientInputs, association: ClientAssociation, contexts: tuple[PresentationContext, ...]) -> None:
    """Send the bind; its call id is also the first call's, as Windows numbers them."""
    association.proposed = contexts
    association.send(Bind(association.next_call_id, contexts))


def take_bind_ack(inputs: ClientInputs, association: ClientAssociation, pdu: BindAck) -> None:
    """Note what was accepted."""
    association.group = pdu.assoc_group
    association.secondary_address = pdu.secondary_address.decode("ascii", "replace")
    # The server's sizes bound ours; one that offers less than any may is taken at the minimum.
    association.fragment_size = fragment_size(pdu.max_xmit_frag, pdu.max_recv_frag)
    _accept(inputs, association, association.proposed, pdu.results)


def take_bind_nak(inputs: ClientInputs, association: ClientAssociation, pdu: BindNak) -> None:
    """Tell the owner that there will be no association."""
    association.end(BindRejected(pdu.reject_reason))


def take_alter_resp(inputs: ClientInputs, association: ClientAssociation, pdu: AlterContextResp) -> None:
    """Note what else was accepted."""
    pending = association.pending.pop(pdu.call_id, None)
    if pending is None or pending.proposed is None:
        _unknown_call(inputs, pdu.call_id)
    else:
        _accept(inputs, association, pending.proposed, pdu.results)


def take_response(inputs: ClientInputs, association: ClientAssociation, pdu: Response) -> None:
    """Join the response's fragments; hand it out when the last has come."""
    if pdu.call_id in association.orphaned:
        return
    pending = association.pending.get(pdu.call_id)
    first = bool(pdu.flags & FIRST_FRAG)
    if pending is None or pending.proposed is not None or first is not (pending.stub is None):
        _unknown_call(inputs, pdu.call_id)
        return
    if first and pdu.flags & LAST_FRAG:
        del association.pending[pdu.call_id]
        association.events.append(ResponseReceived(pdu.call_id, pdu.stub, pending.ndr64, pdu.little_endian))
        return
    if pending.stub is None:
        pending.stub = bytearray()
    pending.stub += pdu.stub
    if len(pending.stub) > MAX_RESPONSE:
        inputs.violated(Reason.UPSTREAM_PROTOCOL, f"a response of more than {MAX_RESPONSE} bytes")
    elif pdu.flags & LAST_FRAG:
        del association.pending[pdu.call_id]
        stub = bytes(pending.stub)
        association.events.append(ResponseReceived(pdu.call_id, stub, pending.ndr64, pdu.little_endian))


def take_fault(inputs: ClientInputs, association: ClientAssociation, pdu: Fault) -> None:
    """Hand the fault out."""
    if pdu.call_id in association.orphaned:
        return
    if association.pending.pop(pdu.call_id, None) is None:
        _unknown_call(inputs, pdu.call_id)
        return
    association.events.append(FaultReceived(pdu.call_id, pdu.status, bool(pdu.flags & DID_NOT_EXECUTE)))


def take_shutdown(inputs: ClientInputs, association: ClientAssociation, pdu: Shutdown) -> None:
    """Ask the owner to end the connection when its calls are done."""
    association.events.append(ShutdownRequested())


def break_off(inputs: ClientInputs, association: ClientAssociation, pdu: Pdu) -> None:
    """The server sent what no server sends here."""
    text = f"{type(pdu).__name__} is nothing a server may send here"
    association.end(ServerBroke(Reason.UPSTREAM_PROTOCOL, text))


def break_off_malformed(inputs: ClientInputs, association: ClientAssociation, error: PduError) -> None:
    """The server sent bytes that are no PDU."""
    association.end(ServerBroke(Reason.UPSTREAM_PROTOCOL, error.detail))


def break_off_violated(inputs: ClientInputs, association: ClientAssociation, reason: Reason, detail: str) -> None:
    """The server sent a PDU that fits nothing we asked."""
    association.end(ServerBroke(reason, detail))


def ignore(inputs: ClientInputs, association: ClientAssociation, what: object) -> None:
    """The association is over."""


def ignore_violation(inputs: ClientInputs, association: ClientAssociation, reason: Reason, detail: str) -> None:
    """The association is over."""


def _accept(
    inputs: ClientInputs,
    association: ClientAssociation,
    proposed: tuple[PresentationContext, ...],
    results: tuple[ContextOutcome, ...],
) -> None:
    if len(results) != len(proposed):
        text = f"{len(results)} results for {len(proposed)} contexts"
        inputs.violated(Reason.UPSTREAM_PROTOCOL, text)
        return
    accepted = [pair for pair in zip(proposed, results, strict=True) if pair[1].result == ContextResult.ACCEPTANCE]
    for proposal, outcome in accepted:
        if outcome.transfer not in proposal.transfers:
            text = f"context {proposal.context_id} accepted with a transfer syntax that was not proposed for it"
            inputs.violated(Reason.UPSTREAM_PROTOCOL, text)
            return
    for proposal, outcome in accepted:
        # Feature negotiation proposes features in the place of a transfer syntax: in those no call can be made.
        if outcome.transfer in (NDR32, NDR64):
            association.contexts.append(AcceptedContext(proposal, outcome.transfer == NDR64))
    association.events.append(Bound(proposed, results))


def _unknown_call(inputs: ClientInputs, call_id: int) -> None:
    inputs.violated(Reason.UPSTREAM_PROTOCOL, f"an answer to call {call_id}, which is not under way")
