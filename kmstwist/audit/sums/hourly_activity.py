"""The table `hourly_activity`: the calls of each hour, by gateway, KMS host and product. It names no machine."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy.sql.elements import ColumnElement

from kmstwist.audit import schema
from kmstwist.audit.records import Record
from kmstwist.audit.sums.grouping import IN_THE_HOUR, the_hour_of
from kmstwist.audit.sums.table import SummaryTable


def _standing(record: Record) -> tuple[ColumnElement[bool], dict[str, object]]:
    return IN_THE_HOUR, the_hour_of(record)


def about(_names: Collection[str]) -> None:
    """None: no row is about a machine."""


HOURLY_ACTIVITY = SummaryTable(
    schema.hourly_activity,
    {
        "hour": "hour",
        "gateway": "gateway",
        "upstream": "upstream_asked",
        "product": "product_asked",
        "calls": "calls",
        "successes": "granted",
        "bytes_in": "bytes_in",
        "bytes_out": "bytes_out",
        "answer_ms": "answer_ms",
        "answer_calls": "has_answer_ms",
    },
    standing=_standing,
    about=about,
    # Calls are those of peers that sent a KMS message.
    given=("version",),
    added=("calls", "successes", "bytes_in", "bytes_out", "answer_ms", "answer_calls"),
)
