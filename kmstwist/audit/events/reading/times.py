"""When an event was logged, from a time in the format of the machine that exported it.

Times in XML and EVTX are unambiguous. CSV and saved text have times in the format of a region: day or month first, in
some calendar, with or without AM and PM. One time may be read in several ways. The client's own time decides: a KMS
host accepts a request only if the client's clock is at most four hours off its own, so only one way of reading comes
near. If an event has no such time, the file's other events decide; if they do not show it either, the format in which
the times agree best with the events' numbers is taken, and finally the most common one.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from datetime import time as time_of_day
from itertools import pairwise

from kmstwist.audit.events.reading.am_pm import Half, half_of
from kmstwist.audit.events.reading.calendars import HIJRI, dates
from kmstwist.audit.events.reading.instants import instant, is_wmi

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
# KMS events exist since Windows Vista.
EARLIEST_MS = int(datetime(2006, 1, 1, tzinfo=UTC).timestamp() * 1000)
# A time up to a day ahead of now means that the zone was guessed wrong; a later one is not the time of an event.
AHEAD_MS = 86_400_000

# A request whose clock is further off is refused. A little more is allowed here: the client's time has no seconds.
_ACCEPTED = timedelta(hours=4, minutes=2)
# The same, where the zones of both clocks are uncertain as well.
_NEAR = timedelta(hours=4 + 26)

CURE = 'export the log as XML, whose times leave nothing to tell: wevtutil qe "Key Management Service" /f:xml'
# Further advice, for events that no program writes in this way.
DAMAGED = "the file is damaged or was changed; export the log again"
CUT_OFF = "the file was cut off; export the log again"

_ISO = re.compile(
    r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,](\d+))?\s*(Z|UTC|GMT|[+-]\d\d:?\d\d)?", re.IGNORECASE | re.ASCII
)
# Splunk names the zone of its own user by letters.
_LETTERED = re.compile(r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?) ([A-Z]{3,5})", re.ASCII)
_UNIVERSAL = re.compile(r"(?:(?<=\d)Z|\b(?:UTC|GMT))\Z")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_ONE = "|".join(_MONTHS)
_MONTH = re.compile(
    r"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,? )?"
    rf"(?:(?P<m>{_ONE})[a-z]*\.? (?P<d>\d{{1,2}})|(?P<d2>\d{{1,2}})[ -](?P<m2>{_ONE})[a-z]*\.?)"
    r",?[ -](?P<y>\d{4})(?: @)?",
    re.IGNORECASE | re.ASCII,
)
_DATE = re.compile(
    r"(?<!\d)(\d{1,4})\s?(?:([./-])\s?(\d{1,2})\s?\2|年\s?(\d{1,2})\s?月|년\s?(\d{1,2})\s?월)\s?(\d{1,4})(?!\d)"
)
_CLOCK = re.compile(r"(?<!\d)(\d{1,2})[:.hH時时시]\s?(\d\d)(?:[:.분分]\s?(\d\d))?(?:[.,](\d{1,9}))?(?!\d)")

# The order of a date's parts, and the calendar.
Manner = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read a time: the format, and the resulting time without a zone."""

    manner: Manner
    when: datetime


@dataclass(frozen=True, slots=True)
class _Readings:
    """All ways to read a time. `sure` is false if nobody knows whether the time is AM or PM."""

    ways: Sequence[Reading]
    sure: bool


def looks_like_time(text: str) -> bool:
    """Whether a text is a date and a time of day, in any format."""
    plain = text.strip()
    return len(text) < 60 and (_ISO.fullmatch(plain) is not None or is_wmi(plain) or bool(_ways(plain).ways))


def has_zone(text: str) -> bool:
    """Whether a time names its zone unambiguously."""
    found = _ISO.fullmatch(text)
    return instant(text) is not None if found is None else found[4] is not None


def iso_to_ms(text: str, zone: tzinfo = UTC) -> int:
    """A time as Windows writes it in XML (`2024-06-01T10:00:00.1234567Z`), in milliseconds since 1970 (UTC).

    `zone` applies if it names none.

    Raises ValueError.
    """
    found = _ISO.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"the event's time, {text[:40]!r}, is not a time; {DAMAGED}")
    day, clock, fraction, offset = found.groups()
    # Windows has seven digits after the point, Python takes six.
    part = f".{fraction[:6]:0<6}" if fraction else ""
    offset = "" if offset is None else "Z" if offset.upper() in ("Z", "UTC", "GMT") else offset
    try:
        when = datetime.fromisoformat(f"{day}T{clock}{part}{offset}")
    except ValueError:
        raise ValueError(
            f"the event's time, {text[:40]!r}, is one that no calendar and clock have; {DAMAGED}"
        ) from None
    return to_ms(when, zone)


def to_ms(when: datetime, zone: tzinfo) -> int:
    """A time in milliseconds since 1970 (UTC); `zone` applies if it has none."""
    since = (when if when.tzinfo is not None else when.replace(tzinfo=zone)) - _EPOCH
    return since // _MILLISECOND


