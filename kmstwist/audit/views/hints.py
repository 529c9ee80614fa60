"""Hints beside a report: what keeps it from saying more, and the cure; one line for each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from kmstwist.audit.asking.questions import read_fact, value
from kmstwist.audit.privacy import PRIVACY, Keep
from kmstwist.audit.products.names import Names, unnamed_ids

if TYPE_CHECKING:
    from kmstwist.audit.asking.questions import Reader

# The reports that need a gateway's records.
OF_GATEWAYS = frozenset({"networks", "refused", "strangers"})


def reading_hints(reader: Reader, report: str = "", *, of_a_network: bool = False) -> Iterator[str]:
    """Which machines and products have no names in the store, with the cure.

    For a `report` that needs a gateway's records, or one `of_a_network`, also that there are none; for one that this
    store cannot answer, why not.
    """
    if (report in OF_GATEWAYS or of_a_network) and _hosts_alone(reader):
        what = "for a report of one network" if of_a_network else f"for {report}"
        yield (
            f"no gateway has written to this store, and the events of KMS hosts have no data {what} "
            "(docs/first-gateway.md)"
        )
    if report == "strangers" and value(reader, "a stranger") is None:
        yield "strangers are looked for only in the domains that [dns.watch] names (docs/dns.md)"
    if report == "duplicates" and not _keeps(reader, "cmid"):
        yield "this store keeps no CMIDs (cmid in [audit.privacy]), so shared or changed ones cannot be found"
    if _keeps(reader, "machine") and (number := _unnamed_machines(reader)):
        they = "1 address has" if number == 1 else f"{number} addresses have"
        yield (
            f"{they} no name, because V5 and V6 requests show none: import the KMS host's events "
            "(kmstwist events import; docs/windows-events.md)"
        )
    if number := unnamed_ids(reader, Names.stored(reader)):
        they = "1 product has" if number == 1 else f"{number} products have"
        yield (
            f"{they} no name: on a machine that has it, save what slmgr.vbs /dlv all prints (Office: ospp.vbs "
            "/dstatusall), then run kmstwist products import FILE"
        )


def _hosts_alone(reader: Reader) -> bool:
    """Whether the store has calls, all of them from KMS hosts' events."""
    of_gateways = ("an hour of a gateway's calls", "an hour of a gateway's failures")
    any_call = value(reader, "an hour of calls") is not None
    return any_call and all(value(reader, each) is None for each in of_gateways)


def _keeps(reader: Reader, field: str) -> bool:
    """Whether the store's privacy policy keeps a field in any form."""
    noted = read_fact(reader, PRIVACY)
    return noted is None or json.loads(noted)["policy"].get(field) != Keep.DROP


def _unnamed_machines(reader: Reader) -> int:
    return int(value(reader, "number without a name"))
