"""Showing a report: its values for people, and as CSV, JSON or Markdown for further use."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from itertools import islice
from operator import attrgetter
from typing import Any

from kmstwist.audit.reports.model import ColumnInfo, Kind, Report, ReportRow, as_day
from kmstwist.shown import as_sentence, visible

#: The note of a report with times in it.
TIMES_IN_UTC = "times are in UTC"
#: Rows that are written at a time.
_BATCH = 500

# What makes a spreadsheet take a text for a formula, in Latin and in full width (OWASP, "CSV Injection").
# Where people write 1,5 a spreadsheet separates cells at a semicolon, and most spreadsheets do so at a tab.
_SIGNS = "=+\\-@\uff1d\uff0b\uff0d\uff20"
_FORMULA = re.compile(f"^[;\t\r\n ]*[{_SIGNS}]|^[;\t\r\n]")
_FORMULA_WITHIN = re.compile(f"([;\t\r\n] *)(?=[{_SIGNS}])")

#: The kinds of columns that are aligned on the right.
TO_THE_RIGHT = frozenset({Kind.NUMBER, Kind.SHARE, Kind.CODE})
_TEXTS = frozenset({Kind.TEXT, Kind.NAME})
_AS_THEY_ARE = frozenset({Kind.NUMBER, Kind.SHARE, Kind.FLAG})


def as_text(value: object, kind: Kind) -> str:
    """A value for people: moments in UTC, control characters made visible, "" for None."""
    if value is None:
        return ""
    match kind:
        case Kind.TIME:
            assert isinstance(value, datetime)
            return value.strftime("%Y-%m-%d %H:%M")
        case Kind.DATE:
            assert isinstance(value, datetime)
            return as_day(value)
        case Kind.CODE:
            return "ok" if value == 0 else f"0x{value:08X}"
        case Kind.SHARE:
            assert isinstance(value, float | int)
            return f"{100 * value:.1f}"
        case Kind.FLAG:
            return "yes" if value else "no"
        case Kind.NUMBER if isinstance(value, float):
            return f"{value:.1f}"
        case _:
            return visible(str(value))


def as_data(value: object, kind: Kind) -> object:
    """A value for programs: moments in ISO 8601 with their zone, codes in hexadecimal, the rest unchanged."""
    if value is None:
        return None
    match kind:
        case Kind.TIME | Kind.DATE:
            # The calendar's days are dates, all other reports' are moments.
            assert isinstance(value, date)
            return value.isoformat(timespec="seconds") if isinstance(value, datetime) else value.isoformat()
        case Kind.CODE:
            return f"0x{value:08X}"
        case _:
            return value


def worth_showing(report: Report[ReportRow], rows: Sequence[ReportRow]) -> list[ColumnInfo]:
    """The columns for people: spare columns are left out if they are empty in all these rows."""
    return [
        column
        for column in report.columns
        if not (column.spare and rows) or any(getattr(row, column.name) not in (None, "") for row in rows)
    ]


def to_csv(report: Report[ReportRow]) -> str:
    """CSV (RFC 4180) with the columns' names in the first line.

    A text that a spreadsheet would read as a formula gets an apostrophe in front, also after a semicolon or a tab,
    where a spreadsheet may begin a new cell: clients choose the names of machines.
    """
    return "".join(csv_pieces(report, report.rows))


def csv_pieces(head: Report[ReportRow], rows: Iterable[ReportRow]) -> Iterator[str]:
    """The output of `to_csv`, piece by piece, for rows that are not in memory all at once."""
    columns = head.columns
    output = io.StringIO()
    writer = csv.writer(output, lineterminator="\r\n")
    writer.writerow(column.name for column in columns)
    for some in _batches(rows):
        writer.writerows(zip(*_data(columns, some, _harmless), strict=True))
        yield output.getvalue()
        output.seek(0)
        output.truncate()
    yield output.getvalue()


def _batches(rows: Iterable[ReportRow]) -> Iterator[list[ReportRow]]:
    left = iter(rows)
    while some := list(islice(left, _BATCH)):
        yield some


def _data(
    columns: Sequence[ColumnInfo], rows: Sequence[ReportRow], text: Callable[[str], str] = str
) -> Iterator[list[object]]:
    """The values of each column for programs, with texts passed through `text`.

    By columns and not by rows, which is faster: some reports have 100,000 rows.
    """
    for column in columns:
        kind = column.kind
        values = map(attrgetter(column.name), rows)
        if kind in _TEXTS:
            yield [None if value is None else text(value) for value in values]
        elif kind in _AS_THEY_ARE:
            yield list(values)
        else:
            yield [as_data(value, kind) for value in values]


def to_json(report: Report[ReportRow], *, read: Mapping[str, Any] | None = None) -> str:
    """JSON: the report's name, title and note, its columns, and an object for each row.

    `read` describes where the report was read from.
    """
    return "".join(json_pieces(report, report.rows, read=read))


def json_pieces(
    head: Report[ReportRow], rows: Iterable[ReportRow], *, read: Mapping[str, Any] | None = None
) -> Iterator[str]:
    """The output of `to_json`, piece by piece, for rows that are not in memory all at once."""
    columns = head.columns
    opening = json.dumps(
        {
            "report": head.name,
            "title": head.title,
            "note": head.note,
            **({} if read is None else {"read": read}),
            "columns": [{"name": each.name, "title": each.title, "kind": each.kind} for each in columns],
            "rows": [],
        },
        indent=2,
        ensure_ascii=False,
    )
    yield opening.removesuffix("]\n}")
    # The lines of an object are made by what separates its members: the library's own indentation, which no value here
    # needs, since none is a list or an object, takes several times as long.
    encode = json.JSONEncoder(ensure_ascii=False, separators=(",\n      ", ": ")).encode
    names = [*(each.name for each in columns), "urgency"]
    between = "\n"
    for some in _batches(rows):
        for row, *values in zip(some, *_data(columns, some), strict=True):
            members = encode(dict(zip(names, (*values, row.urgency), strict=True)))[1:-1]
            yield f"{between}    {{\n      {members}\n    }}"
            between = ",\n"
    yield "]\n}" if between == "\n" else "\n  ]\n}"


def to_markdown(report: Report[ReportRow]) -> str:
    """A Markdown table under the report's title."""
    return "".join(markdown_pieces(report, report.rows))


