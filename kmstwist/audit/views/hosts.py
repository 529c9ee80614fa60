"""The calls of each KMS host, from the audit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from kmstwist.audit import schema
from kmstwist.audit.reports.model import moment, to_ms
from kmstwist.audit.schema import HOUR_MS


@dataclass(frozen=True, slots=True)
class Asked:
    """The calls that a host got: `mean_ms` is the mean time to its answer in milliseconds."""

    granted: int
    refused: int
    mean_ms: float | None
    last: datetime


def asked(connection: Connection, since: datetime) -> dict[str, Asked]:
    """Each host's calls since then, in whole hours, by its name."""
    table = schema.hourly_activity
    statement = (
        select(
            table.c.upstream,
            func.sum(table.c.successes),
            func.sum(table.c.calls),
            func.sum(table.c.answer_ms),
            func.sum(table.c.answer_calls),
            func.max(table.c.hour),
        )
        .where(table.c.hour >= to_ms(since) // HOUR_MS, table.c.upstream != "")
        .group_by(table.c.upstream)
    )
    return {
        name: Asked(
            int(granted),
            int(calls - granted),
            # Whole microseconds, as in the activity report: the same from each database.
            round(float(ms) / int(timed), 3) if timed else None,
            moment(int(hour) * HOUR_MS),
        )
        for name, granted, calls, ms, timed, hour in connection.execute(statement)
    }


def machines_of(connection: Connection, host: str) -> int:
    """How many machines a host answered last."""
    table = schema.machines
    number = connection.scalar(select(func.count(table.c.machine.distinct())).where(table.c.upstream == host))
    return int(number or 0)
