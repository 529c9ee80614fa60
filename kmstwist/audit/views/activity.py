"""How much was asked, granted and refused: hour by hour for charts, day by day for a calendar, and by what."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

from sqlalchemy import ColumnElement, Connection, Table, case, func, select

from kmstwist.audit import schema
from kmstwist.audit.asking.expressions import named_column
from kmstwist.audit.asking.questions import column
from kmstwist.audit.products.names import Names
from kmstwist.audit.records import first_id_at
from kmstwist.audit.reports.filters import NOT_READABLE
from kmstwist.audit.reports.model import Heading, Kind, ReportRow, maybe_moment, moment, to_ms
from kmstwist.audit.schema import HOUR_MS
from kmstwist.audit.sums.networks import network_of


class Range(StrEnum):
    """How far back a chart goes."""

    DAY = "day"
    WEEK = "week"
    QUARTER = "90days"


class By(StrEnum):
    """The ways in which calls are added up."""

    PRODUCT = "product"
    NETWORK = "network"
    HOST = "host"
    GATEWAY = "gateway"


#: For each range: the hours it goes back, and the hours of each step.
RANGES = {Range.DAY: (24, 1), Range.WEEK: (7 * 24, 1), Range.QUARTER: (90 * 24, 24)}


@dataclass(frozen=True, slots=True)
class StepRow(ReportRow):
    """The calls of one step of a chart, which begins at `at`."""

    at: Annotated[datetime, Heading("From", Kind.TIME)]
    granted: Annotated[int, Heading("Activations", Kind.NUMBER)]
    refused: Annotated[int, Heading("Refusals", Kind.NUMBER)]


@dataclass(frozen=True, slots=True)
class DayRow(ReportRow):
    """The calls of one day (UTC)."""

    day: Annotated[date, Heading("Day", Kind.DATE)]
    granted: Annotated[int, Heading("Activations", Kind.NUMBER)]
    refused: Annotated[int, Heading("Refusals", Kind.NUMBER)]

    @property
    def month(self) -> str:
        """Its month, as 2026-01."""
        return f"{self.day:%Y-%m}"

    @property
    def week(self) -> date:
        """The Monday of its week."""
        return self.day - timedelta(days=self.day.weekday())


@dataclass(frozen=True, slots=True)
class ShareRow(ReportRow):
    """The calls of one product, network, host or gateway; `share` is its part of all activations."""

    name: Annotated[str, Heading("Name", Kind.NAME)]
    granted: Annotated[int, Heading("Activations", Kind.NUMBER)]
    refused: Annotated[int, Heading("Refusals", Kind.NUMBER)]
    share: Annotated[float, Heading("Share", Kind.SHARE)]
    last: Annotated[datetime | None, Heading("Last call in the hour from", Kind.TIME)]


def steps(connection: Connection, span: Range, now: datetime) -> list[StepRow]:
    """Each step of the range, including those without a call; the last one is not over yet."""
    back, width = RANGES[span]
    this = to_ms(now) // HOUR_MS
    last = this - this % width
    first = last - back + width
    granted = _by_hour(connection, first, width, schema.hourly_activity, schema.hourly_activity.c.successes)
    refused = _by_hour(connection, first, width, schema.hourly_failures, schema.hourly_failures.c.calls)
    return [StepRow(moment(hour * HOUR_MS), granted[hour], refused[hour]) for hour in range(first, last + width, width)]


def _by_hour(connection: Connection, first: int, width: int, table: Table, number: ColumnElement[int]) -> Counter[int]:
    step = table.c.hour - table.c.hour % width
    statement = select(step.label("step"), func.sum(number)).where(table.c.hour >= first).group_by(step)
    return Counter({int(hour): int(total) for hour, total in connection.execute(statement)})


def days(connection: Connection, first: date, last: date) -> list[DayRow]:
    """Each day from the first to the last one, both included."""
    begins = _hour_of(first)
    granted = _by_hour(connection, begins, 24, schema.hourly_activity, schema.hourly_activity.c.successes)
    refused = _by_hour(connection, begins, 24, schema.hourly_failures, schema.hourly_failures.c.calls)
    number = (last - first).days + 1
    every = [(first + timedelta(days=at), begins + 24 * at) for at in range(number)]
    return [DayRow(day, granted[hour], refused[hour]) for day, hour in every]


def _hour_of(day: date) -> int:
    return to_ms(datetime(day.year, day.month, day.day, tzinfo=UTC)) // HOUR_MS


def shares(connection: Connection, by: By, since: datetime, until: datetime) -> list[ShareRow]:
    """The calls of a time by product, network, host or gateway, the most activations first; whole hours."""
    match by:
        case By.NETWORK:
            numbers = _networks(connection, since, until)
        case By.PRODUCT | By.HOST | By.GATEWAY:
            numbers = _activity(connection, by, since, until)
    total = sum(granted for granted, _, _ in numbers.values())
    rows = [
        ShareRow(name, granted, refused, granted / total if total else 0.0, maybe_moment(last))
        for name, (granted, refused, last) in numbers.items()
    ]
    return sorted(rows, key=lambda row: (-row.granted, -row.refused, row.name))


_Numbers = dict[str, tuple[int, int, int | None]]


def _activity(connection: Connection, by: By, since: datetime, until: datetime) -> _Numbers:
    table = schema.hourly_activity
    key: ColumnElement[Any] = {By.HOST: table.c.upstream, By.GATEWAY: table.c.gateway}.get(by, table.c.product)
    if by is By.PRODUCT:
        called = Names.stored(connection).called(column(connection, "products of activity"))
        key = named_column(called, table.c.product, table.c.product)
    unknown = NOT_READABLE if by is By.PRODUCT else "(none)"
    statement = (
        select(
            key.label("key"),
            func.sum(table.c.successes),
            func.sum(table.c.calls - table.c.successes),
            func.max(table.c.hour),
        )
        .where(table.c.hour >= to_ms(since) // HOUR_MS, table.c.hour <= (to_ms(until) - 1) // HOUR_MS)
        .group_by("key")
    )
    return {
        name or unknown: (int(granted), int(failed), hour * HOUR_MS)
        for name, granted, failed, hour in connection.execute(statement)
    }


def _networks(connection: Connection, since: datetime, until: datetime) -> _Numbers:
    # There are no sums by network: the records of a few weeks are counted.
    table = schema.records
    granted = case(
        ((table.c.hresult == 0) & func.coalesce(table.c["count"] >= table.c.required_count, True), 1), else_=0
    )
    statement = (
        select(table.c.client, func.sum(granted), func.count(), func.max(table.c.at))
        .where(table.c.record_id >= first_id_at(to_ms(since)), table.c.record_id < first_id_at(to_ms(until)))
        .group_by(table.c.client)
    )
    found: dict[str, list[Any]] = defaultdict(lambda: [0, 0, None])
    for client, good, calls, last in connection.execute(statement):
        entry = found[network_of(client)]
        entry[0] += int(good)
        entry[1] += int(calls - good)
        entry[2] = last if entry[2] is None else max(entry[2], last)
    return {name: (good, bad, last) for name, (good, bad, last) in found.items()}
