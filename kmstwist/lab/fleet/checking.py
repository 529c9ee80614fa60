"""Finds all mistakes in a scenario document.

There are two kinds. The model checks the value of each key. References between parts (a site that does not exist, an
outage after the end) are checked here, on the document as it was read, so that mistakes of one kind never hide those of
the other. Parts of the wrong type are left to the model.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from kmstwist.kms.catalogue import Product, UnknownProduct, find
from kmstwist.problem import Problem
from kmstwist.validation import causes, problem_of

_OTHER_PLACES = {
    "host": ", in the upstreams of a gateway or as the host of a group",
    "gateway": " or as the host of a group",
}
_TABLES = ("host", "gateway", "site", "machines")


def structural_mistakes(error: ValidationError) -> list[Problem]:
    """The model's errors, in our words."""
    return [replace(_said(detail), where=_place(detail["loc"])) for detail in causes(error.errors())]


def cross_mistakes(document: dict[str, Any], max_machines: int) -> list[Problem]:
    """The mistakes that concern more than one key."""
    return list(_cross(document, max_machines))


def _cross(document: dict[str, Any], max_machines: int) -> Iterator[Problem]:
    hosts, gateways, sites = (_names(document, table) for table in ("host", "gateway", "site"))
    for table in _TABLES:
        yield from _repeated(document, table)
    for name in sorted(set(hosts) & set(gateways)):
        yield Problem(
            "a host has this name too, so clients could not tell them apart", "rename one", f'[[gateway]] "{name}"'
        )
    days = _number(document.get("days"))
    if days is not None and days <= 0:
        days = None
    for table in ("host", "gateway", "site"):
        for place, entry in _entries(document, table):
            yield from _outages(place, entry, days)
    for place, gateway in _entries(document, "gateway"):
        for upstream in _strings(gateway.get("upstreams")):
            yield from _must_be(f"{place}, upstreams", "host", upstream, hosts)
    for place, site in _entries(document, "site"):
        yield from _site(place, site, [*hosts, *gateways], days)
    yield from _groups(document, [*hosts, *gateways], sites, days, max_machines)
    yield from _unknown_to_all(document, hosts, gateways)


def _unknown_to_all(document: dict[str, Any], hosts: list[str], gateways: list[str]) -> Iterator[Problem]:
    """Hosts and gateways that nothing refers to; reported only if no name is mistyped, which would explain it."""
    told = set(_servers_told_of(document))
    if not told <= {*hosts, *gateways}:
        return
    for table, names in (("host", hosts), ("gateway", gateways)):
        for name in sorted(set(names) - told):
            cure = f"name it in the srv of a site{_OTHER_PLACES[table]}, or remove it"
            yield Problem("nothing would ask it", cure, f'[[{table}]] "{name}"')


def _servers_told_of(document: dict[str, Any]) -> Iterator[str]:
    """The names of hosts and gateways wherever something refers to them."""
    for _, site in _entries(document, "site"):
        for tables in (site, *_tables(site.get("dns_changes"))):
            yield from _strings([record.get("host") for record in _tables(tables.get("srv"))])
    for _, gateway in _entries(document, "gateway"):
        yield from _strings(gateway.get("upstreams"))
    yield from _strings([group.get("host") for _, group in _entries(document, "machines")])


def _site(place: str, site: dict[str, Any], servers: list[str], days: float | None) -> Iterator[Problem]:
    for record in _tables(site.get("srv")):
        yield from _must_be(f"{place}, srv", "host or gateway", record.get("host"), servers)
    last = -1.0
    for change in _tables(site.get("dns_changes")):
        day = _number(change.get("day"))
        if day is not None:
            yield from _before_end(f"{place}, dns_changes", "day", day, days)
            if day <= last:
                yield Problem(
                    f"day {day:g} does not come after day {last:g}", "put them in order", f"{place}, dns_changes"
                )
            last = day
        for record in _tables(change.get("srv")):
            yield from _must_be(f"{place}, dns_changes", "host or gateway", record.get("host"), servers)