def check(at: int, now: int) -> None:
    """Raise ValueError if no event can have been logged at `at`; both times are in milliseconds since 1970."""
    if at < EARLIEST_MS:
        raise ValueError(f"the event's time, {_shown(at)}, is before there was KMS; {CURE}")
    if at > now + AHEAD_MS:
        raise ValueError(f"the event's time, {_shown(at)}, is later than now; check the clocks, or {CURE}")


def _shown(at: int) -> str:
    try:
        return f"{datetime.fromtimestamp(at / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):
        return f"{at / 1000:.0f} seconds since 1970"


@dataclass(slots=True)
class Times:
    """Reads the times of one file. `zone` is the zone of times without one; `now` is in milliseconds since 1970."""

    zone: tzinfo
    now: int
    _manners: list[Manner] = field(default_factory=list)
    # Every time must be between these, in any zone.
    _first: datetime = field(init=False)
    _last: datetime = field(init=False)

    def __post_init__(self) -> None:
        self._first = (_EPOCH + _MILLISECOND * (EARLIEST_MS - AHEAD_MS)).replace(tzinfo=None)
        self._last = (_EPOCH + _MILLISECOND * (self.now + 2 * AHEAD_MS)).replace(tzinfo=None)

    def learn(self, samples: Iterable[tuple[str, datetime | None, int | None]]) -> None:
        """Find out the file's format from times in it, each with the client's time and the event's number if known."""
        ordered = sorted(samples, key=lambda sample: sample[2] or 0)
        read = [(self._readings(text), client) for text, client, _ in ordered if _ISO.fullmatch(text) is None]
        agreed: Counter[Manner] = Counter()
        readable: Counter[Manner] = Counter()
        for readings, client in read:
            near = self._near(readings.ways, client)
            # A time that all ways can read decides nothing.
            agreed.update({way.manner for way in near} if len(near) < len(readings.ways) else ())
            readable.update({way.manner for way in readings.ways})
        first_seen = list(readable)
        steps = {manner: _in_order(read, manner) for manner in first_seen}
        # `sorted` is stable: the order of the ways decides if nothing else does.
        self._manners = sorted(
            first_seen, key=lambda manner: (agreed[manner], readable[manner], steps[manner]), reverse=True
        )

    def read(self, value: str, client_time: Callable[[], datetime | None]) -> int:
        """A time in milliseconds since 1970; `client_time` returns the client's own if its request was accepted.

        Raises ValueError with a cure.
        """
        text = value.strip()
        if (iso := _ISO.fullmatch(text)) is not None:
            return self._at(iso_to_ms(text, UTC), client_time) if iso[4] is None else iso_to_ms(text)
        if (at := instant(text)) is not None:
            return at
        if (found := _LETTERED.fullmatch(text)) is not None:
            return self._lettered(found[1], found[2])
        readings = self._readings(text)
        ways = readings.ways
        if not ways:
            raise ValueError(self._unreadable(text))
        only = len({way.when for way in ways}) == 1
        client = None if only and readings.sure else client_time()
        if not readings.sure:
            ways = self._accepted(ways, client)
            if len({way.when for way in ways}) != 1:
                raise ValueError(f"the event's time is written in a manner not known here: {text[:40]!r}; {CURE}")
        elif not only:
            ways = self._near(ways, client) or sorted(ways, key=self._rank)
            if ways[0].manner[1] == HIJRI:
                # Several days are possible; the client's time must decide.
                ways = self._accepted(ways, client)
                if len({way.when for way in ways}) != 1:
                    raise ValueError(
                        f"the event's time is in a calendar that is not sure to the day: {text[:40]!r}; {CURE}"
                    )
        at = to_ms(ways[0].when, UTC)
        return at if _UNIVERSAL.search(text) else self._at(at, client_time)

    def _twice(self, local: int) -> tuple[int, int]:
        """What a time of the zone is in UTC, all in milliseconds: the zone has those of an hour in autumn twice."""
        when = (_EPOCH + _MILLISECOND * local).replace(tzinfo=None)
        return to_ms(when, self.zone), to_ms(when.replace(fold=1), self.zone)

    def _at(self, local: int, client_time: Callable[[], datetime | None]) -> int:
        """The one of both that is nearer to the client's time; the first if that is not known."""
        first, second = self._twice(local)
        client = None if first >= second else client_time()
        told = first if client is None else to_ms(client, UTC)
        return min(first, second, key=lambda at: abs(at - told))

    def _lettered(self, text: str, letters: str) -> int:
        """A time whose zone is given in letters, which several zones may share: it must be the zone we were given."""
        for at in self._twice(iso_to_ms(text)):
            if datetime.fromtimestamp(at / 1000, self.zone).tzname() == letters:
                return at
        raise ValueError(f"the event's time is in the zone {letters}; name that zone with --timezone, or {CURE}")

    def _rank(self, way: Reading) -> int:
        return self._manners.index(way.manner) if way.manner in self._manners else len(self._manners)

    def _utc(self, when: datetime) -> datetime:
        return when.replace(tzinfo=self.zone).astimezone(UTC).replace(tzinfo=None)

    def _near(self, ways: Sequence[Reading], client: datetime | None) -> list[Reading]:
        """The ways that an accepted request allows, the nearest to the client's time first; none without that time."""
        if client is None:
            return []
        apart = [(abs(self._utc(way.when) - client), way) for way in ways]
        return [way for gap, way in sorted(apart, key=lambda each: each[0]) if gap <= _NEAR]

    def _accepted(self, ways: Sequence[Reading], client: datetime | None) -> list[Reading]:
        return [way for way in self._near(ways, client) if client and abs(self._utc(way.when) - client) <= _ACCEPTED]

    def _readings(self, text: str) -> _Readings:
        found = _ways(text)
        return _Readings([way for way in found.ways if self._plausible(way.when)], found.sure)

    def _plausible(self, when: datetime) -> bool:
        return self._first <= when <= self._last

    def _unreadable(self, text: str) -> str:
        ways = _ways(text).ways
        if not ways:
            return f"the event's time is written in a manner not known here: {text[:40]!r}; {CURE}"
        later = all(to_ms(way.when, UTC) > self.now for way in ways)
        return f"the event's time, {text[:40]!r}, is {'later than now' if later else 'decades off'}; {CURE}"


