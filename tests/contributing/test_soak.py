"""How a soak is judged: what has filled by its first quarter is no growth, what goes on growing is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.soak import Course, Load, Look, Soak
from benchmarks.systems import Running

HOUR = 3600.0


def course(own: Callable[[float], float], *, before: int = 21, after: int = 22) -> Course:
    """A server looked at every five minutes of an hour; `own` is its memory in MiB at each second."""
    looks = [(-6.0, False, Look(0, 0, before, 3))]
    for number in range(1, 13):
        second = number * HOUR / 12
        looks.append((second, True, Look(0, round(own(second) * 1024), 150, 3)))
    looks.append((HOUR + 90, False, Look(0, 0, after, 3)))
    return Course("server", looks)


def filling(second: float) -> float:
    """A cache that is full after eight minutes."""
    return 60 + min(second / 480, 1.0) * 64


@pytest.mark.parametrize(
    ("own", "well"),
    [
        (lambda second: 70.0, True),
        (filling, True),
        (lambda second: 70 + 0.3 * second / HOUR, True),
        # A thread that came once.
        (lambda second: 70.0 if second < 2900 else 71.5, True),
        (lambda second: 70 + 0.8 * second / HOUR, False),
        (lambda second: filling(second) + second / HOUR, False),
    ],
)
def test_memory_grows_if_it_goes_on_growing(own: Callable[[float], float], well: bool) -> None:
    assert course(own).verdict(HOUR / 4)[1] is well


def test_descriptors_that_stay_are_growth() -> None:
    said, well = course(lambda second: 70.0, after=30).verdict(HOUR / 4)
    assert not well
    assert "GROWS" in said
    assert "+9 descriptors" in said


def test_a_process_that_was_there_under_load_only_is_judged_by_its_memory() -> None:
    aside = Course("process aside", course(filling).looks[1:-1])
    assert aside.more_descriptors is None
    assert aside.verdict(HOUR / 4) == (
        "process aside: as it began (+0.00 MiB an hour of its own memory, at most 0.5 is none)",
        True,
    )


def test_a_soak_of_minutes_has_no_verdict(tmp_path: Path) -> None:
    soak = Soak(tmp_path, Running(None, 0), Load(1, 0, 0))  # type: ignore[arg-type]  # no process is asked for
    soak.courses[1] = course(lambda second: 70 + second)
    assert soak.verdict(5.0)[1]
    assert not soak.verdict(60.0)[1]
