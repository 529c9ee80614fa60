"""Which presentation contexts and features of a bind or alter_context a server accepts.

Rules and their sources, as Windows and Samba apply them:

- A context is accepted in the first proposed transfer syntax that we know (NDR32 or NDR64). For an unknown interface,
  or without a known transfer syntax, that context alone is refused, with a null syntax in its result (C706 12.6.4.4).
- A PDU gets each interface accepted once. A Windows client proposes NDR32 and NDR64 as two contexts of the same
  interface and uses the one that is accepted; the other is refused with "proposed transfer syntaxes not supported"
  ([MS-RPCE] 3.3.1.5.6).
- A context id keeps its meaning for the life of the association: naming it again with another interface or transfer
  syntax is a protocol error (C706 12.6.3.1, p_cont_id).
- An empty context list, or a context without a transfer syntax, is a protocol error (C706 12.6.3.1: both lists have
  at least one element).
- A client asks for bind time features by the first transfer syntax of a context, whatever its interface, in a bind
  only; the answer is negotiate_ack with the bits that both sides know. Asking for them twice is a protocol error
  ([MS-RPCE] 3.3.1.5.3).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from kmstwist.rpc.interfaces import Interface, InterfaceTable
from kmstwist.rpc.pdu import ContextOutcome, PresentationContext
from kmstwist.rpc.status import ContextResult, ProviderReason
from kmstwist.rpc.syntax import (
    FEATURE_KEEP_CONNECTION_ON_ORPHAN,
    FEATURE_SECURITY_CONTEXT_MULTIPLEXING,
    NDR32,
    NDR64,
    feature_bits,
)

#: The most contexts that one association may hold; no client needs that many.
MAX_CONTEXTS: Final = 64
SUPPORTED_FEATURES: Final = FEATURE_SECURITY_CONTEXT_MULTIPLEXING | FEATURE_KEEP_CONNECTION_ON_ORPHAN

#: Acceptance in each transfer syntax, by the syntax's wire form: bytes cache their hash, which makes the look-up fast.
_TRANSFERS: Final = {syntax.wire: ContextOutcome(ContextResult.ACCEPTANCE, 0, syntax) for syntax in (NDR32, NDR64)}
_FEATURES: Final = tuple(ContextOutcome(ContextResult.NEGOTIATE_ACK, bits) for bits in range(SUPPORTED_FEATURES + 1))
_NO_INTERFACE: Final = ContextOutcome(ContextResult.PROVIDER_REJECTION, ProviderReason.ABSTRACT_SYNTAX_NOT_SUPPORTED)
_NO_TRANSFER: Final = ContextOutcome(ContextResult.PROVIDER_REJECTION, ProviderReason.TRANSFER_SYNTAXES_NOT_SUPPORTED)
_NO_ROOM: Final = ContextOutcome(ContextResult.PROVIDER_REJECTION, ProviderReason.LOCAL_LIMIT_EXCEEDED)


class ContextListError(Exception):
    """A context list that breaks the protocol: it is answered with a bind_nak, or a fault for an alter_context."""


@dataclass(frozen=True, slots=True)
class BoundContext:
    """An accepted context: calls on it belong to this interface and are encoded in this transfer syntax."""

    interface: Interface
    ndr64: bool


@dataclass(slots=True)
class Negotiation:
    """The outcome of one bind or alter_context: results in the order proposed, new contexts, agreed features."""

    outcomes: tuple[ContextOutcome, ...]
    accepted: dict[int, BoundContext] = field(default_factory=dict)
    features: int | None = None


def negotiate(
    table: InterfaceTable,
    proposed: tuple[PresentationContext, ...],
    bound: Mapping[int, BoundContext],
    *,
    features_allowed: bool,
) -> Negotiation:
    """Check a context list against the interfaces offered and the contexts already bound on the association.

    Raises `ContextListError` if the list breaks the protocol.
    """
    if not proposed:
        raise ContextListError("the context list is empty")
    outcomes: list[ContextOutcome] = []
    accepted: dict[int, BoundContext] = {}
    features: int | None = None
    served: set[bytes] = set()
    for context in proposed:
        if not context.transfers:
            raise ContextListError(f"context {context.context_id} proposes no transfer syntax")
        bits = feature_bits(context.transfers[0]) if features_allowed else None
        if bits is not None:
            if features is not None:
                raise ContextListError("bind time features are asked for twice")
            features = bits & SUPPORTED_FEATURES
            outcomes.append(_FEATURES[features])
            continue
        interface = table.find(context.abstract)
        if interface is None:
            outcomes.append(_NO_INTERFACE)
            continue
        if interface.syntax.wire in served:
            outcomes.append(_NO_TRANSFER)
            continue
        existing = bound.get(context.context_id) or accepted.get(context.context_id)
        if existing is not None and existing.interface is not interface:
            raise ContextListError(f"context {context.context_id} is already bound, to another interface")
        known = [transfer.wire for transfer in context.transfers if transfer.wire in _TRANSFERS]
        if not known:
            outcomes.append(_NO_TRANSFER)
            continue
        if existing is not None:
            transfer = (NDR64 if existing.ndr64 else NDR32).wire
            if transfer not in known:
                raise ContextListError(f"context {context.context_id} is already bound, in another transfer syntax")
        else:
            transfer = known[0]
            if len(bound) + len(accepted) >= MAX_CONTEXTS:
                outcomes.append(_NO_ROOM)
                continue
            accepted[context.context_id] = BoundContext(interface, transfer == NDR64.wire)
        served.add(interface.syntax.wire)
        outcomes.append(_TRANSFERS[transfer])
    return Negotiation(tuple(outcomes), accepted, features)
