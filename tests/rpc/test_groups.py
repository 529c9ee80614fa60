"""Association groups."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kmstwist.reasons import Reason
from kmstwist.rpc import AssociationGroups, Bind, BindNak, RpcServer

from .peer import KMS, KMS_CONTEXT, Peer, bound_peer, make_server


def test_group_0_makes_a_group_of_its_own_each_time() -> None:
    server = make_server()
    first, second = Peer(server).bind(), Peer(server).bind()
    assert 0 != first.assoc_group != second.assoc_group != 0


def test_a_known_group_is_joined_and_named_in_the_answer() -> None:
    server = make_server()
    group = Peer(server).bind().assoc_group
    assert Peer(server).bind(assoc_group=group).assoc_group == group
    assert len(server.groups) == 1


def test_an_unknown_group_is_refused_with_a_bind_nak() -> None:
    peer = Peer()
    [nak] = peer.send(Bind(1, (KMS_CONTEXT,), assoc_group=12345))
    assert nak == BindNak(1, 0)
    assert peer.end.reason is Reason.RPC_ASSOC_GROUP


def test_only_the_machine_that_made_a_group_may_join_it() -> None:
    server = make_server()
    group = Peer(server, client="192.0.2.1").bind().assoc_group
    assert Peer(server, client="192.0.2.2").send(Bind(1, (KMS_CONTEXT,), assoc_group=group)) == [BindNak(1, 0)]
    assert Peer(server, client="192.0.2.1").bind(assoc_group=group).assoc_group == group


def test_a_group_goes_with_its_last_connection() -> None:
    server = make_server()
    first = Peer(server)
    group = first.bind().assoc_group
    second = Peer(server)
    second.bind(assoc_group=group)
    first.association.connection_lost()
    assert Peer(server).bind(assoc_group=group).assoc_group == group
    for connection in (second, first):
        connection.association.connection_lost()
    assert len(server.groups) == 1  # The third connection's.


def test_losing_a_connection_twice_counts_once() -> None:
    server = make_server()
    peer = bound_peer(server)
    peer.association.connection_lost()
    peer.association.connection_lost()
    assert len(server.groups) == 0


def test_a_refused_bind_joins_no_group() -> None:
    server = make_server()
    Peer(server).send(Bind(1, ()))
    assert len(server.groups) == 0


def test_group_ids_begin_where_they_are_told_and_wrap_past_32_bits_without_0() -> None:
    server = RpcServer((KMS,), groups=AssociationGroups(0xFFFFFFFF))
    assert [Peer(server).bind().assoc_group for _ in range(3)] == [0xFFFFFFFF, 1, 2]


def test_an_id_still_in_use_is_not_given_again() -> None:
    groups = AssociationGroups(0xFFFFFFFF)
    assert groups.join(0) == 0xFFFFFFFF
    groups._next = 0xFFFFFFFF
    assert groups.join(0) == 1


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), max_size=60))
def test_there_are_as_many_groups_as_have_connections(steps: list[tuple[bool, int]]) -> None:
    groups = AssociationGroups(1)
    members: dict[int, int] = {}
    for joins, group in steps:
        if joins:
            joined = groups.join(group)
            assert (joined is None) == (group != 0 and group not in members)
            if joined is not None:
                members[joined] = members.get(joined, 0) + 1
        elif members.get(group):
            groups.leave(group)
            members[group] -= 1
            if not members[group]:
                del members[group]
        assert len(groups) == len(members)
