"""Showing a report: as a table for people, as CSV, JSON or Markdown for further use."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import islice
from operator import attrgetter
from textwrap import wrap
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from kmstwist.audit.reports.model import ColumnInfo, Kind, Report, ReportRow, Urgency, as_day
from kmstwist.shown import as_sentence, visible

_STYLES = {
    Urgency.NONE: "",
    Urgency.GOOD: "green",
    Urgency.SOON: "yellow",
    Urgency.URGENT: "bold red",
    Urgency.LOST: "red",
}

# Text is wrapped into columns this wide at least, and, if it is long, into few lines as long as they are not wider.
_READABLE, _LINES, _WIDE = 18, 4, 36
_UTC = "times are in UTC"
#: Rows that are written at a time.
_BATCH = 500

# What makes a spreadsheet take a text for a formula, in Latin and in full width (OWASP, "CSV Injection").
# Where people write 1,5 a spreadsheet separates cells at a semicolon, and most spreadsheets do so at a tab.
_SIGNS = "=+\\-@\uff1d\uff0b\uff0d\uff20"
_FORMULA = re.compile(f"^[;\t\r\n ]*[{_SIGNS}]|^[;\t\r\n]")
_FORMULA_WITHIN = re.compile(f"([;\t\r\n] *)(?=[{_SIGNS}])")

_RIGHT = frozenset({Kind.NUMBER, Kind.SHARE, Kind.CODE})
_TEXTS = frozenset({Kind.TEXT, Kind.NAME})


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


def to_table(report: Report[ReportRow], *, limit: int | None = None, width: int | None = None) -> Table:
    """A table for a terminal, rows coloured by urgency.

    Of more than `limit` rows the rest is left out. Where a table would be wider than `width` characters, its headings
    are broken, then the columns that can be spared are left out; a note says so. Where even that is too wide, each row
    becomes a paragraph, with all its values.
    """
    shown = report.rows if limit is None else report.rows[:limit]
    columns = worth_showing(report, shown)
    cells = [[as_text(getattr(row, column.name), column.kind) for column in columns] for row in shown]
    layout = _layout(columns, cells, width)
    # A paragraph has every column.
    kept = list(range(len(columns))) if layout is None else layout.kept
    table = Table(
        title=report.title,
        caption="; ".join(
            _notes(
                report,
                len(shown),
                [columns[at] for at in kept],
                [column.title for at, column in enumerate(columns) if at not in kept],
            )
        ),
        box=box.SIMPLE_HEAD,
        title_justify="left",
        caption_justify="left",
        collapse_padding=True,
        show_header=layout is not None,
    )
    if layout is None:
        _add_paragraphs(table, columns, shown, cells)
        return table
    for at, heading in zip(kept, layout.headings, strict=True):
        kind = columns[at].kind
        table.add_column(heading, justify="right" if kind in _RIGHT else "left", no_wrap=kind != Kind.TEXT)
    for row, texts in zip(shown, cells, strict=True):
        # Text, not markup: a machine's name is the client's to choose.
        table.add_row(*(Text(texts[at]) for at in kept), style=_STYLES[row.urgency])
    return table


def _add_paragraphs(
    table: Table, columns: Sequence[ColumnInfo], rows: Sequence[ReportRow], cells: Sequence[Sequence[str]]
) -> None:
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for row, texts in zip(rows, cells, strict=True):
        if table.row_count:
            table.add_row()
        for column, text in zip(columns, texts, strict=True):
            if text:
                table.add_row(column.title, Text(text, style=_STYLES[row.urgency]))


@dataclass(frozen=True, slots=True)
class _Layout:
    """The places of the columns a table has, and their headings, lines broken where they must be."""

    kept: list[int]
    headings: list[str]


def _layout(columns: Sequence[ColumnInfo], cells: Sequence[Sequence[str]], width: int | None) -> _Layout | None:
    """How the columns fit into `width`; None if they do not."""
    kept = list(range(len(columns)))
    titles = [column.title for column in columns]
    if width is None:
        return _Layout(kept, titles)
    needs = [_need(column, [texts[at] for texts in cells]) for at, column in enumerate(columns)]
    whole = [max(need, cell_len(title)) for need, title in zip(needs, titles, strict=True)]
    broken = [max(need, *map(cell_len, title.split())) for need, title in zip(needs, titles, strict=True)]
    # The spare ones go, the last one first, once broken headings are not enough.
    spare = [at for at in kept if columns[at].spare]
    while _width([broken[at] for at in kept]) > width:
        if not spare:
            return None
        kept.remove(spare.pop())
    if _width([whole[at] for at in kept]) <= width:
        return _Layout(kept, [titles[at] for at in kept])
    return _Layout(kept, ["\n".join(wrap(titles[at], broken[at])) for at in kept])


def _need(column: ColumnInfo, texts: Sequence[str]) -> int:
    """How wide a column must be. Text can be wrapped, down to a width that is still easy to read."""
    longest = max(map(cell_len, texts), default=0)
    if column.kind is not Kind.TEXT:
        return longest
    return min(longest, max(_READABLE, min(longest // _LINES, _WIDE)))


def _width(needs: Sequence[int]) -> int:
    return 2 + sum(2 + need for need in needs)


def _notes(report: Report[ReportRow], rows: int, kept: Sequence[ColumnInfo], left_out: Sequence[str]) -> list[str]:
    if not report.rows:
        return ["nothing to report", *([report.note] if report.note else [])]
    notes = [_UTC] if any(column.kind is Kind.TIME for column in kept) else []
    if rows < len(report.rows):
        notes.append(f"rows left out: {len(report.rows) - rows}, --limit 0 shows all")
    if left_out:
        notes.append(f"columns left out because the terminal is narrow: {', '.join(left_out)}")
    if report.note:
        notes.append(report.note)
    return notes


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
    names = [json.dumps(each.name) for each in columns]
    between = "\n"
    for some in _batches(rows):
        # Formatted by hand: the library's own indentation takes several times as long.
        values = [[json.dumps(value, ensure_ascii=False) for value in each] for each in _data(columns, some)]
        for row, *texts in zip(some, *values, strict=True):
            lines = [f"      {name}: {text}" for name, text in zip(names, texts, strict=True)]
            lines.append(f'      "urgency": {json.dumps(row.urgency)}')
            yield f"{between}    {{\n" + ",\n".join(lines) + "\n    }"
            between = ",\n"
    yield "]\n}" if between == "\n" else "\n  ]\n}"


def to_markdown(report: Report[ReportRow]) -> str:
    """A Markdown table under the report's title."""
    return "".join(markdown_pieces(report, report.rows))


def markdown_pieces(head: Report[ReportRow], rows: Iterable[ReportRow]) -> Iterator[str]:
    """The output of `to_markdown`, piece by piece, for rows that are not in memory all at once."""
    columns = head.columns
    yield f"## {head.title}\n\n{_markdown_line([column.title for column in columns])}\n"
    yield f"{_markdown_line(['---:' if column.kind in _RIGHT else '---' for column in columns])}\n"
    for row in rows:
        yield f"{_markdown_line([_escaped(text) for text in _texts(columns, row)])}\n"
    notes = [_UTC] if any(column.kind is Kind.TIME for column in columns) else []
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
