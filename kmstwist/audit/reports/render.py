"""Showing a report: as a table for people, as CSV, JSON or Markdown for what comes next."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from rich import box
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


def to_table(report: Report[ReportRow], *, limit: int | None = None) -> Table:
    """A table for a terminal, rows coloured by urgency; of `limit` rows, a note says how many are left out."""
    shown = report.rows if limit is None else report.rows[:limit]
    left_out = len(report.rows) - len(shown)
    table = Table(
        title=report.title, box=box.SIMPLE_HEAD, title_justify="left", caption_justify="left", collapse_padding=True
    )
    columns = report.columns
    notes = [_UTC] if any(column.kind is Kind.TIME for column in columns) else []
    if not report.rows:
        notes = ["nothing to report"]
    elif left_out:
        notes.append(f"{left_out} more rows; --limit 0 shows all")
    table.caption = "; ".join(notes)
    for column in columns:
        table.add_column(
            column.title, justify="right" if column.kind in _RIGHT else "left", no_wrap=column.kind != Kind.TEXT
        )
    for row in shown:
        # Text, not markup: a machine's name is the client's to choose.
        table.add_row(*(Text(text) for text in _texts(columns, row)), style=_STYLES[row.urgency])
    return table


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
