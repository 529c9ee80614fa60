"""The site's totals, for metrics and notifications: few statements with few rows each.

The database adds up: a hundred thousand machines become some dozens of rows. Labels are bounded: applications and
thresholds are those of the catalogue, and only the latest pairs of a KMS host and a product are included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Column, ColumnElement, Connection, and_, case, func, select

from kmstwist.audit import schema
from kmstwist.audit.asking.expressions import plain_order
from kmstwist.audit.reports.count import WINDOWS_CLIENTS_NEED
from kmstwist.audit.reports.machines import SILENT_DAYS
from kmstwist.audit.reports.model import ACTIVATION_LASTS, DAY_MS, HOST_REMEMBERS, RENEWAL_EVERY, to_ms
from kmstwist.audit.schema import HOUR_MS
from kmstwist.kms.catalogue import APPLICATION_NAMES, products

#: The application of a client whose request could not be read, and which no imported event names.
UNKNOWN = "unknown"
#: The states of a client; each is in one.
ACTIVATED, EXPIRING, EXPIRED, NEVER = "activated", "expiring", "expired", "never"
STATES = (ACTIVATED, EXPIRING, EXPIRED, NEVER)
#: Within how many days a client's activation must end for it to be counted as expiring.
WITHIN = (7, 30)
#: The most pairs of a KMS host and a product that are included, the latest success first.
SUCCESSES = 500


@dataclass(frozen=True, slots=True)
class Clients:
    """One application's clients; a client is a machine's activation of one product.

    `states` counts all of them. A client is expiring if its activation ends within 30 days, unless it is renewed;
    `expiring` counts those by days. `silent` ones made no call for 14 days.
    """

    application: str
    states: Mapping[str, int]
    expiring: Mapping[int, int]
    silent: int


@dataclass(frozen=True, slots=True)
class Count:
    """The count that a KMS host would have for clients of an application that need `needed`.

    `least` counts the distinct clients of 30 days that are known to be of the application, `most` adds all whose
    application is not known. `later` is what `most` will be in 30 days without new clients.
    """

    application: str
    needed: int
    least: int
    most: int
    later: int


@dataclass(frozen=True, slots=True)
class Success:
    """The last hour in which a host activated a client of a product, by its start in seconds since 1970.

    `host` is "" for a lab, which is its own; `product` is "" where it could not be read.
    """

    host: str
    product: str
    at: int


@dataclass(frozen=True, slots=True)
class Totals:
    """All totals, as of `at` (seconds since 1970)."""

    at: float
    clients: Sequence[Clients] = ()
    counts: Sequence[Count] = ()
    successes: Sequence[Success] = ()


def totals(connection: Connection, now: datetime) -> Totals:
    """Count everything."""
    return Totals(now.timestamp(), _clients(connection, now), counts(connection, now), _successes(connection, now))


def _named(app: Column[str], *more: tuple[ColumnElement[bool], str]) -> ColumnElement[str]:
    """The name of an application by its id."""
    return case(*((app == str(known), name) for known, name in APPLICATION_NAMES.items()), *more, else_=UNKNOWN)


def _clients(connection: Connection, now: datetime) -> list[Clients]:
    table = schema.machines
    lapsed = to_ms(now - ACTIVATION_LASTS)
    success = table.c.last_success
    application = _named(table.c.app).label("application")
    most = lapsed + max(WITHIN) * DAY_MS
    conditions: dict[str | int, ColumnElement[bool]] = {
        ACTIVATED: success > most,
        EXPIRING: and_(success >= lapsed, success <= most),
        EXPIRED: success < lapsed,
        NEVER: success.is_(None),
        **{days: and_(success >= lapsed, success <= lapsed + days * DAY_MS) for days in WITHIN},
        "silent": table.c.last_seen < to_ms(now) - SILENT_DAYS * DAY_MS,
    }
    numbers = [func.count().filter(condition) for condition in conditions.values()]
    statement = select(application, *numbers).group_by(application)
    found = []
    # Sorted here: databases sort text by their locale.
    for name, *row in sorted(map(tuple, connection.execute(statement))):
        told = dict(zip(conditions, map(int, row), strict=True))
        found.append(
            Clients(
                name,
                {state: told[state] for state in STATES},
                {days: told[days] for days in WITHIN},
                told["silent"],
            )
        )
    return found


def counts(connection: Connection, now: datetime) -> list[Count]:
    """The counts of every application whose clients say what they need, the largest need first."""
    table, machines = schema.machine_cmids, schema.machines
    horizon, until, renewing = to_ms(now - HOST_REMEMBERS), to_ms(now), to_ms(now - 2 * RENEWAL_EVERY)
    # Only a Windows client needs that many, so this holds even if an imported event does not name the application.
    application = _named(table.c.app, (table.c.required_count == WINDOWS_CLIENTS_NEED, "Windows")).label("application")
    seen = (table.c.last_answered > horizon) & (table.c.last_answered <= until)
    # Clients that renew are still there in 30 days; a host forgets the others by then.
    numbers = (
        func.count(table.c.cmid.distinct()),
        func.count(table.c.cmid.distinct()).filter(table.c.last_answered >= renewing),
    )
    of_application = {
        name: (int(here), int(later))
        for name, here, later in connection.execute(select(application, *numbers).where(seen).group_by(application))
    }
    opaque = select(
        func.count(machines.c.machine.distinct()),
        func.count(machines.c.machine.distinct()).filter(machines.c.last_answered >= renewing),
    ).where(machines.c.cmid.is_(None), machines.c.last_answered > horizon, machines.c.last_answered <= until)
    perhaps, perhaps_later = map(int, connection.execute(opaque).one())
    unread, unread_later = of_application.pop(UNKNOWN, (0, 0))
    perhaps, perhaps_later = perhaps + unread, perhaps_later + unread_later
    # A client may claim any need: numbers that no product needs are left out.
    thresholds = {product.threshold for product in products()}
    classes = select(application, table.c.required_count).where(seen, table.c.required_count.in_(thresholds)).distinct()
    return [
        Count(name, needed, here, here + perhaps, later + perhaps_later)
        for name, needed in sorted(map(tuple, connection.execute(classes)), key=lambda each: (-each[1], each[0]))
        for here, later in (of_application.get(name, (0, 0)),)
        if name != UNKNOWN
    ]


def _successes(connection: Connection, now: datetime) -> list[Success]:
    table = schema.hourly_activity
    last = func.max(table.c.hour)
    statement = (
        select(table.c.upstream, table.c.product, last)
        .where(table.c.successes > 0, table.c.hour >= to_ms(now - ACTIVATION_LASTS) // HOUR_MS)
        .group_by(table.c.upstream, table.c.product)
        .order_by(last.desc(), plain_order(table.c.upstream), plain_order(table.c.product))
        .limit(SUCCESSES)
    )
    return [
        Success(host, product, int(hour) * HOUR_MS // 1000) for host, product, hour in connection.execute(statement)
    ]
