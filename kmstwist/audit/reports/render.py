"""Showing a report: as a table for people, as CSV, JSON or Markdown for what comes next."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from kmstwist.audit.reports.model import ColumnInfo, Kind, Report, ReportRow, Urgency

_STYLES = {
    Urgency.NONE: "",
    Urgency.GOOD: "green",
    Urgency.SOON: "yellow",
    Urgency.URGENT: "bold red",
    Urgency.LOST: "red",
}

_READABLE = 18
_UTC = "times are in UTC"

_RIGHT = frozenset({Kind.NUMBER, Kind.SHARE, Kind.CODE})


def as_text(value: Any, kind: Kind) -> str:
    """A value as people read it; moments in UTC, "" for none."""
    if value is None:
        return ""
    match kind:
        case Kind.TIME:
            assert isinstance(value, datetime)
            return value.strftime("%Y-%m-%d %H:%M")
        case Kind.DATE:
            assert isinstance(value, datetime)
            return value.strftime("%Y-%m-%d")
        case Kind.CODE:
            return "ok" if value == 0 else f"0x{value:08X}"
        case Kind.SHARE:
            return f"{100 * value:.1f}"
        case Kind.FLAG:
            return "yes" if value else "no"
        case Kind.NUMBER if isinstance(value, float):
            return f"{value:.1f}"
        case _:
            return str(value)


def as_data(value: Any, kind: Kind) -> Any:
    """A value as programs read it: moments in ISO 8601 with their zone, codes in hexadecimal, the rest as it is."""
    if value is None:
        return None
    match kind:
        case Kind.TIME | Kind.DATE:
            return value.isoformat(timespec="seconds")
        case Kind.CODE:
            return f"0x{value:08X}"
        case _:
            return value


def to_table(report: Report[ReportRow], *, limit: int | None = None, width: int | None = None) -> Table:
    """A table for a terminal, rows coloured by urgency.

    Of more than `limit` rows the rest is left out, of a table wider than `width` characters the columns that can be
    spared; a note says so.
    """
    shown = report.rows if limit is None else report.rows[:limit]
    columns = report.columns
    cells = [[as_text(getattr(row, column.name), column.kind) for column in columns] for row in shown]
    kept = list(range(len(columns))) if width is None else _fitting(columns, cells, width)
    table = Table(
        title=report.title,
        caption="; ".join(_notes(report, len(shown), [columns[at] for at in kept], len(columns))),
        box=box.SIMPLE_HEAD,
        title_justify="left",
        caption_justify="left",
        collapse_padding=True,
    )
    for column in (columns[at] for at in kept):
        table.add_column(
            column.title, justify="right" if column.kind in _RIGHT else "left", no_wrap=column.kind != Kind.TEXT
        )
    for row, texts in zip(shown, cells, strict=True):
        # Text, not markup: a machine's name is the client's to choose.
        table.add_row(*(Text(texts[at]) for at in kept), style=_STYLES[row.urgency])
    return table


def _fitting(columns: Sequence[ColumnInfo], cells: Sequence[Sequence[str]], width: int) -> list[int]:
    """The places of the columns that fit into `width`: the spare ones go, the last one first, until they do."""
    needs = []
    for at, column in enumerate(columns):
        longest = max([cell_len(column.title), *(cell_len(texts[at]) for texts in cells)])
        # Text can be wrapped, down to a width at which it is still read with ease.
        needs.append(2 + (min(longest, _READABLE) if column.kind is Kind.TEXT else longest))
    kept = list(range(len(columns)))
    for at in reversed(range(len(columns))):
        if 2 + sum(needs[each] for each in kept) <= width:
            break
        if columns[at].spare:
            kept.remove(at)
    return kept


def _notes(report: Report[ReportRow], rows: int, kept: Sequence[ColumnInfo], columns: int) -> list[str]:
    if not report.rows:
        return ["nothing to report"]
    notes = [_UTC] if any(column.kind is Kind.TIME for column in kept) else []
    if rows < len(report.rows):
        notes.append(f"rows left out: {len(report.rows) - rows}, --limit 0 shows all")
    if len(kept) < columns:
        notes.append(f"columns left out on so narrow a terminal: {columns - len(kept)}")
    return notes


def to_csv(report: Report[ReportRow]) -> str:
    """CSV (RFC 4180) with the columns' names in the first line.

    A text that a spreadsheet would take for a formula gets an apostrophe before it: machine names are the clients'.
    """
    columns = report.columns
    output = io.StringIO()
    writer = csv.writer(output, lineterminator="\r\n")
    writer.writerow(column.name for column in columns)
    for row in report.rows:
        writer.writerow(_harmless(as_data(getattr(row, column.name), column.kind)) for column in columns)
    return output.getvalue()


def to_json(report: Report[ReportRow]) -> str:
    """JSON: the report's name and title, its columns, and an object for each row."""
    columns = report.columns
    return json.dumps(
        {
            "report": report.name,
            "title": report.title,
            "columns": [{"name": each.name, "title": each.title, "kind": each.kind} for each in columns],
            "rows": [
                {
                    **{each.name: as_data(getattr(row, each.name), each.kind) for each in columns},
                    "urgency": row.urgency,
                }
                for row in report.rows
            ],
        },
        indent=2,
        ensure_ascii=False,
    )


def to_markdown(report: Report[ReportRow]) -> str:
    """A Markdown table under the report's title."""
    columns = report.columns
    lines = [
        f"## {report.title}",
        "",
        _markdown_line([column.title for column in columns]),
        _markdown_line(["---:" if column.kind in _RIGHT else "---" for column in columns]),
        *(_markdown_line([_escaped(text) for text in _texts(columns, row)]) for row in report.rows),
    ]
    if any(column.kind is Kind.TIME for column in columns):
        lines += ["", _UTC.capitalize() + "."]
    return "\n".join(lines) + "\n"


def _texts(columns: Sequence[ColumnInfo], row: ReportRow) -> list[str]:
    return [as_text(getattr(row, column.name), column.kind) for column in columns]


def _harmless(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def _markdown_line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escaped(text: str) -> str:
    flat = " ".join(text.split())
    return "".join(f"\\{character}" if character in "\\|`*_<>[]" else character for character in flat)
