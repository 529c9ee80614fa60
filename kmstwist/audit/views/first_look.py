"""What somebody who looks at the reports for the first time must be told, a line each."""

from __future__ import annotations

import json
from collections.abc import Iterator

from sqlalchemy import Connection, func, select

from kmstwist.audit import schema
from kmstwist.audit.privacy import Keep
from kmstwist.audit.products.names import Names, unnamed_ids
from kmstwist.audit.store import PRIVACY, read_fact


def first_look(connection: Connection) -> Iterator[str]:
    """What the store has no names for, and the cure: machines whose requests could not be read, and products."""
    if _keeps_names(connection) and (number := _unnamed_machines(connection)):
        they = "1 address has" if number == 1 else f"{number} addresses have"
        yield (
            f"{they} no name, because V5 and V6 requests show none: import the KMS host's events "
            "(kmstwist events import; docs/windows-events.md)"
        )
    if number := unnamed_ids(connection, Names.stored(connection)):
        they = "1 product has" if number == 1 else f"{number} products have"
        yield (
            f"{they} no name: on one of their machines, save what slmgr.vbs /dlv all prints (Office: ospp.vbs "
            "/dstatusall), and: kmstwist products import FILE"
        )


def _keeps_names(connection: Connection) -> bool:
    noted = read_fact(connection, PRIVACY)
    return noted is None or json.loads(noted)["policy"].get("machine") != Keep.DROP


def _unnamed_machines(connection: Connection) -> int:
    table = schema.machines
    return connection.scalar(select(func.count(table.c.machine.distinct())).where(table.c.named == 0)) or 0
