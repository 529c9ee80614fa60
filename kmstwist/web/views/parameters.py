"""Parameters that several views have."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from kmstwist.audit.reports.times import check_order, parse_when
from kmstwist.web.view import Question

#: The default number of rows of a page.
ROWS = 40
#: How many rows a download reads from the store at a time.
PIECE = 2000
#: The most rows of one answer. A download has all.
MOST_ROWS = 500

Name = Annotated[str, Field("", max_length=300)]


class Paged(Question):
    """A question that is answered a page at a time."""

    page: int = Field(1, ge=1, le=1_000_000, description="Which page of the rows.")
    rows: int = Field(ROWS, ge=1, le=MOST_ROWS, description="How many rows a page has.")

    @property
    def offset(self) -> int:
        """The rows before this page."""
        return (self.page - 1) * self.rows


class Nothing(Question):
    """No parameters."""


class Named(Question):
    """About one thing, by its name."""

    name: str = Field(
        min_length=1,
        max_length=300,
        description="Its name, as the lists have it.",
        examples=["pc1"],
        json_schema_extra={"pattern": "^[^\\u0000]*[^\\s\\u0000][^\\u0000]*$"},
    )


class Since(Question):
    """About the time from some days ago until now."""

    days: int = Field(30, ge=1, le=3650, description="How many days back.")

    def since(self, now: datetime) -> datetime:
        """When that was."""
        return now - timedelta(days=self.days)


def _begin_of(day: str) -> datetime:
    """When a day begins. Raises `ValueError`."""
    if _DAY.fullmatch(day):
        with suppress(ValueError, OverflowError):
            begins = datetime.fromisoformat(f"{day}T00:00:00+00:00")
            # The last one of all has no end.
            return begins + _DAY_LONG - _DAY_LONG
    raise ValueError(f"{day!r} is not a day; write it as 2026-06-01")


_DAY_LONG = timedelta(days=1)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
#: A time as people write it, or nothing.
_MOMENT: dict[str, Any] = {"json_schema_extra": {"format": "moment-or-age"}}


def exactly(text: object) -> object:
    """A flag exactly as JSON has it."""
    if isinstance(text, str) and text not in ("true", "false"):
        raise ValueError(f"{text!r} is neither true nor false")
    return text


def exact_moment(text: object) -> object:
    """A time with its zone, as RFC 3339 has it, that is one in UTC as well."""
    if isinstance(text, str):
        if not _RFC_3339.fullmatch(text):
            raise ValueError(f"{text!r} is not a time; write it as 2026-06-01T13:00:00Z")
        return parse_when(text, datetime(2026, 1, 1, tzinfo=UTC))
    return text


_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)

Flag = Annotated[bool, BeforeValidator(exactly)]
Moment = Annotated[datetime, BeforeValidator(exact_moment)]


#: Moments that differ more than any two times that are asked for.
_NOWS = (datetime(2026, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC))


class Between(Question):
    """About a time: from `since`, up to `until`, on one day."""

    day: str = Field(
        "",
        max_length=10,
        description="On this day (UTC).",
        examples=["2026-06-01"],
        json_schema_extra={"format": "day-or-nothing"},
    )

    since: str = Field("", max_length=40, description="From when on.", examples=["2026-06-01", "7d"], **_MOMENT)
    until: str = Field("", max_length=40, description="Up to when.", examples=["2026-06-30", "12h"], **_MOMENT)

    @field_validator("since", "until")
    @classmethod
    def _is_a_time(cls, text: str) -> str:
        if text:
            # Any `now` is good enough for checking.
            parse_when(text, datetime(2026, 1, 1, tzinfo=UTC))
        return text

    @field_validator("until")
    @classmethod
    def _is_later(cls, text: str, info: ValidationInfo) -> str:
        since = info.data.get("since", "")
        if text and since:
            # A date and "7d" can be compared only when it is asked; two dates, or two of the others, at any time.
            orders = [(parse_when(since, now), parse_when(text, now)) for now in _NOWS]
            if all(end <= begin for begin, end in orders):
                check_order(*orders[0])
        return text

    @field_validator("day")
    @classmethod
    def _is_a_day(cls, text: str) -> str:
        if text:
            _begin_of(text)
        return text

    def times(self, now: datetime) -> tuple[datetime | None, datetime | None]:
        """The two moments, each None if it is not given."""
        since = [parse_when(self.since, now)] if self.since else []
        until = [parse_when(self.until, now)] if self.until else []
        if self.day:
            begins = _begin_of(self.day)
            since.append(begins)
            until.append(begins + _DAY_LONG)
        return max(since, default=None), min(until, default=None)
