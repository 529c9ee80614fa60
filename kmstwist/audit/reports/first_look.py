"""What somebody who looks at the reports for the first time must be told, in one line."""

from __future__ import annotations

import json

from sqlalchemy import Connection, func, select

from kmstwist.audit import schema
from kmstwist.audit.privacy import Keep
from kmstwist.audit.store import PRIVACY, read_fact


def first_look(connection: Connection) -> str:
    """How many machines have no name because their requests could not be read, and the cure; "" where none has.

    Also "" where names are not kept at all.
    """
    noted = read_fact(connection, PRIVACY)
    if noted is not None and json.loads(noted)["policy"].get("machine") == Keep.DROP:
        return ""
    table = schema.machines
    number = connection.scalar(select(func.count(table.c.machine.distinct())).where(table.c.named == 0))
    if not number:
        return ""
    they = "1 address has" if number == 1 else f"{number} addresses have"
    return (
        f"{they} no name, because V5 and V6 requests show none: import the KMS host's events "
        "(kmstwist events import; docs/windows-events.md)"
    )
