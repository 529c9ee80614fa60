"""The counts since the start, after workers have ended."""

from __future__ import annotations

from kmstwist.telemetry.ended_workers import Earlier


def test_the_counts_of_a_killed_worker_are_kept() -> None:
    earlier = Earlier()
    assert earlier.with_those_before(1, 100, {"conversations": 7, "activations": 5, "paused": False}) == {
        "conversations": 7,
        "activations": 5,
        "paused": False,
    }
    assert earlier.with_those_before(2, 101, {"conversations": 1, "activations": 1})["conversations"] == 1
    # Its replacement begins at 0 again, twice.
    assert earlier.with_those_before(1, 102, {"conversations": 0, "activations": 0})["conversations"] == 7
    assert earlier.with_those_before(1, 102, {"conversations": 2, "activations": 0})["conversations"] == 9
    after = earlier.with_those_before(1, 103, {"conversations": 1, "activations": 1})
    assert (after["conversations"], after["activations"]) == (10, 6)


def test_other_answers_are_left_as_they_are() -> None:
    assert Earlier().with_those_before(1, 100, {"upstreams": []}) == {"upstreams": []}
