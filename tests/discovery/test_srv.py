from __future__ import annotations

from fractions import Fraction
from itertools import permutations
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kmstwist.discovery.lookup.srv import SrvRecord, available, first_probabilities, try_order

RECORDS = st.lists(
    st.builds(
        SrvRecord,
        priority=st.integers(0, 3),
        weight=st.integers(0, 4),
        port=st.just(1688),
        target=st.sampled_from(["a.test", "b.test", "c.test", "d.test"]),
    ),
    max_size=6,
)


class Scripted:
    """A random source that arranges and draws as it is told."""

    def __init__(self, arrangement: tuple[int, ...], draw: int) -> None:
        self.arrangement = arrangement
        self.draw = draw

    def shuffle(self, x: list[Any]) -> None:
        if len(x) == len(self.arrangement):
            x[:] = [x[index] for index in self.arrangement]

    def randint(self, a: int, b: int) -> int:
        return min(self.draw, b)


def firsts_counted(records: list[SrvRecord]) -> dict[SrvRecord, Fraction]:
    """The exact probabilities, found by counting every arrangement with every draw."""
    total = sum(record.weight for record in records)
    arrangements = list(permutations(range(len(records))))
    counts = dict.fromkeys(records, 0)
    for arrangement in arrangements:
        for draw in range(total + 1):
            counts[try_order(records, Scripted(arrangement, draw))[0]] += 1
    outcomes = len(arrangements) * (total + 1)
    return {record: Fraction(count, outcomes) for record, count in counts.items()}


@given(st.lists(st.integers(0, 4), min_size=1, max_size=4))
def test_the_probability_of_coming_first_is_what_counting_every_draw_gives(weights: list[int]) -> None:
    records = [SrvRecord(0, weight, 1688, f"h{number}.test") for number, weight in enumerate(weights)]

    assert first_probabilities(records) == firsts_counted(records)


def test_weights_of_rfc_2782_s_kind_give_their_shares() -> None:
    heavy, light, zero = (SrvRecord(0, weight, 1688, f"w{weight}.test") for weight in (60, 20, 0))

    assert first_probabilities([heavy, light, zero]) == {
        heavy: Fraction(60, 81),
        light: Fraction(20, 81),
        zero: Fraction(1, 81),
    }


@given(RECORDS, st.integers())
def test_an_order_has_each_record_once_and_priorities_ascending(records: list[SrvRecord], seed: int) -> None:
    order = try_order(records, Random(seed))

    assert sorted(order) == sorted(set(records))
    assert [record.priority for record in order] == sorted(record.priority for record in order)


@given(RECORDS)
def test_the_probabilities_within_a_priority_sum_to_one(records: list[SrvRecord]) -> None:
    probabilities = first_probabilities(records)
    for priority in {record.priority for record in records}:
        assert sum(p for record, p in probabilities.items() if record.priority == priority) == 1


@given(RECORDS, st.integers())
def test_the_order_does_not_depend_on_the_answer_s_order(records: list[SrvRecord], seed: int) -> None:
    assert try_order(records, Random(seed)) == try_order(records[::-1], Random(seed))


def test_a_target_of_dot_means_that_there_is_no_host() -> None:
    assert available([SrvRecord(0, 0, 0, "")]) == ()
