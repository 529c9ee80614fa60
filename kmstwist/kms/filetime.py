"""FILETIME, the time of KMS messages: 100-nanosecond ticks since 1601-01-01 UTC ([MS-DTYP] 2.3.3), unsigned 64 bits.

A tick is finer than Python's microsecond and its range wider than `datetime`'s. So messages keep the integer, which a
host must echo exactly, and convert it only for people to read.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

TICKS_PER_SECOND = 10_000_000
MAX_FILETIME = 0xFFFF_FFFF_FFFF_FFFF

_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)
_LATEST = datetime.max.replace(tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LATEST_MICROSECONDS = (_LATEST - _EPOCH) // _MICROSECOND
# Seconds from the FILETIME epoch to the Unix epoch.
_UNIX_EPOCH_SECONDS = 11_644_473_600


def to_datetime(filetime: int) -> datetime:
    """The moment of a FILETIME, in UTC, cut to the microsecond; beyond the year 9999, the last moment of that year."""
    microseconds = filetime // 10
    if microseconds >= _LATEST_MICROSECONDS:
        return _LATEST
    return _EPOCH + timedelta(microseconds=microseconds)


def from_datetime(moment: datetime) -> int:
    """The FILETIME of an aware datetime; 0 before 1601. Raises `ValueError` for a naive one."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()} has no time zone; a FILETIME is UTC")
    return max(0, (moment - _EPOCH) // _MICROSECOND * 10)


def from_unix(seconds: float) -> int:
    """The FILETIME of Unix seconds, rounded to the microsecond (a float is no finer today), kept within 64 bits."""
    return min(MAX_FILETIME, max(0, (round(seconds * 1_000_000) + _UNIX_EPOCH_SECONDS * 1_000_000) * 10))


def to_unix(filetime: int) -> float:
    """The Unix seconds of a FILETIME; negative before 1970."""
    return filetime / TICKS_PER_SECOND - _UNIX_EPOCH_SECONDS
