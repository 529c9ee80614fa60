"""A report as a table for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Final

from rich import box
from rich.cells import cell_len
from rich.style import Style
from rich.table import Table
from rich.text import Text

from kmstwist.audit.reports.model import ColumnInfo, Kind, Report, ReportRow, Urgency
from kmstwist.audit.reports.render import TIMES_IN_UTC, TO_THE_RIGHT, as_text, worth_showing
from kmstwist.cli.audit.table_column import TableColumn, add_rows

#: Without a terminal there is room for every column.
PIPE_WIDTH: Final = 240

_STYLES: Final = {
    Urgency.NONE: "",
    Urgency.GOOD: "green",
    Urgency.SOON: "yellow",
    Urgency.URGENT: "bold red",
    Urgency.LOST: "red",
}

# Text is wrapped into columns this wide at least, and, if it is long, into few lines as long as they are not wider.
_READABLE, _LINES, _WIDE = 18, 4, 36


def to_table(
    report: Report[ReportRow], *, limit: int | None = None, width: int = PIPE_WIDTH, total: int | None = None
) -> Table:
    """A table for a terminal, rows coloured by urgency.

    Of more than `limit` rows the rest is left out. `total` is how many there are, if not all of them were read. Where a
    table would be wider than `width` characters, its headings are broken, then the columns that can be spared are left
    out; a note says so. Where even that is too wide, each row becomes a paragraph, with all its values.
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
                (len(report.rows) if total is None else total) - len(shown),
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
        table.add_column(heading, justify="right" if kind in TO_THE_RIGHT else "left", no_wrap=kind != Kind.TEXT)
    if shown:
        styles = [Style.parse(_STYLES[row.urgency]) for row in shown]
        texts_of = [(at, [texts[at] for texts in cells]) for at in kept]
        add_rows(
            table, [TableColumn(texts, styles, wraps=columns[at].kind is Kind.TEXT) for at, texts in texts_of], width
        )
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


def _layout(columns: Sequence[ColumnInfo], cells: Sequence[Sequence[str]], width: int) -> _Layout | None:
    """How the columns fit into `width`; None if they do not."""
    kept = list(range(len(columns)))
    titles = [column.title for column in columns]
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


def _notes(report: Report[ReportRow], missing: int, kept: Sequence[ColumnInfo], left_out: Sequence[str]) -> list[str]:
    if not report.rows:
        return ["nothing to report", *([report.note] if report.note else [])]
    notes = [TIMES_IN_UTC] if any(column.kind is Kind.TIME for column in kept) else []
    if missing:
        notes.append(f"rows left out: {missing}, --limit 0 shows all")
    if left_out:
        notes.append(f"columns left out because the terminal is narrow: {', '.join(left_out)}")
    if report.note:
        notes.append(report.note)
    return notes
