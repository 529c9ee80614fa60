from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from kmstwist.notify.calendar import is_quiet, latest_digest
from kmstwist.notify.settings import NotifySettings

MIDDAY = datetime(2026, 11, 26, 12)  # a Thursday


@pytest.mark.parametrize(
    ("span", "hour", "quiet"),
    [
        ("22:00-07:00", 21, False),
        ("22:00-07:00", 22, True),
        ("22:00-07:00", 0, True),
        ("22:00-07:00", 6, True),
        ("22:00-07:00", 7, False),
        ("12:00-13:30", 12, True),
        ("12:00-13:30", 14, False),
        (None, 3, False),
    ],
)
def test_quiet_hours_may_span_midnight(span: str | None, hour: int, quiet: bool) -> None:
    assert is_quiet(span, MIDDAY.replace(hour=hour)) is quiet


def test_the_summary_is_due_on_its_day_at_its_time() -> None:
    due = [latest_digest("monday", "08:00", MIDDAY + timedelta(hours=hours)) for hours in range(24 * 14)]
    changes = [(MIDDAY + timedelta(hours=at)) for at in range(1, len(due)) if due[at] != due[at - 1]]
    assert changes == [datetime(2026, 11, 30, 8), datetime(2026, 12, 7, 8)]
    assert due[0] == "2026-11-23"


@pytest.mark.parametrize("wrong", ["22-7", "25:00-07:00", "", "22:00"])
def test_invalid_hours_are_reported(wrong: str) -> None:
    with pytest.raises(ValueError, match="22:00-07:00"):
        NotifySettings(quiet=wrong)
    with pytest.raises(ValueError, match="08:00"):
        NotifySettings(digest_at=wrong + "x")
