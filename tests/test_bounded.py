"""Every store of data whose keys a client, a host or a reader chooses is bounded."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from kmstwist.kms import names
from kmstwist.pacing.bounded import BoundedMap
from tests import house_rules

#: Functions that keep every answer, and why these are few: the program itself chooses the arguments.
FEW = {
    "audit/asking/prepared_statements.py: prepared": "statements, by their names, and dialects",
    "audit/bulk.py: insertion_of": "summary tables",
    "charts/__init__.py: asset": "files of the program",
    "kms/labids.py: activation_id": "products of the catalogue",
    "kms/labids.py: kms_id": "families of products",
    "lab/windows_names.py: naming_of": "products of the catalogue",
    "transport/fdset.py: set_of": "reactors",
    "web/static.py: contents": "files of the program: another name has no answer",
}


def test_the_least_recently_used_entry_is_forgotten_first() -> None:
    entries: BoundedMap[str, int] = BoundedMap(2, 60.0, Clock().seconds)
    entries.set("a", 1)
    entries.set("b", 2)
    assert entries.get("a") == 1
    entries.set("c", 3)
    assert [entries.get(key) for key in "abc"] == [1, None, 3]


def test_an_entry_that_is_too_old_is_forgotten() -> None:
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


def test_no_cache_grows_with_what_others_ask() -> None:
    assert sorted(house_rules.unbounded_caches(Path(names.__file__).parents[1])) == sorted(FEW)


@pytest.mark.parametrize(
    ("decorator", "arguments", "found"),
    [
        ("cache", "text", True),
        ("functools.cache", "*, text", True),
        ("lru_cache(maxsize=None)", "text", True),
        ("lru_cache(None)", "*texts", True),
        ("lru_cache(maxsize=64)", "text", False),
        ("lru_cache", "text", False),
        ("cache", "", False),
        ("staticmethod", "text", False),
    ],
)
def test_a_cache_without_a_bound_is_found(tmp_path: Path, decorator: str, arguments: str, found: bool) -> None:
    (tmp_path / "one.py").write_text(f"@{decorator}\ndef answer({arguments}):\n    return 1\n")
    assert house_rules.unbounded_caches(tmp_path) == (["one.py: answer"] if found else [])
