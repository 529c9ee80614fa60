"""How much was asked and granted: `activity` by hour, day, upstream or product."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from kmstwist.audit.asking.limits import like
from kmstwist.audit.asking.questions import ask, column
from kmstwist.audit.plain.defaults import HOUR_MS
from kmstwist.audit.products.names import Names
from kmstwist.audit.reports.filters import ACTIVITY, NOT_READABLE, is_product, on_hours
from kmstwist.audit.reports.model import Bucket, Heading, Kind, Query, Report, ReportRow, moment

if TYPE_CHECKING:
    from kmstwist.audit.asking.questions import Reader


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


def activity(reader: Reader, query: Query) -> Report[ActivityRow]:
    """The calls added up by `query.by`: the latest hour or day (UTC) first, the rest by the number of calls."""
    conditions = on_hours(ACTIVITY, query)
    if query.upstream is not None:
        conditions.append(like(ACTIVITY, "upstream", query.upstream))
    if query.product is not None:
        conditions.append(is_product(reader, ACTIVITY, query.product))
    names = {}
    if query.by is Bucket.PRODUCT:
        # Calls that only events report are added up by the product's id.
        names["called"] = Names.stored(reader).called(column(reader, "products of activity"))
    rows = [
        ActivityRow(
            bucket=_label(query.by, bucket),
            calls=int(calls),
            granted=int(granted),
            failed=int(calls - granted),
            share=int(granted) / int(calls),
            # The last bits of a sum depend on the order in which a database adds; whole microseconds do not.
            answer_ms=round(float(answer_ms) / int(answered), 3) if answered else None,
            bytes_in=int(bytes_in) if gateway else None,
            bytes_out=int(bytes_out) if gateway else None,
        )
        for bucket, calls, granted, answer_ms, answered, bytes_in, bytes_out, gateway in ask(
            reader, f"activity by {query.by}", conditions, **names
        )
    ]
    return Report("activity", f"Activity by {query.by}", ActivityRow, rows)


def _label(by: Bucket, value: object) -> str:
    match by:
        case Bucket.HOUR | Bucket.DAY:
            when = moment(int(str(value)) * HOUR_MS)
            return when.strftime("%Y-%m-%d %H:00" if by is Bucket.HOUR else "%Y-%m-%d")
        case Bucket.UPSTREAM:
            return str(value) or "(none)"
        case Bucket.PRODUCT:
            return str(value) or NOT_READABLE
