"""From a query's parameters to the conditions on the tables, and what reports call applications and products."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from kmstwist.audit.asking.limits import Condition, like
from kmstwist.audit.asking.questions import column
from kmstwist.audit.plain.defaults import HOUR_MS
from kmstwist.audit.products.names import LAB_ONLY, Names
from kmstwist.audit.reports.model import Query, to_ms
from kmstwist.kms.catalogue import APPLICATION_NAMES
from kmstwist.networks import Network, lies_in, network_of
from kmstwist.problem import WrongValue

if TYPE_CHECKING:
    from kmstwist.audit.asking.questions import Reader

MACHINES, MACHINE_CMIDS = "machines", "machine_cmids"
FAILURES, ACTIVITY = "hourly_failures", "hourly_activity"
NOT_READABLE = "(not readable)"

_APPLICATIONS = {str(app): name for app, name in APPLICATION_NAMES.items()}


class QueryError(WrongValue):
    """A question that cannot be asked; the text says why."""


def on_machines(reader: Reader, query: Query) -> list[Condition]:
    """The conditions a query puts on the table of machines; its times are those of the last call."""
    found = seen_in(MACHINES, query)
    if query.machine is not None:
        found.append(like(MACHINES, "machine", query.machine))
    if query.product is not None:
        found.append(is_product(reader, MACHINES, query.product))
    if query.upstream is not None:
        found.append(like(MACHINES, "upstream", query.upstream))
    if query.network is not None:
        found.append(within(reader, MACHINES, query.network))
    return found


def seen_in(table: str, query: Query) -> list[Condition]:
    """The conditions that a query's times put on a table with a last call."""
    found = []
    if query.since is not None:
        found.append(Condition(table, "since", {"since": to_ms(query.since)}))
    if query.until is not None:
        found.append(Condition(table, "until", {"until": to_ms(query.until)}))
    return found


def is_product(reader: Reader, table: str, text: str) -> Condition:
    """The condition that a row is about a product, by its name (`*` stands for any text) or its activation id."""
    named = like(table, "product", text)
    ids = [text.lower(), *Names.stored(reader).like(text)]
    return Condition(table, named.name, {**named.values, "product_ids": ids})


def on_hours(table: str, query: Query) -> list[Condition]:
    """The conditions a query's times put on an hourly table: whole hours, the first and the last one included."""
    found = []
    if query.since is not None:
        found.append(Condition(table, "from hour", {"from_hour": to_ms(query.since) // HOUR_MS}))
    if query.until is not None:
        # The moment itself is excluded, so that a whole hour's end does not include the next hour.
        found.append(Condition(table, "to hour", {"to_hour": (to_ms(query.until) - 1) // HOUR_MS}))
    return found


def within(reader: Reader, table: str, network: str) -> Condition:
    """The condition that a row's network is in `network`.

    Raises QueryError if that is not a network, or only a part of one that the store has: it keeps the /24 or /64 of an
    address, so nobody can tell which rows of it lie in that part.
    """
    try:
        wanted = network_of(network)
    except WrongValue as error:
        raise QueryError.of(error) from None
    known = list(column(reader, f"networks of {table}"))
    if (around := next((each for each in known if _is_part(wanted, each)), None)) is not None:
        raise QueryError(
            f"'{network}' is smaller than the networks that reports count by",
            f"name {around}, or a machine by its address",
        )
    return Condition(table, "networks", {"networks": [each for each in known if _lies_in(each, wanted)]})


def _is_part(wanted: Network, stored: str) -> bool:
    network = _stored_network(stored)
    return network is not None and wanted != network and lies_in(wanted, network)


def _lies_in(stored: str, wanted: Network) -> bool:
    network = _stored_network(stored)
    return network is not None and lies_in(network, wanted)


@lru_cache(maxsize=65536)
def _stored_network(stored: str) -> Network | None:
    try:
        return network_of(stored)
    except WrongValue:
        # "unknown", or a hash.
        return None


def application_name(app: str, names: Names = LAB_ONLY) -> str:
    """The application of an id as stored: "Windows", "Office"; "" if it is unknown.

    An imported event has the product's id in its place, which has an application if the product has a name.
    """
    return _APPLICATIONS.get(app, "") or names.application(app)


def product_name(product: str | None, act_id: str | None, names: Names = LAB_ONLY) -> str:
    """What to call a product: its name, the site's own first, else its activation id, else that it is not readable."""
    return names.name_of(act_id) or product or act_id or NOT_READABLE
