"""Hypothesis strategies: every type of PDU with every value its fields can have."""

from __future__ import annotations

from hypothesis import strategies as st

from kmstwist.kms.interface import KMS_INTERFACE
from kmstwist.rpc import (
    MGMT_INTERFACE,
    NDR32,
    NDR64,
    OBJECT_UUID,
    WHOLE,
    AlterContext,
    AlterContextResp,
    Auth3,
    AuthVerifier,
    Bind,
    BindAck,
    BindNak,
    CoCancel,
    ContextOutcome,
    Fault,
    Orphaned,
    PresentationContext,
    Request,
    Response,
    Shutdown,
    SyntaxId,
    feature_syntax,
)

u8 = st.integers(0, 0xFF)
u16 = st.integers(0, 0xFFFF)
u32 = st.integers(0, 0xFFFFFFFF)
syntaxes = st.one_of(
    st.sampled_from([KMS_INTERFACE, MGMT_INTERFACE, NDR32, NDR64, feature_syntax(3)]),
    st.binary(min_size=20, max_size=20).map(SyntaxId),
)
contexts = st.builds(PresentationContext, u16, syntaxes, st.lists(syntaxes, max_size=4).map(tuple))
context_lists = st.lists(contexts, max_size=6).map(tuple)
outcomes = st.lists(st.builds(ContextOutcome, u16, u16, syntaxes), max_size=6).map(tuple)
verifiers = st.none() | st.builds(AuthVerifier, u8, u8, st.integers(0, 15), u32, st.binary(min_size=1, max_size=40))
addresses = st.text("0123456789\\PIPEabc", max_size=20).map(str.encode)
stubs = st.binary(max_size=200)
bind_fields = {
    "call_id": u32,
    "contexts": context_lists,
    "max_xmit_frag": u16,
    "max_recv_frag": u16,
    "assoc_group": u32,
    "flags": u8,
    "auth": verifiers,
}
ack_fields = {
    "call_id": u32,
    "results": outcomes,
    "max_xmit_frag": u16,
    "max_recv_frag": u16,
    "assoc_group": u32,
    "secondary_address": addresses,
    "flags": u8,
    "auth": verifiers,
}


@st.composite
def requests(draw: st.DrawFn, little_endian: bool = True) -> Request:
    object_id = draw(st.none() | st.binary(min_size=16, max_size=16))
    flags = draw(u8) & ~OBJECT_UUID | (OBJECT_UUID if object_id is not None else 0)
    return Request(
        draw(u32), draw(u16), draw(u16), draw(stubs), draw(u32), object_id, flags, draw(verifiers), little_endian
    )


def pdus(little_endian: bool = True) -> st.SearchStrategy:
    """Any PDU of a type used on connections; the byte order is that of its stub, if it has one."""
    order = st.just(little_endian)
    versions = st.lists(st.tuples(u8, u8), max_size=4).map(tuple)
    return st.one_of(
        st.builds(Bind, **bind_fields),
        st.builds(AlterContext, **bind_fields),
        st.builds(BindAck, **ack_fields),
        st.builds(AlterContextResp, **ack_fields),
        st.builds(BindNak, u32, u16, versions, u8),
        requests(little_endian),
        st.builds(Response, u32, u16, stubs, u32, u8, u8, verifiers, order),
        st.builds(Fault, u32, u16, u32, u32, u8, u8, u8, stubs, verifiers),
        st.builds(CoCancel, u32, u8, verifiers),
        st.builds(Orphaned, u32, u8, verifiers),
        st.builds(Shutdown, u32, u8),
        st.builds(Auth3, u32, u8, verifiers),
    )


#: What a client may plausibly send: mostly small numbers, so that PDUs meet each other's calls and contexts.
small = st.integers(0, 3)
client_flags = st.sampled_from([0, 1, 2, WHOLE, WHOLE, WHOLE, WHOLE | 0x10, WHOLE | 0x40, WHOLE | 0x04, 1 | 0x40])
known_contexts = st.lists(
    st.builds(
        PresentationContext,
        small,
        st.sampled_from([KMS_INTERFACE, MGMT_INTERFACE, NDR32]),
        st.lists(st.sampled_from([NDR32, NDR64, feature_syntax(3), KMS_INTERFACE]), max_size=2).map(tuple),
    ),
    max_size=3,
).map(tuple)
client_pdus = st.one_of(
    st.builds(Bind, small, known_contexts, flags=client_flags, assoc_group=st.sampled_from([0, 0, 0, 7])),
    st.builds(AlterContext, small, known_contexts),
    st.builds(Request, small, small, small, stubs, small, flags=client_flags, auth=st.none() | verifiers),
    st.builds(Request, small, small, small, stubs, small, flags=client_flags),
    st.builds(Request, small, small, st.just(0), stubs, small, flags=client_flags),
    st.builds(CoCancel, small),
    st.builds(Orphaned, small),
    st.builds(Shutdown, small),
    st.builds(Auth3, small),
)
outcome_lists = st.lists(
    st.sampled_from(
        [ContextOutcome(0, 0, NDR32), ContextOutcome(0, 0, NDR64), ContextOutcome(2, 2), ContextOutcome(3, 3)]
    ),
    max_size=4,
).map(tuple)
server_pdus = st.one_of(
    st.builds(BindAck, small, outcome_lists),
    st.builds(AlterContextResp, small, outcome_lists),
    st.builds(BindNak, small, small),
    st.builds(Response, small, small, stubs, flags=client_flags),
    st.builds(Fault, small, small, u32),
    st.builds(Shutdown, small),
)
