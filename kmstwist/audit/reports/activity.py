"""How much was asked and granted: `activity` by hour, day, upstream or product."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from sqlalchemy import ColumnElement, Connection, func, or_, select

from kmstwist.audit import schema
from kmstwist.audit.products.names import Names
from kmstwist.audit.reports.filters import NOT_READABLE, on_hours, pattern, plain_order
from kmstwist.audit.reports.model import Bucket, Heading, Kind, Query, Report, ReportRow, moment


@dataclass(frozen=True, slots=True)
class ActivityRow(ReportRow):
    """The calls of one hour, day, upstream or product.

    `answer_ms` is the mean time to an answer, in milliseconds with three decimals. Calls that only a KMS host's events
    report have no such time, and no bytes.
    """

    bucket: Annotated[str, Heading("By", Kind.NAME)]
    calls: Annotated[int, Heading("Calls", Kind.NUMBER)]
    granted: Annotated[int, Heading("Granted", Kind.NUMBER)]
    failed: Annotated[int, Heading("Failed", Kind.NUMBER)]
    share: Annotated[float, Heading("Granted %", Kind.SHARE)]
    answer_ms: Annotated[float | None, Heading("Answer ms", Kind.NUMBER)]
    bytes_in: Annotated[int | None, Heading("Bytes in", Kind.NUMBER, spare=True)]
    bytes_out: Annotated[int | None, Heading("Bytes out", Kind.NUMBER, spare=True)]


def activity(connection: Connection, query: Query) -> Report[ActivityRow]:
    """The calls added up by `query.by`: the latest hour or day (UTC) first, the rest by the number of calls."""
    table = schema.hourly_activity
    bucket: ColumnElement[object]
    match query.by:
        case Bucket.HOUR:
            bucket = table.c.hour
        case Bucket.DAY:
            bucket = table.c.hour - table.c.hour % 24
        case Bucket.UPSTREAM:
            bucket = table.c.upstream
        case Bucket.PRODUCT:
            # Calls that only events report are added up by the product's id.
            bucket = Names.stored(connection).column(connection, table.c.product, table.c.product)
    timely = query.by in (Bucket.HOUR, Bucket.DAY)
    conditions = on_hours(table, query)
    if query.upstream is not None:
        conditions.append(pattern(table.c.upstream, query.upstream))
    if query.product is not None:
        ids = [query.product.lower(), *Names.stored(connection).like(query.product)]
        conditions.append(or_(pattern(table.c.product, query.product), table.c.product.in_(ids)))
    calls = func.sum(table.c.calls)
    statement = (
        select(
            bucket.label("bucket"),
            calls.label("calls"),
            func.sum(table.c.successes).label("granted"),
            func.sum(table.c.answer_ms).label("answer_ms"),
            func.sum(table.c.answer_calls).label("answer_calls"),
            func.sum(table.c.bytes_in).label("bytes_in"),
            func.sum(table.c.bytes_out).label("bytes_out"),
            # A KMS host's events do not contain byte counts.
            func.max(table.c.gateway).label("gateway"),
        )
        .where(*conditions)
        .group_by("bucket")
        .order_by(*((bucket.desc(),) if timely else (calls.desc(), plain_order(bucket))))
    )
    rows = [
        ActivityRow(
            bucket=_label(query.by, row.bucket),
            calls=int(row.calls),
            granted=int(row.granted),
            failed=int(row.calls - row.granted),
            share=int(row.granted) / int(row.calls),
            # The last bits of a sum depend on the order in which a database adds; whole microseconds do not.
            answer_ms=round(float(row.answer_ms) / int(row.answer_calls), 3) if row.answer_calls else None,
            bytes_in=int(row.bytes_in) if row.gateway else None,
            bytes_out=int(row.bytes_out) if row.gateway else None,
        )
        for row in connection.execute(statement)
    ]
    return Report("activity", f"Activity by {query.by}", ActivityRow, rows)


def _label(by: Bucket, value: object) -> str:
    match by:
        case Bucket.HOUR | Bucket.DAY:
            when = moment(int(str(value)) * schema.HOUR_MS)
            return when.strftime("%Y-%m-%d %H:00" if by is Bucket.HOUR else "%Y-%m-%d")
        case Bucket.UPSTREAM:
            return str(value) or "(none)"
        case Bucket.PRODUCT:
            return str(value) or NOT_READABLE
