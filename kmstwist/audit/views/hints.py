"""Hints beside a report: what keeps it from saying more, and the cure; one line for each."""

from __future__ import annotations

import json
from collections.abc import Iterator

from sqlalchemy import Connection, func, select

from kmstwist.audit import schema
from kmstwist.audit.privacy import Keep
from kmstwist.audit.products.names import Names, unnamed_ids
from kmstwist.audit.records import NO_GATEWAY
from kmstwist.audit.store import PRIVACY, read_fact

# The reports that need a gateway's records.
OF_GATEWAYS = frozenset({"networks", "refused", "strangers"})


def reading_hints(connection: Connection, report: str = "", *, of_a_network: bool = False) -> Iterator[str]:
    """Which machines and products have no names in the store, with the cure.

    For a `report` that needs a gateway's records, or one `of_a_network`, also that there are none; for one that this
    store cannot answer, why not.
    """
    if (report in OF_GATEWAYS or of_a_network) and _hosts_alone(connection):
        what = "for a report of one network" if of_a_network else f"for {report}"
        yield (
            f"no gateway has written to this store, and the events of KMS hosts have no data {what} "
            "(docs/first-gateway.md)"
        )
    if report == "strangers" and connection.scalar(select(schema.strangers.c.host).limit(1)) is None:
        yield "strangers are looked for only in the domains that [dns.watch] names (docs/dns.md)"
    if report == "duplicates" and not _keeps(connection, "cmid"):
        yield "this store keeps no CMIDs (cmid in [audit.privacy]), so shared or changed ones cannot be found"
    if _keeps(connection, "machine") and (number := _unnamed_machines(connection)):
        they = "1 address has" if number == 1 else f"{number} addresses have"
        yield (
            f"{they} no name, because V5 and V6 requests show none: import the KMS host's events "
            "(kmstwist events import; docs/windows-events.md)"
        )
    if number := unnamed_ids(connection, Names.stored(connection)):
        they = "1 product has" if number == 1 else f"{number} products have"
        yield (
            f"{they} no name: on a machine that has it, save what slmgr.vbs /dlv all prints (Office: ospp.vbs "
            "/dstatusall), then run kmstwist products import FILE"
        )


def _hosts_alone(connection: Connection) -> bool:
    """Whether the store has calls, all of them from KMS hosts' events."""
    activity, failures = schema.hourly_activity, schema.hourly_failures
    by_gateway = (
        select(activity.c.hour).where(activity.c.gateway != NO_GATEWAY).limit(1),
        # A refusal without a call has an address.
        select(failures.c.hour).where(failures.c.client != "").limit(1),
    )
    any_call = connection.scalar(select(activity.c.hour).limit(1)) is not None
    return any_call and all(connection.scalar(each) is None for each in by_gateway)


def _keeps(connection: Connection, field: str) -> bool:
    """Whether the store's privacy policy keeps a field in any form."""
    noted = read_fact(connection, PRIVACY)
    return noted is None or json.loads(noted)["policy"].get(field) != Keep.DROP


def _unnamed_machines(connection: Connection) -> int:
    table = schema.machines
    return connection.scalar(select(func.count(table.c.machine.distinct())).where(table.c.named == 0)) or 0
