"""The table `hourly_activity`: the calls of each hour, by gateway, KMS host and product. It names no machine."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy.sql.elements import ColumnElement

from kmstwist.audit import schema
from kmstwist.audit.records import Record
from kmstwist.audit.sums.grouping import IN_THE_HOUR, the_hour_of
from kmstwist.audit.sums.table import Row, SummaryTable


def of(record: Record) -> Row:
    """What a record adds to its hour."""
    answer = record.phases.answer
    return {
        "hour": record.at // schema.HOUR_MS,
        "gateway": record.gateway,
        "upstream": record.upstream or "",
        # Earlier versions' sums have no id for gateways' calls.
        "product": record.product or (record.act_id if record.act_id and record.from_event else ""),
        "calls": 1,
        "successes": int(record.granted),
        "bytes_in": record.bytes_in,
        "bytes_out": record.bytes_out,
        "answer_ms": answer or 0.0,
        "answer_calls": int(answer is not None),
    }


def _standing(record: Record) -> tuple[ColumnElement[bool], dict[str, object]]:
    return IN_THE_HOUR, the_hour_of(record)


def about(_names: Collection[str]) -> None:
    """None: no row is about a machine."""


HOURLY_ACTIVITY = SummaryTable(
    schema.hourly_activity,
    of,
    standing=_standing,
    about=about,
    # Calls are those of peers that sent a KMS message.
    given=("version",),
    added=("calls", "successes", "bytes_in", "bytes_out", "answer_ms", "answer_calls"),
)
