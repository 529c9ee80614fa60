"""Quiet hours and the day of the weekly summary, by the machine's own clock and time zone."""

from __future__ import annotations

from datetime import datetime, time, timedelta

from kmstwist.notify.settings import DAYS, clock_time, quiet_hours


def is_quiet(span: str | None, here: datetime) -> bool:
    """Whether a moment, in local time, lies in the quiet hours; a span like 22:00-07:00 goes over midnight."""
    if span is None:
        return False
    begin, end = quiet_hours(span)
    now = here.time()
    return begin <= now < end if begin <= end else now >= begin or now < end


def latest_digest(day: str, at: str, here: datetime) -> str:
    """The latest day, up to a moment in local time, on which the weekly summary was due: as 2026-11-23."""
    back = (here.weekday() - DAYS.index(day)) % 7
    if back == 0 and here.time().replace(tzinfo=None) < _time(at):
        back = 7
    return (here.date() - timedelta(days=back)).isoformat()


def _time(text: str) -> time:
    return clock_time(text)
