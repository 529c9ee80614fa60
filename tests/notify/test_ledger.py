"""Each condition is reported once, when it has lasted, and once when it is over; across a restart too."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmstwist.notify.conditions import Condition, Key
from kmstwist.notify.ledger import MACHINES, Changes, Ledger
from kmstwist.notify.settings import Topic

DOWN = Condition(Key("host", "kms1"), Topic.HOSTS, "kms1 is down")
OTHER = Condition(Key("host", "kms2"), Topic.HOSTS, "kms2 is down")


def everywhere(key: Key) -> bool:
    return True


def step(
    ledger: Ledger,
    now: float,
    *present: Condition,
    looked: Callable[[Key], bool] = everywhere,
    quiet: bool = False,
) -> Changes:
    return ledger.step(now, {each.key: each for each in present}, looked, quiet=quiet)


def test_a_lasting_condition_is_reported_once_and_so_is_its_end() -> None:
    ledger = Ledger(300)
    assert not step(ledger, 0, DOWN)
    assert not step(ledger, 299, DOWN)
    assert step(ledger, 300, DOWN) == Changes([DOWN], [], [])
    assert not step(ledger, 5000, DOWN)
    assert not step(ledger, 6000)
    assert step(ledger, 6300) == Changes([], [(DOWN, 0)], [])
    assert not step(ledger, 7000)


def test_a_brief_condition_is_not_reported() -> None:
    ledger = Ledger(300)
    step(ledger, 0, DOWN)
    assert not step(ledger, 200)
    assert not step(ledger, 310, DOWN)
    assert step(ledger, 610, DOWN)


def test_a_condition_that_soon_returns_was_never_over() -> None:
    ledger = Ledger(300)
    step(ledger, 0, DOWN)
    step(ledger, 300, DOWN)
    step(ledger, 1000)
    assert not step(ledger, 1200, DOWN)
    assert not step(ledger, 1400)
    assert step(ledger, 1700).over == [(DOWN, 0)]


def test_the_text_may_change_while_it_lasts() -> None:
    ledger = Ledger(10)
    step(ledger, 0, DOWN)
    later = Condition(DOWN.key, DOWN.topic, "kms1 is trying")
    assert step(ledger, 10, later).begun == [later]


def test_conditions_that_still_last_are_listed_with_a_change() -> None:
    ledger = Ledger(0)
    step(ledger, 0, DOWN)
    assert step(ledger, 1, DOWN, OTHER) == Changes([OTHER], [], [DOWN])
    assert step(ledger, 2, OTHER) == Changes([], [(DOWN, 0)], [OTHER])


def test_a_condition_is_not_over_if_its_source_has_not_looked() -> None:
    ledger = Ledger(0)
    step(ledger, 0, DOWN)
    assert not step(ledger, 1, looked=lambda key: False)
    assert step(ledger, 2).over == [(DOWN, 0)]
    step(ledger, 3, DOWN)
    assert not step(ledger, 3 + 31 * 86400, looked=lambda key: False)
    assert ledger.conditions == {}


def test_quiet_hours_delay_what_still_holds_after_them() -> None:
    ledger = Ledger(0)
    assert not step(ledger, 0, DOWN, OTHER, quiet=True)
    assert not step(ledger, 1, DOWN, quiet=True)
    assert step(ledger, 2, DOWN).begun == [DOWN]
    assert not step(ledger, 3, quiet=True)
    assert step(ledger, 4).over == [(DOWN, 0)]


def test_a_restart_repeats_nothing_and_forgets_nothing() -> None:
    ledger = Ledger(300)
    step(ledger, 0, DOWN)
    step(ledger, 300, DOWN, OTHER)
    ledger.newly_expiring(["pc1"])
    ledger.digest = "2026-11-23"
    again = Ledger.from_json(json.loads(json.dumps(ledger.to_json())), 300)
    assert again == ledger
    assert not step(again, 400, DOWN, OTHER)
    assert step(again, 600, DOWN, OTHER).begun == [OTHER]
    assert again.newly_expiring(["pc1"]) == []


@pytest.mark.parametrize("raw", [{}, {"conditions": [1], "machines": [], "digest": ""}, {"conditions": 3}])
def test_a_state_that_is_not_ours_is_refused(raw: dict[str, object]) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        Ledger.from_json(raw, 0)


def test_an_expiring_machine_is_reported_once_and_again_if_it_returns() -> None:
    ledger = Ledger(0)
    assert ledger.newly_expiring(["pc1", "pc2"]) == ["pc1", "pc2"]
    assert ledger.newly_expiring(["pc1", "pc2", "pc3"]) == ["pc3"]
    assert ledger.newly_expiring(["pc3"]) == []
    assert ledger.newly_expiring(["pc1", "pc3"]) == ["pc1"]
    ledger.newly_expiring([f"pc{number}" for number in range(MACHINES + 5)])
    assert len(ledger.machines) == MACHINES


@given(st.lists(st.tuples(st.integers(0, 400), st.booleans(), st.booleans()), max_size=40))
def test_beginnings_and_ends_alternate_whatever_happens(steps: list[tuple[int, bool, bool]]) -> None:
    ledger, now, told = Ledger(300), 0.0, []
    for after, there, quiet in steps:
        now += after
        changes = step(ledger, now, *([DOWN] if there else []), quiet=quiet)
        assert not (quiet and changes)
        told += ["begun"] * len(changes.begun) + ["over"] * len(changes.over)
        ledger = Ledger.from_json(json.loads(json.dumps(ledger.to_json())), 300)
    assert told == ["begun", "over"] * (len(told) // 2) + ["begun"] * (len(told) % 2)
