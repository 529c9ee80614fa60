"""How PowerShell prints values: as lines, lists, tables, JSON and CSV."""

from __future__ import annotations

import json
import re
from datetime import datetime

from kmstwist.lab.machines.regions import DEFAULT, region
from kmstwist.lab.windows.cim import Instance

_MOST_COLUMNS = 4
"""Up to how many properties PowerShell prints as a table by default; more become a list."""


def properties(item: object) -> dict[str, object] | None:
    """The properties of a value that has some, else None."""
    if isinstance(item, Instance):
        return dict(item.properties)
    return item if isinstance(item, dict) else None


def shown(value: object) -> str:
    """A value as text."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        moment = value.astimezone().replace(tzinfo=None) if value.year > 1601 else value.replace(tzinfo=None)
        return _with_time(moment)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _with_time(moment: datetime) -> str:
    text = region(DEFAULT).text(moment)
    # Unlike VBScript, PowerShell writes midnight out.
    return text if " " in text else f"{text} 12:00:00 AM"


def as_lines(values: list[object]) -> list[str]:
    """The values at the end of a pipeline as lines: texts as they are, objects as a table or a list."""
    lines: list[str] = []
    things: list[object] = []
    for value in values:
        if properties(value) is not None:
            things.append(value)
        else:
            lines += _things(things)
            things = []
            lines += shown(value).split("\n")
    return lines + _things(things)


def _things(items: list[object]) -> list[str]:
    if not items:
        return []
    many = any(len(properties(item) or ()) > _MOST_COLUMNS for item in items)
    return as_list(items, []) if many else as_table(items, [])


def as_list(items: list[object], names: list[str]) -> list[str]:
    """Format-List: one property on each line, and an empty line between objects."""
    lines = [""]
    for item in items:
        found = properties(item)
        if found is None:
            lines.append(shown(item))
            continue
        chosen = _chosen(found, names)
        width = max((len(name) for name in chosen), default=0)
        lines += ["", *(f"{name:<{width}} : {shown(value)}" for name, value in chosen.items())]
    return [*lines, "", ""]


def as_table(items: list[object], names: list[str], *, headed: bool = True) -> list[str]:
    """Format-Table: numbers to the right, texts to the left."""
    rows = [_chosen(found, names) for item in items if (found := properties(item)) is not None]
    if not rows:
        return [shown(item) for item in items]
    columns = list(rows[0])
    texts = [[shown(row.get(column)) for column in columns] for row in rows]
    right = [isinstance(rows[0][column], int) and not isinstance(rows[0][column], bool) for column in columns]
    widths = [max(len(column) * headed, *(len(row[at]) for row in texts)) for at, column in enumerate(columns)]

    def line(cells: list[str]) -> str:
        placed = []
        for cell, width, to_right in zip(cells, widths, right, strict=True):
            placed.append(f"{cell:>{width}}" if to_right else f"{cell:<{width}}")
        return " ".join(placed)

    heading = [line(columns), line(["-" * len(column) for column in columns])] if headed else []
    return ["", *heading, *(line(row) for row in texts), "", ""]


def as_json(items: list[object], *, modern: bool, packed: bool = False) -> list[str]:
    """ConvertTo-Json: one object as itself, several as a list; in the style of PowerShell 7 or of Windows' own."""
    values = [_plain(item, modern) for item in items]
    value = values[0] if len(values) == 1 else values
    if packed:
        return [json.dumps(value, ensure_ascii=False, separators=(",", ":"))]
    text = json.dumps(value, ensure_ascii=False, indent=2 if modern else 4)
    return (text if modern else re.sub(r'^(\s*"[^"]+":) ', r"\1  ", text, flags=re.MULTILINE)).split("\n")


def _plain(item: object, modern: bool) -> object:
    found = properties(item)
    if found is not None:
        return {name: _plain(value, modern) for name, value in found.items()}
    if isinstance(item, datetime):
        return item.isoformat().replace("+00:00", "Z") if modern else f"/Date({int(item.timestamp() * 1000)})/"
    return item


def as_csv(items: list[object]) -> list[str]:
    """ConvertTo-Csv without its line of types."""
    rows = [found for item in items if (found := properties(item)) is not None]
    if not rows:
        return []
    lines = [list(rows[0]), *([shown(row.get(name)) for name in rows[0]] for row in rows)]
    return [",".join('"' + cell.replace('"', '""') + '"' for cell in line) for line in lines]


def _chosen(found: dict[str, object], names: list[str]) -> dict[str, object]:
    if not names:
        return found
    chosen: dict[str, object] = {}
    for name in names:
        pattern = re.compile(re.escape(name).replace(r"\*", ".*"), re.IGNORECASE)
        matching = [key for key in found if pattern.fullmatch(key)]
        chosen |= {key: found[key] for key in matching} if matching or "*" in name else {name: None}
    return chosen


def formatted(value: object, form: str) -> str:
    """A value's ToString with a format: hexadecimal and plain numbers."""
    found = re.fullmatch(r"([xXdDnN])(\d*)", form)
    if found is None or not isinstance(value, (int, float)):
        return shown(value)
    width = int(found[2] or 0)
    if found[1] in "xX":
        return f"{int(value):0{width}{found[1]}}"
    return f"{int(value):0{width}d}" if found[1] in "dD" else f"{value:,.{width}f}"


def composed(form: str, values: list[object]) -> str:
    """The operator -f: a text with values in its placeholders."""

    def put(found: re.Match[str]) -> str:
        at = int(found[1])
        value = values[at] if at < len(values) else ""
        return formatted(value, found[2]) if found[2] else shown(value)

    return re.sub(r"\{(\d+)(?::([^}]+))?\}", put, form)
