"""What a server accepts of a context list; each rule by itself. Sources: kmstwist/rpc/server/contexts.py."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmstwist.kms.interface import KMS_INTERFACE
from kmstwist.rpc import (
    MGMT_INTERFACE,
    NDR32,
    NDR64,
    NULL_SYNTAX,
    ContextOutcome,
    Interface,
    PresentationContext,
    SyntaxId,
    feature_bits,
    feature_syntax,
)
from kmstwist.rpc.fragments import fragment_size
from kmstwist.rpc.interfaces import InterfaceTable
from kmstwist.rpc.mgmt import MANAGEMENT
from kmstwist.rpc.server.contexts import MAX_CONTEXTS, BoundContext, ContextListError, Negotiation, negotiate

from .peer import KMS
from .strategies import context_lists, known_contexts, u16

TABLE = InterfaceTable((KMS, MANAGEMENT))
OTHER = SyntaxId.make("12345678-1234-abcd-ef00-0123456789ab", 1)
ACCEPTED32, ACCEPTED64 = ContextOutcome(0, 0, NDR32), ContextOutcome(0, 0, NDR64)
NO_INTERFACE, NO_TRANSFER = ContextOutcome(2, 1, NULL_SYNTAX), ContextOutcome(2, 2, NULL_SYNTAX)


def context(context_id: int, *transfers: SyntaxId, interface: SyntaxId = KMS_INTERFACE) -> PresentationContext:
    return PresentationContext(context_id, interface, transfers)


def bind(*proposed: PresentationContext) -> Negotiation:
    return negotiate(TABLE, proposed, {}, features_allowed=True)


def alter(bound: dict[int, BoundContext], *proposed: PresentationContext) -> Negotiation:
    return negotiate(TABLE, proposed, bound, features_allowed=False)


def test_a_context_is_accepted_in_its_transfer_syntax() -> None:
    assert bind(context(0, NDR32)).outcomes == (ACCEPTED32,)
    assert bind(context(0, NDR64)).outcomes == (ACCEPTED64,)
    assert bind(context(5, NDR64)).accepted == {5: BoundContext(KMS, True)}


def test_of_several_transfer_syntaxes_the_first_known_one_is_taken() -> None:
    assert bind(context(0, OTHER, NDR64, NDR32)).outcomes == (ACCEPTED64,)
    assert bind(context(0, NDR32, NDR64)).outcomes == (ACCEPTED32,)


def test_an_unknown_interface_is_refused_for_its_context_alone_with_a_null_syntax() -> None:
    outcome = bind(context(0, NDR32, interface=OTHER), context(1, NDR32))
    assert outcome.outcomes == (NO_INTERFACE, ACCEPTED32)
    assert list(outcome.accepted) == [1]


def test_an_unknown_transfer_syntax_is_refused_for_its_context_alone_with_a_null_syntax() -> None:
    assert bind(context(0, OTHER), context(1, NDR32)).outcomes == (NO_TRANSFER, ACCEPTED32)


def test_another_major_version_of_an_interface_is_unknown() -> None:
    version_2 = SyntaxId(KMS_INTERFACE.wire[:16] + b"\2\0\0\0")
    assert bind(context(0, NDR32, interface=version_2)).outcomes == (NO_INTERFACE,)


def test_a_client_of_a_later_minor_version_is_not_served_and_one_of_an_earlier_is() -> None:
    def version(minor: int) -> SyntaxId:
        return SyntaxId.make("12345678-1234-abcd-ef00-0123456789ab", 3, minor)

    table = InterfaceTable((Interface(version(4), 1),))
    results = [
        negotiate(table, (context(0, NDR32, interface=version(minor)),), {}, features_allowed=True).outcomes[0]
        for minor in (0, 4, 5)
    ]
    assert results == [ACCEPTED32, ACCEPTED32, NO_INTERFACE]


def test_a_windows_clients_bind_is_accepted_in_ndr32_with_both_features() -> None:
    outcome = bind(context(0, NDR32), context(1, NDR64), context(2, feature_syntax(3)))
    assert outcome.outcomes == (ACCEPTED32, NO_TRANSFER, ContextOutcome(3, 3, NULL_SYNTAX))
    assert outcome.features == 3


def test_an_interface_is_accepted_once_a_pdu_and_in_the_first_context_that_can_be() -> None:
    assert bind(context(1, NDR64), context(0, NDR32)).outcomes == (ACCEPTED64, NO_TRANSFER)
    assert bind(context(0, OTHER), context(1, NDR64), context(2, NDR32)).outcomes == (
        NO_TRANSFER,
        ACCEPTED64,
        NO_TRANSFER,
    )


def test_two_interfaces_are_accepted_side_by_side() -> None:
    outcome = bind(context(0, NDR32), context(1, NDR32, interface=MGMT_INTERFACE))
    assert outcome.outcomes == (ACCEPTED32, ACCEPTED32)


def test_an_empty_context_list_breaks_the_protocol() -> None:
    with pytest.raises(ContextListError, match="empty"):
        bind()


def test_a_context_without_a_transfer_syntax_breaks_the_protocol() -> None:
    with pytest.raises(ContextListError, match="context 7 proposes no transfer syntax"):
        bind(context(0, NDR32), context(7))


def test_a_context_id_may_be_named_again_for_the_same() -> None:
    bound = {0: BoundContext(KMS, False)}
    again = alter(bound, context(0, NDR64, NDR32))
    assert again.outcomes == (ACCEPTED32,)
    assert again.accepted == {}


@pytest.mark.parametrize(
    "proposed", [context(0, NDR64), context(0, NDR32, interface=MGMT_INTERFACE)], ids=["syntax", "interface"]
)
def test_a_context_id_cannot_be_given_another_meaning(proposed: PresentationContext) -> None:
    with pytest.raises(ContextListError, match="context 0 is already bound"):
        alter({0: BoundContext(KMS, False)}, proposed)


def test_a_context_id_cannot_have_two_meanings_in_one_bind() -> None:
    with pytest.raises(ContextListError, match="already bound"):
        bind(context(0, NDR32), context(0, NDR32, interface=MGMT_INTERFACE))


@pytest.mark.parametrize(("asked", "agreed"), [(0, 0), (1, 1), (2, 2), (3, 3), (0xFF, 3), (2**64 - 1, 3)])
def test_features_are_agreed_as_far_as_both_sides_know_them(asked: int, agreed: int) -> None:
    outcome = bind(context(0, NDR32), context(1, feature_syntax(asked)))
    assert outcome.features == agreed
    assert outcome.outcomes[1] == ContextOutcome(3, agreed, NULL_SYNTAX)


def test_features_that_were_not_asked_for_are_not_agreed() -> None:
    assert bind(context(0, NDR32)).features is None


def test_features_may_be_asked_for_with_any_interface() -> None:
    assert bind(context(0, feature_syntax(1), interface=OTHER)).outcomes == (ContextOutcome(3, 1),)


def test_features_asked_for_twice_break_the_protocol() -> None:
    with pytest.raises(ContextListError, match="twice"):
        bind(context(0, feature_syntax(1)), context(1, feature_syntax(1)))


def test_features_asked_for_behind_another_syntax_are_not_seen() -> None:
    outcome = bind(context(0, NDR32, feature_syntax(3)))
    assert (outcome.outcomes, outcome.features) == ((ACCEPTED32,), None)


def test_an_alter_context_cannot_ask_for_features() -> None:
    outcome = alter({}, context(1, feature_syntax(3)))
    assert (outcome.outcomes, outcome.features) == ((NO_TRANSFER,), None)


def test_the_feature_prefix_in_another_version_is_an_ordinary_syntax() -> None:
    other_version = SyntaxId(feature_syntax(3).wire[:16] + b"\2\0\0\0")
    assert feature_bits(other_version) is None
    assert bind(context(0, other_version)).outcomes == (NO_TRANSFER,)


def test_an_association_has_a_limit_of_contexts() -> None:
    bound = {number: BoundContext(KMS, False) for number in range(MAX_CONTEXTS)}
    assert alter(bound, context(1000, NDR32)).outcomes == (ContextOutcome(2, 3, NULL_SYNTAX),)
    assert alter(bound, context(5, NDR32)).outcomes == (ACCEPTED32,)


@given(context_lists | known_contexts)
def test_every_context_gets_one_result_in_its_place(proposed: list[PresentationContext]) -> None:
    try:
        outcome = bind(*proposed)
    except ContextListError:
        return
    assert len(outcome.outcomes) == len(proposed)
    for context_, result in zip(proposed, outcome.outcomes, strict=True):
        assert (context_.context_id in outcome.accepted) or result.result != 0
        assert (result.transfer == NULL_SYNTAX) == (result.result != 0)


@pytest.mark.parametrize(
    ("xmit", "recv", "size"),
    [
        (5840, 5840, 5840),
        (4280, 5840, 4280),
        (5840, 4280, 4280),
        (0xFFFF, 0xFFFF, 5840),
        (0, 0, 2048),
        (1432, 1432, 2048),
        (2047, 5840, 2048),
        (2048, 2048, 2048),
        (2055, 2055, 2048),
        (2056, 5000, 2056),
        (5839, 5839, 5832),
    ],
)
def test_a_fragment_size_is_the_least_offered_a_multiple_of_8_and_2048_at_least(
    xmit: int, recv: int, size: int
) -> None:
    assert fragment_size(xmit, recv) == size


@given(u16, u16)
def test_a_fragment_size_is_always_within_bounds(xmit: int, recv: int) -> None:
    size = fragment_size(xmit, recv)
    assert 2048 <= size <= 5840
    assert size % 8 == 0


@given(st.integers(0, 2**64 - 1))
def test_feature_bits_survive_their_syntax(bits: int) -> None:
    assert feature_bits(feature_syntax(bits)) == bits
