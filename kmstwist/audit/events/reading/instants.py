"""Times in forms that cannot be mistaken: they are the same in every zone and calendar."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_POWERSHELL = re.compile(r"\\?/Date\((-?\d{1,18})(?:[+-]\d{4})?\)\\?/", re.ASCII)
_SINCE_1970 = re.compile(r"(\d{10})(?:\.(\d{1,9}))?|(\d{10})(\d{3})", re.ASCII)
# WMI's: the digits of date, time and microseconds, and the minutes that the clock is ahead of UTC ([MS-WMIO], "CIM
# datetime").
_WMI = re.compile(r"(\d{14})\.(\d{6})([+-]\d{3})", re.ASCII)

_CLIENT = re.compile(r"(\d{4})[/.-](\d{1,2})[/.-](\d{1,2})\s+(\d{1,2})[:.](\d\d)", re.ASCII)


def is_wmi(text: str) -> bool:
    """Whether `text` has the form of WMI's times."""
    return _WMI.fullmatch(text) is not None


def instant(text: str) -> int | None:
    """A time in milliseconds since 1970 (UTC), if `text` is in such a form."""
    if (found := _POWERSHELL.search(text)) is not None:
        return int(found[1])
    if (found := _SINCE_1970.fullmatch(text)) is not None:
        return int(f"{found[1] or found[3]}{(found[2] or found[4] or '')[:3]:0<3}")
    if (found := _WMI.fullmatch(text)) is not None:
        try:
            local = datetime.strptime(found[1], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        except ValueError:
            return None
        return int((local - timedelta(minutes=int(found[3]))).timestamp()) * 1000 + int(found[2]) // 1000
    return None


def client_clock(text: str | None) -> datetime | None:
    """The client's own time in an event, without a zone; None if there is none."""
    found = _CLIENT.match(text or "")
    if found is None:
        return None
    try:
        return datetime(*(int(part) for part in found.groups()))  # type: ignore[arg-type]
    except ValueError:
        return None
