"""The conditions that limit a report's rows, by the table that they are on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Table, or_
from sqlalchemy.sql.operators import and_

from kmstwist.audit import schema
from kmstwist.audit.asking.expressions import Parameters, fits
from kmstwist.audit.asking.limits import FOLDED, Condition, parameter

_Made = Callable[[Table, Parameters], ColumnElement[bool]]


def _text(name: str, *columns: str) -> dict[str, _Made]:
    """The condition that one of the columns matches a pattern, and the same for letters besides A to Z."""

    def made(folded: bool) -> _Made:
        return lambda table, p: or_(*(fits(table.c[each], p(parameter(name)), folded=folded) for each in columns))

    return {name: made(False), name + FOLDED: made(True)}


def _product(ids: str) -> dict[str, _Made]:
    """The condition that a row is about a product, by its name or by its id in the column `ids`."""

    def made(folded: bool) -> _Made:
        return lambda table, p: or_(
            fits(table.c.product, p("product"), folded=folded), table.c[ids].in_(p.several("product_ids"))
        )

    return {"product": made(False), "product" + FOLDED: made(True)}


_SEEN: dict[str, _Made] = {
    "since": lambda table, p: table.c.last_seen >= p("since"),
    "until": lambda table, p: table.c.last_seen < p("until"),
}
_HOURS: dict[str, _Made] = {
    "from hour": lambda table, p: table.c.hour >= p("from_hour"),
    "to hour": lambda table, p: table.c.hour <= p("to_hour"),
}
_NETWORKS: dict[str, _Made] = {"networks": lambda table, p: table.c.network.in_(p.several("networks"))}

CONDITIONS: Mapping[str, Mapping[str, _Made]] = {
    schema.machines.name: {
        **_SEEN,
        **_text("machine", "machine", "address"),
        **_product("act_id"),
        **_text("upstream", "upstream"),
        **_NETWORKS,
        **_text("name", "machine"),
        **_text("product name", "product"),
        "network": lambda table, p: table.c.network == p("network"),
        "silent": lambda table, p: table.c.last_seen < p("silent"),
        "success from": lambda table, p: table.c.last_success >= p("success_from"),
        "success to": lambda table, p: table.c.last_success <= p("success_to"),
    },
    schema.machine_cmids.name: {**_SEEN, **_text("machine", "machine", "address")},
    schema.hourly_failures.name: {
        **_HOURS,
        **_text("machine", "machine", "client"),
        **_text("upstream", "upstream"),
        **_NETWORKS,
    },
    schema.hourly_activity.name: {**_HOURS, **_text("upstream", "upstream"), **_product("product")},
    schema.records.name: {**_product("act_id")},
}


def element(condition: Condition) -> ColumnElement[bool]:
    """A condition with its values."""
    made = CONDITIONS[condition.table][condition.name]
    return made(schema.metadata.tables[condition.table], Parameters(condition.values))


def written(table: str, name: str) -> ColumnElement[Any]:
    """A condition with the names of its parameters, as it stands among others."""
    return CONDITIONS[table][name](schema.metadata.tables[table], Parameters()).self_group(and_)
