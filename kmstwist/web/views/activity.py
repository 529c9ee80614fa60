"""Activity: a calendar of a year, and calls by product, network, host or gateway."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from pydantic import Field

from kmstwist.audit.views.activity import By, DayRow, Range, ShareRow, StepRow, days, shares, steps
from kmstwist.web.view import Asking, Question, View
from kmstwist.web.views.parameters import Nothing

#: Weeks of the calendar.
WEEKS = 53
#: By network is counted from the records themselves: no more than some weeks of them.
NETWORK_DAYS = 31


class ActivityQuestion(Question):
    """What to add up by, and over how many days."""

    by: By = Field(By.PRODUCT, description="What to add up by.")
    days: int = Field(
        30, ge=1, le=3650, description=f"How many days back; by network {NETWORK_DAYS}, if more are asked for."
    )
    range: Range = Field(Range.WEEK, description="How far back the chart goes.")

    @property
    def days_counted(self) -> int:
        """How many days back it goes: by network, calls are counted one by one."""
        return min(self.days, NETWORK_DAYS) if self.by is By.NETWORK else self.days


@dataclass(frozen=True, slots=True)
class Activity:
    """The calendar (a year of days up to today), the chart's steps, and the calls by what was asked.

    `days` is how many days back those go.
    """

    by: By
    days: int
    range: Range
    calendar: Sequence[DayRow]
    chart: Sequence[StepRow]
    rows: Sequence[ShareRow]


def activity(asking: Asking, question: ActivityQuestion) -> Activity:
    """All three."""
    counted = question.days_counted
    key = f"shares {question.by} {counted}"
    since = asking.now - timedelta(days=counted)
    chart = asking.kept.get(f"steps {question.range}", lambda: steps(asking.connection, question.range, asking.now))
    return Activity(
        question.by,
        counted,
        question.range,
        _calendar(asking),
        chart,
        asking.kept.get(key, lambda: shares(asking.connection, question.by, since, asking.now)),
    )


def _calendar(asking: Asking) -> list[DayRow]:
    today = asking.now.date()
    monday = today - timedelta(days=today.weekday() + 7 * (WEEKS - 1))
    return asking.kept.get("calendar", lambda: days(asking.connection, monday, today))


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