def _groups(
    document: dict[str, Any], servers: list[str], sites: list[str], days: float | None, max_machines: int
) -> Iterator[Problem]:
    total = 0
    for place, group in _entries(document, "machines"):
        count = group.get("count")
        total += count if isinstance(count, int) and 0 < count <= max_machines else 0
        yield from _must_be(f"{place}, site", "site", group.get("site"), sites)
        if group.get("host") is not None:
            yield from _must_be(f"{place}, host", "host or gateway", group["host"], servers)
        yield from _products(place, _strings(group.get("products")))
        given = group.get("joins")
        joins: dict[str, Any] = given if isinstance(given, dict) else {}
        leaves = group.get("leaves")
        joined = _number(joins.get("from_day", 0)) or 0.0
        yield from _before_end(f"{place}, joins", "from_day", joined, days)
        if joins.get("share", 1) != 1:
            yield Problem("every machine of the group joins", "remove `share` and lower `count`", f"{place}, joins")
        if isinstance(leaves, dict) and (left := _number(leaves.get("from_day", 0))) is not None:
            yield from _before_end(f"{place}, leaves", "from_day", left, days)
            if left < joined + (_number(joins.get("over_days", 0)) or 0.0):
                said = f"machines would leave from day {left:g} on, before all have joined"
                yield Problem(said, "leave later", f"{place}, leaves")
        general = _number(group.get("generalise_on_day"))
        if general is not None:
            yield from _before_end(place, "generalise_on_day", general, days)
            if group.get("cloned") is not True:
                cure = "add cloned = true, or remove it"
                yield Problem("the group is not cloned", cure, f"{place}, generalise_on_day")
    if total > max_machines:
        said = f"{total:,} machines are more than the {max_machines:,} that fit"
        yield Problem(said, "lower the counts", "[[machines]]")


def _products(place: str, names: list[str]) -> Iterator[Problem]:
    # One product has several names; unknown names are left to the model.
    found = [product for name in names if (product := _found(name)) is not None]
    for product in dict.fromkeys(found):
        if found.count(product) > 1:
            yield Problem(f'"{product.name}" is named twice', "a machine has it once", f"{place}, products")
    windows = [product.name for product in dict.fromkeys(found) if product.family != "Office"]
    if len(windows) > 1:
        said = f"a machine has one Windows, not {len(windows)} ({', '.join(windows)})"
        yield Problem(said, "make a group of its own for each", f"{place}, products")


def _found(name: str) -> Product | None:
    try:
        return find(name)
    except UnknownProduct:
        return None


def _outages(place: str, entry: dict[str, Any], days: float | None) -> Iterator[Problem]:
    last_end = -1.0
    for outage in _tables(entry.get("outages")):
        begins, lasts = _number(outage.get("from_day")), _number(outage.get("days"))
        if begins is None or lasts is None:
            continue
        yield from _before_end(f"{place}, outages", "from_day", begins, days)
        if begins < last_end:
            said = f"the one from day {begins:g} begins before the one before it ends"
            yield Problem(said, "join them", f"{place}, outages")
        last_end = begins + lasts


def _before_end(place: str, key: str, day: float, days: float | None) -> Iterator[Problem]:
    if days is not None and day >= days:
        said = f"{key} = {day:g} is not before the end on day {days:g}"
        yield Problem(said, "make it earlier, or raise `days`", place)


def _must_be(place: str, kind: str, name: object, names: list[str]) -> Iterator[Problem]:
    if isinstance(name, str) and name not in names:
        close = difflib.get_close_matches(name, names, n=1)
        hint = f'did you mean "{close[0]}"?' if close else f"there are: {', '.join(names) or 'none'}"
        yield Problem(f'there is no {kind} "{name}"', hint, place)


def _repeated(document: dict[str, Any], table: str) -> Iterator[Problem]:
    names = _names(document, table)
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield Problem(f"the name is used {names.count(name)} times", "give each its own", f'[[{table}]] "{name}"')


def _entries(document: dict[str, Any], table: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, entry in enumerate(_tables(document.get(table)), 1):
        name = entry.get("name")
        yield f'[[{table}]] "{name}"' if isinstance(name, str) else f"[[{table}]] number {number}", entry


def _names(document: dict[str, Any], table: str) -> list[str]:
    return [entry["name"] for entry in _tables(document.get(table)) if isinstance(entry.get("name"), str)]


def _tables(value: object) -> list[dict[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _strings(value: object) -> list[str]:
    return [entry for entry in value if isinstance(entry, str)] if isinstance(value, list) else []


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _place(location: tuple[int | str, ...]) -> str:
    """The place of a mistake in terms of the file: `[[host]] number 2, outages number 1, days`."""
    parts: list[str] = []
    for item in location:
        if isinstance(item, int):
            parts[-1] += f" number {item + 1}"
        else:
            parts.append(f"[[{item}]]" if not parts and item in _TABLES else item)
    return ", ".join(parts)


def _said(detail: ErrorDetails) -> Problem:
    kind = detail["type"]
    if kind == "extra_forbidden":
        return Problem("no such key", "docs/fleet.md lists the keys")
    if kind == "missing":
        return Problem("is missing")
    if kind == "too_short":
        return Problem("must have at least one entry")
    if kind == "tuple_type" and len(detail["loc"]) == 1 and detail["loc"][0] in _TABLES:
        return Problem(f"must be a table of its own, [[{detail['loc'][0]}]], for each")
    if kind == "model_type":
        return Problem("must be a table of keys and values: { ... }")
    return problem_of(detail)
