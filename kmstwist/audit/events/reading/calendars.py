"""Dates in the other calendars in which Windows writes times, for regions that do not use the Gregorian one.

For the time since KMS exists, the numbers of the years do not overlap between calendars, which distinguishes them.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

GREGORIAN = "Gregorian"
BUDDHIST = "Thai"
MINGUO = "Taiwanese"
PERSIAN = "Persian"
HIJRI = "Hijri"

# The leap years among 33 (the rule holds from 1343 to 1472), and the day from which days are counted: 1 Farvardin 1400.
_PERSIAN_LEAPS = frozenset({1, 5, 9, 13, 17, 22, 26, 30})
_PERSIAN_BASE = date(2021, 3, 21).toordinal()


def dates(year: int, month: int, day: int) -> Iterator[tuple[str, date]]:
    """What `year`, `month` and `day` may mean: each calendar with the Gregorian date.

    A Hijri date may be one day off either way: the beginning of a month is announced, and calculations differ.
    """
    if 1601 <= year <= 2200:
        yield from _shifted(GREGORIAN, year, month, day)
    elif 2533 <= year <= 2743:
        yield from _shifted(BUDDHIST, year - 543, month, day)
    elif 90 <= year <= 289:
        yield from _shifted(MINGUO, year + 1911, month, day)
    if 1369 <= year <= 1472 and 1 <= month <= 12 and 1 <= day <= 31:
        yield PERSIAN, date.fromordinal(_persian(year, month, day))
    if 1410 <= year <= 1600 and 1 <= month <= 12 and 1 <= day <= 30:
        middle = _hijri(year, month, day)
        for off in (0, -1, 1):
            yield HIJRI, date.fromordinal(middle + off)


def _shifted(calendar: str, year: int, month: int, day: int) -> Iterator[tuple[str, date]]:
    try:
        yield calendar, date(year, month, day)
    except ValueError:
        return


def _persian(year: int, month: int, day: int) -> int:
    days = _PERSIAN_BASE + 365 * (year - 1400)
    leaps = sum(each % 33 in _PERSIAN_LEAPS for each in range(min(year, 1400), max(year, 1400)))
    days += leaps if year >= 1400 else -leaps
    return days + (month - 1) * 31 - max(0, month - 7) + day - 1


def _hijri(year: int, month: int, day: int) -> int:
    """The tabular calendar's day: 30 years have 11 leap days, odd months 30 days, even ones 29."""
    julian = (11 * year + 3) // 30 + 354 * year + 30 * month - (month - 1) // 2 + day + 1948440 - 385
    return julian - 1721425