def _in_order(read: Sequence[tuple[_Readings, datetime | None]], manner: Manner) -> int:
    """How many of the times follow each other in one direction if they are read in this format."""
    whens = [way.when for readings, _ in read for way in readings.ways if way.manner == manner]
    # Without numbers, the file's own order is used, which may run from the newest to the oldest.
    steps = [(earlier <= later, earlier >= later) for earlier, later in pairwise(whens)]
    return max(sum(up for up, _ in steps), sum(down for _, down in steps))


def _ways(text: str) -> _Readings:
    """Every way to read a time, the most common first."""
    plain = _MONTH.sub(_numbered, text if text.isascii() else _plain(text))
    found = max(_DATE.finditer(plain), key=lambda each: max(len(each[1]), len(each[6])), default=None)
    if found is None:
        return _Readings((), True)
    rest = f"{plain[: found.start()]} {plain[found.end() :]}"
    clock = _CLOCK.search(rest)
    if clock is None:
        return _Readings((), True)
    words = f"{rest[: clock.start()]} {rest[clock.end() :]}"
    if any(character.isdigit() for character in words):
        return _Readings((), True)
    half = half_of(words)
    hours = _hours(int(clock[1]), half)
    minute, second = int(clock[2]), int(clock[3] or 0)
    if not hours or minute > 59 or second > 59:
        return _Readings((), True)
    first, middle, last = found[1], int(found[3] or found[4] or found[5]), found[6]
    ways = [
        Reading((order, calendar), datetime.combine(day, time_of_day(hour, minute, second)))
        for order, (year, month, date_day) in _orders(first, middle, last, found[2], half, words)
        for calendar, day in _dates(year, month, date_day)
        for hour in hours
    ]
    return _Readings(ways, len(hours) == 1)


def _numbered(found: re.Match[str]) -> str:
    """A date with an English month name, in numbers."""
    month = _MONTHS.index((found["m"] or found["m2"]).lower()) + 1
    return f"{found['y']}-{month}-{found['d'] or found['d2']}"


def _hours(hour: int, half: Half) -> list[int]:
    """The hour from 0 to 23, or both that it may be."""
    if hour > 23:
        return []
    if hour > 12 or half is Half.WHOLE:
        return [hour]
    match half:
        case Half.FORENOON:
            return [hour % 12]
        case Half.AFTERNOON:
            return [hour % 12 + 12]
        case _:
            return [hour % 12, hour % 12 + 12] if hour else [0]


def _orders(
    first: str, middle: int, last: str, separator: str | None, half: Half, words: str
) -> list[tuple[str, tuple[str, int, int]]]:
    """Year, month and day in each possible order, the most common first."""
    one, three = int(first), int(last)
    year_first = ("year, month, day", (first, middle, three))
    day_first = ("day, month, year", (last, middle, one))
    month_first = ("month, day, year", (last, one, middle))
    if len(first) > 2 or separator is None:
        return [year_first]
    # With AM or PM in capitals the month comes first, as it does where most people write so.
    american = separator == "/" and half is not Half.WHOLE and words.split() in (["AM"], ["PM"])
    orders = [month_first, day_first] if american else [day_first, month_first]
    return orders if len(last) > 2 else [*orders, year_first]


def _dates(year: str, month: int, day: int) -> list[tuple[str, date]]:
    number = int(year)
    if len(year) == 2:
        # A year of this century, in any calendar.
        return [each for century in (2000, 2500, 1400) for each in dates(century + number, month, day)]
    return list(dates(number, month, day)) if len(year) > 2 else []


def _plain(text: str) -> str:
    """A text with ASCII digits, one kind of space, and no marks for the writing direction."""
    kept = []
    for character in text:
        if character.isdigit():
            kept.append(str(unicodedata.digit(character, 0)))
        elif character.isspace():
            kept.append(" ")
        elif unicodedata.category(character) != "Cf":
            kept.append(character)
    return "".join(kept)
