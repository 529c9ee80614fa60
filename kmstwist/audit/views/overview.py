"""The counts on the site's first page: numbers that need attention, each with a link to a list."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from kmstwist.audit import schema
from kmstwist.audit.reports.model import DAY_MS, to_ms
from kmstwist.audit.schema import HOUR_MS
from kmstwist.audit.views.machines import State, state_condition


@dataclass(frozen=True, slots=True)
class Numbers:
    """How many of each. `machines` counts machines; the rest are rows of the list of machines, a product each."""

    machines: int
    products: int
    expiring: int
    expired: int
    never: int
    silent: int
    unnamed: int
    shared_cmids: int
    strangers: int


@dataclass(frozen=True, slots=True)
class Today:
    """The calls of the last 24 whole hours and the one that runs."""

    granted: int
    refused: int


def numbers(connection: Connection, now: datetime) -> Numbers:
    """All the numbers, in two passes over the tables."""
    table, cmids = schema.machines, schema.machine_cmids
    states = (State.EXPIRING, State.EXPIRED, State.NEVER, State.SILENT, State.UNNAMED)
    conditions = [state_condition(state, now) for state in states]
    row = connection.execute(
        select(
            func.count(table.c.machine.distinct()),
            func.count(),
            *(func.count().filter(condition) for condition in conditions if condition is not None),
        )
    ).one()
    machines, products, expiring, expired, never, silent, unnamed = map(int, row)
    shared = select(cmids.c.cmid).group_by(cmids.c.cmid).having(func.min(cmids.c.machine) < func.max(cmids.c.machine))
    there = select(func.count()).select_from(schema.strangers).where(schema.strangers.c.gone.is_(None))
    return Numbers(
        machines=machines,
        products=products,
        expiring=expiring,
        expired=expired,
        never=never,
        silent=silent,
        unnamed=unnamed,
        shared_cmids=int(connection.scalar(select(func.count()).select_from(shared.subquery())) or 0),
        strangers=int(connection.scalar(there) or 0),
    )


def today(connection: Connection, now: datetime) -> Today:
    """How much was granted and refused in a day."""
    since = (to_ms(now) - DAY_MS) // HOUR_MS + 1
    activity, failures = schema.hourly_activity, schema.hourly_failures
    granted = connection.scalar(select(func.sum(activity.c.successes)).where(activity.c.hour >= since))
    refused = connection.scalar(select(func.sum(failures.c.calls)).where(failures.c.hour >= since))
    return Today(int(granted or 0), int(refused or 0))
