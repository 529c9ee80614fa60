from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from kmstwist.pacing.bounded import BoundedMap


def test_what_was_used_longest_ago_is_forgotten_first() -> None:
    entries: BoundedMap[str, int] = BoundedMap(2, 60.0, Clock().seconds)
    entries.set("a", 1)
    entries.set("b", 2)
    assert entries.get("a") == 1
    entries.set("c", 3)
    assert [entries.get(key) for key in "abc"] == [1, None, 3]


def test_what_is_too_old_is_forgotten() -> None:
    clock = Clock()
    entries: BoundedMap[str, int] = BoundedMap(2, 60.0, clock.seconds)
    entries.set("a", 1)
    clock.advance(60)
    assert entries.get("a") == 1
    clock.advance(1)
    assert entries.get("a") is None
    assert len(entries) == 0


def test_a_smaller_size_takes_effect_at_once() -> None:
    entries: BoundedMap[int, int] = BoundedMap(10, 60.0, Clock().seconds)
    for key in range(10):
        entries.set(key, key)
    entries.resize(3, 60.0)
    assert len(entries) == 3
    assert entries.get(9) == 9


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 20))), st.integers(1, 5))
def test_there_are_never_more_entries_than_allowed(steps: list[tuple[bool, int]], size: int) -> None:
    entries: BoundedMap[int, int] = BoundedMap(size, 60.0, Clock().seconds)
    for is_set, key in steps:
        if is_set:
            entries.set(key, key)
        else:
            assert entries.get(key) in (None, key)
        assert len(entries) <= size
