"""Binds that a server acknowledged before: the same bind gets the same answer, in a new group."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from kmstwist.kms.interface import KMS, KMS_INTERFACE, MANAGEMENT_CONTEXTS, WINDOWS_CONTEXTS
from kmstwist.rpc import (
    MGMT_INTERFACE,
    NDR32,
    NDR64,
    AlterContext,
    Bind,
    BindAck,
    PresentationContext,
    RpcServer,
    ServerAssociation,
    decode,
    encode,
    feature_syntax,
)

_SYNTAXES = st.sampled_from([NDR32, NDR64, KMS_INTERFACE, feature_syntax(1), feature_syntax(7)])
_CONTEXTS = st.lists(
    st.builds(
        PresentationContext,
        st.integers(0, 3),
        st.sampled_from([KMS_INTERFACE, MGMT_INTERFACE, NDR32]),
        st.lists(_SYNTAXES, max_size=2).map(tuple),
    ),
    max_size=4,
)


def answer_to(server: RpcServer, data: Sequence[bytes]) -> tuple[ServerAssociation, bytes, list[object]]:
    """A new association's answers to bytes in these pieces, and its events."""
    association = ServerAssociation(server, "1688", "10.0.0.7")
    events: list[object] = []
    for piece in data:
        events += association.receive_data(piece)
    return association, association.data_to_send(), events


@given(contexts=_CONTEXTS, xmit=st.integers(0, 0xFFFF), flags=st.integers(0, 255), order=st.booleans())
def test_a_bind_is_answered_alike_however_often_it_comes(
    contexts: list[PresentationContext], xmit: int, flags: int, order: bool
) -> None:
    server = RpcServer((KMS,))
    bind = Bind(7, tuple(contexts), xmit, 5840, flags=flags)
    first, ack, events = answer_to(server, [encode(bind, little_endian=order)])
    again, same, same_events = answer_to(server, [encode(bind, little_endian=order)])
    pieces, other, other_events = answer_to(
        server, [encode(bind, little_endian=order)[:20], encode(bind, little_endian=order)[20:]]
    )
    assert first.state == again.state == pieces.state
    assert events == same_events == other_events
    assert ack[:20] == same[:20] == other[:20]
    assert ack[24:] == same[24:] == other[24:]
    for one in (again, pieces):
        assert (one.contexts, one.features, one.multiplexed, one.fragment_size) == (
            first.contexts,
            first.features,
            first.multiplexed,
            first.fragment_size,
        )


def test_each_association_has_a_group_and_the_call_id_of_its_own() -> None:
    server = RpcServer((KMS,))
    acks = []
    for call_id in (2, 3, 0xFFFFFFFF):
        association, data, _ = answer_to(server, [encode(Bind(call_id, WINDOWS_CONTEXTS))])
        ack = decode(data)
        assert isinstance(ack, BindAck)
        assert (ack.call_id, ack.assoc_group) == (call_id, association.group)
        acks.append(ack)
    assert len({ack.assoc_group for ack in acks}) == 3
    assert len(server.groups) == 3
    assert len(server.known_binds) == 1


def test_a_context_that_one_association_adds_stays_its_own() -> None:
    server = RpcServer((KMS,))
    bind = encode(Bind(2, WINDOWS_CONTEXTS))
    answer_to(server, [bind])
    second, _, _ = answer_to(server, [bind])
    second.receive_data(encode(AlterContext(3, MANAGEMENT_CONTEXTS)))
    third, _, _ = answer_to(server, [bind])
    assert set(second.contexts) == {0, 3}
    assert set(third.contexts) == {0}


def test_what_follows_a_known_bind_in_one_piece_is_read_too() -> None:
    server = RpcServer((KMS,))
    bind, more = encode(Bind(2, WINDOWS_CONTEXTS)), encode(AlterContext(3, MANAGEMENT_CONTEXTS))
    answer_to(server, [bind])
    association, _, _ = answer_to(server, [bind + more])
    assert set(association.contexts) == {0, 3}


def test_ports_do_not_share_an_acknowledgement() -> None:
    server = RpcServer((KMS,))
    for port in ("1688", "16881"):
        association = ServerAssociation(server, port)
        association.receive_data(encode(Bind(2, WINDOWS_CONTEXTS)))
        ack = decode(association.data_to_send())
        assert isinstance(ack, BindAck)
        assert ack.secondary_address == port.encode()


def test_a_group_that_is_asked_for_is_judged_each_time() -> None:
    server = RpcServer((KMS,))
    first, _, _ = answer_to(server, [encode(Bind(2, WINDOWS_CONTEXTS))])
    assert first.group is not None
    joining = encode(Bind(2, WINDOWS_CONTEXTS, assoc_group=first.group))
    second, _, _ = answer_to(server, [joining])
    assert second.group == first.group
    for one in (first, second):
        one.connection_lost()
    third, _, _ = answer_to(server, [joining])
    assert third.over


def test_no_client_can_have_more_binds_known_than_there_is_room_for() -> None:
    server = RpcServer((KMS,))
    for size in range(600):
        answer_to(server, [encode(Bind(2, WINDOWS_CONTEXTS, 3000 + size))])
    assert len(server.known_binds) <= 256
    long = tuple(PresentationContext(number, KMS_INTERFACE, (NDR32,)) for number in range(30))
    before = len(server.known_binds)
    answer_to(server, [encode(Bind(2, long))])
    assert len(server.known_binds) == before