def markdown_pieces(head: Report[ReportRow], rows: Iterable[ReportRow]) -> Iterator[str]:
    """The output of `to_markdown`, piece by piece, for rows that are not in memory all at once."""
    columns = head.columns
    yield f"## {head.title}\n\n{_markdown_line([column.title for column in columns])}\n"
    yield f"{_markdown_line(['---:' if column.kind in TO_THE_RIGHT else '---' for column in columns])}\n"
    for row in rows:
        yield f"{_markdown_line([_escaped(text) for text in _texts(columns, row)])}\n"
    notes = [TIMES_IN_UTC] if any(column.kind is Kind.TIME for column in columns) else []
    if head.note:
        notes.append(head.note)
    if notes:
        yield "\n" + " ".join(as_sentence(note) for note in notes) + "\n"


def _texts(columns: Sequence[ColumnInfo], row: ReportRow) -> list[str]:
    return [as_text(getattr(row, column.name), column.kind) for column in columns]


def _harmless(value: str) -> str:
    if not value.isprintable():
        # A spreadsheet keeps line breaks and tabs; what is left would be obeyed by a terminal.
        value = "".join(each if each in "\t\r\n" else visible(each) for each in value)
    if _FORMULA.match(value):
        value = f"'{value}"
    return _FORMULA_WITHIN.sub(r"\1'", value)


def _markdown_line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escaped(text: str) -> str:
    flat = " ".join(text.split())
    return "".join(f"\\{character}" if character in "\\|`*_<>[]" else character for character in flat)
