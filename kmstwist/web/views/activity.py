"""Activity: a calendar of a year, and calls by product, network, host or gateway."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from pydantic import Field

from kmstwist.audit.views.activity import By, DayRow, Range, ShareRow, StepRow, days, shares, steps
from kmstwist.web.view import Asking, Question, View
from kmstwist.web.views.parameters import MOST_ROWS, Nothing

#: Rows of a page: fewer than elsewhere, since the page also has a calendar.
SHOWN = 20
#: Weeks of the calendar.
WEEKS = 53
#: Counts by network come from the records themselves, so at most some weeks are counted.
NETWORK_DAYS = 31


class ActivityQuestion(Question):
    """What to add up by, over how many days, and which page of it."""

    by: By = Field(By.PRODUCT, description="What to add up by.")
    days: int = Field(30, ge=1, le=3650, description=f"How many days back; by network at most {NETWORK_DAYS}.")
    range: Range = Field(Range.WEEK, description="How far back the chart goes.")
    page: int = Field(1, ge=1, le=1_000_000, description="Which page of the rows.")
    rows: int = Field(SHOWN, ge=1, le=MOST_ROWS, description="How many rows a page has.")

    @property
    def days_counted(self) -> int:
        """How many days back it goes: by network, calls are counted one by one."""
        return min(self.days, NETWORK_DAYS) if self.by is By.NETWORK else self.days


@dataclass(frozen=True, slots=True)
class Activity:
    """The calendar (a year of days up to today), the chart's steps, and a page of the calls by what was asked.

    `days` is how many days back those go, `total` how many rows there are in all.
    """

    by: By
    days: int
    range: Range
    calendar: Sequence[DayRow]
    chart: Sequence[StepRow]
    total: int
    page: int
    pages: int
    rows: Sequence[ShareRow]


def activity(asking: Asking, question: ActivityQuestion) -> Activity:
    """All three."""
    chart = asking.keep(f"steps {question.range}", lambda asking: steps(asking.connection, question.range, asking.now))
    rows = _shares(asking, question)
    begins = (question.page - 1) * question.rows
    return Activity(
        question.by,
        question.days_counted,
        question.range,
        _calendar(asking),
        chart,
        len(rows),
        question.page,
        max(1, -(-len(rows) // question.rows)),
        rows[begins : begins + question.rows],
    )


def _shares(asking: Asking, question: ActivityQuestion) -> list[ShareRow]:
    counted = question.days_counted

    def work(asking: Asking) -> list[ShareRow]:
        since = asking.now - timedelta(days=counted)
        return shares(asking.connection, question.by, since, asking.now)

    return asking.keep(f"shares {question.by} {counted}", work)


def _calendar(asking: Asking) -> list[DayRow]:
    def work(asking: Asking) -> list[DayRow]:
        today = asking.now.date()
        monday = today - timedelta(days=today.weekday() + 7 * (WEEKS - 1))
        return days(asking.connection, monday, today)

    return asking.keep("calendar", work)


@dataclass(frozen=True, slots=True)
class Calendar:
    """Each day of a year."""

    begins: date
    rows: Sequence[DayRow]


def _whole_calendar(asking: Asking, question: Nothing) -> Calendar:
    rows = _calendar(asking)
    return Calendar(rows[0].day, rows)


VIEWS = (
    View(
        "activity",
        "Activity",
        "How much was asked and granted: a calendar of a year, and by product, network, host or gateway.",
        ActivityQuestion,
        Activity,
        activity,
        template="activity.html",
        row_type=ShareRow,
        rows=lambda answer: answer.rows,
        pieces=lambda asking, question, after: (_shares(asking, question), ()),
        slow=True,
    ),
    View(
        "calendar",
        "Calendar",
        "Activations and refusals of each day (UTC) of a year.",
        Nothing,
        Calendar,
        _whole_calendar,
        row_type=DayRow,
        rows=lambda answer: answer.rows,
        slow=True,
    ),
)
