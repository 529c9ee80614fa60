"""Times as people give them to a report: ISO dates and times, or how long ago."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_UNITS = {
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}


def parse_duration(text: str) -> timedelta:
    """A duration such as `90m`, `12h`, `7d` or `2w`. Raises ValueError with a sentence."""
    found = re.fullmatch(r"(\d{1,6})([mhdw])", text.strip().lower())
    if found is None:
        raise ValueError(f"{text!r} is not a duration; write it as 90m, 12h, 7d or 2w")
    return int(found[1]) * _UNITS[found[2]]


def parse_when(text: str, now: datetime) -> datetime:
    """A moment: `7d` for that long before `now`, or `2024-06-01`, `2024-06-01T13:00`, `2024-06-01T13:00+02:00`.

    It is in UTC if no zone is given. Raises ValueError with a sentence.
    """
    try:
        return now - parse_duration(text)
    except ValueError:
        pass
    except OverflowError:
        raise ValueError(f"{text!r} is too long ago") from None
    try:
        when = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"{text!r} is not a time; write it as 2024-06-01, 2024-06-01T13:00 or 7d (days ago)") from None
    try:
        return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{text!r} is not a time that UTC has") from None


def check_order(since: datetime | None, until: datetime | None) -> None:
    """Raise ValueError with a sentence if no moment lies between the two."""
    if since is not None and until is not None and until <= since:
        raise ValueError(
            f"it is {until:%Y-%m-%d %H:%M} UTC, which is not after the beginning, {since:%Y-%m-%d %H:%M} UTC"
        )
