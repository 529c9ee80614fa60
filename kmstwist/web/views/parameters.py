"""Parameters that several views have."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import Field, field_validator

from kmstwist.audit.reports.times import parse_when
from kmstwist.web.view import Question

#: Rows of a page, where nothing else is asked for.
ROWS = 50
#: The most rows of one answer. A download has all.
MOST_ROWS = 500

Name = Annotated[str, Field("", max_length=300)]
Days = Annotated[int, Field(ge=1, le=3650)]


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

    name: str = Field(min_length=1, max_length=300, description="Its name, as the lists have it.", examples=["pc1"])


class Since(Question):
    """About the time from some days ago until now."""

    days: int = Field(30, ge=1, le=3650, description="How many days back.")

    def since(self, now: datetime) -> datetime:
        """When that was."""
        return now - timedelta(days=self.days)


class Between(Question):
    """About a time: from `since`, up to `until`."""

    since: str = Field("", max_length=40, description="From when on.", examples=["2026-06-01", "7d"])
    until: str = Field("", max_length=40, description="Up to when.", examples=["2026-06-30", "12h"])

    @field_validator("since", "until")
    @classmethod
    def _is_a_time(cls, text: str) -> str:
        if text:
            # Any time will do here: whether it can be read does not depend on it.
            parse_when(text, datetime(2026, 1, 1, tzinfo=UTC))
        return text

    def times(self, now: datetime) -> tuple[datetime | None, datetime | None]:
        """The two moments, None where nothing is said."""
        return (
            parse_when(self.since, now) if self.since else None,
            parse_when(self.until, now) if self.until else None,
        )
