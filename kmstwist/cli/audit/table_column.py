"""A column of a large table as one cell: rich draws a few cells in place of thousands, and the table looks the same.

rich has several steps for each cell, 40 µs in all: a table of 200 rows took longer to draw than its report to compute.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from io import StringIO

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions
from rich.measure import Measurement
from rich.segment import Segment
from rich.style import Style
from rich.table import Table
from rich.text import Text


class TableColumn:
    """All texts of a column, each of one line, below each other.

    `styles` has a style for each row. A column that `wraps` may become narrower than its texts, which then have several
    lines; it is justified left.
    """

    def __init__(self, texts: Sequence[str], styles: Sequence[Style], *, wraps: bool) -> None:
        self._texts = texts
        self._styles = styles
        longest = max(map(_width, texts), default=0)
        word = max((_width(word) for text in set(texts) for word in text.split()), default=0)
        self._measured = Measurement(word if wraps else longest, longest)
        #: How wide rich has drawn it.
        self.drawn_width = longest
        #: The lines of each row's text, and the height of each row: the most lines of any column.
        self.lines: list[Sequence[str]] = [(text,) for text in texts]
        self.heights: Sequence[int] = (1,) * len(texts)

    def break_lines(self, console: Console) -> None:
        """Break the texts into lines of the width with which it was drawn."""
        width, known = self.drawn_width, dict[str, Sequence[str]]()
        for text in self._texts:
            if _width(text) <= width:
                known[text] = (text,)
            elif text not in known:
                broken = Text(text).wrap(console, width, justify="left", overflow="ellipsis")
                known[text] = tuple(line.plain.rstrip() for line in broken)
        self.lines = [known[text] for text in self._texts]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterable[Segment]:
        """The lines, filled up to the column's width."""
        width, to_the_right = options.max_width, options.justify == "right"
        self.drawn_width = width
        end = Segment.line()
        for lines, height, style in zip(self.lines, self.heights, self._styles, strict=True):
            for line in lines:
                fill = " " * (width - _width(line))
                yield Segment(fill + line if to_the_right else line + fill, style)
                yield end
            for _ in range(height - len(lines)):
                yield Segment(" " * width, style)
                yield end

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """The width of the longest word, or of the longest text if it does not wrap; and of the longest text."""
        return self._measured


def add_rows(table: Table, columns: Sequence[TableColumn], width: int) -> None:
    """Fill a table, which has no rows yet and is to be printed with that many characters a line, with these columns."""
    table.add_row(*columns)
    console = Console(file=StringIO(), width=width)
    # Drawn once for the widths that rich gives the columns. Only then is it known how many lines each row has.
    console.render_lines(table)
    for column in columns:
        column.break_lines(console)
    heights = [max(map(len, row)) for row in zip(*(column.lines for column in columns), strict=True)]
    for column in columns:
        column.heights = heights


def _width(text: str) -> int:
    return len(text) if text.isascii() else cell_len(text)
