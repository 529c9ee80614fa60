"""A table's cell, drawn in fewer steps than any text where it is as simple as most are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.measure import Measurement
from rich.segment import Segment
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions


class Cell(Text):
    """Text that rich draws as any other, but for one line of ASCII that fits its column: nothing of it is wrapped."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterable[Segment]:
        """The text's line, filled up to the column's width, or what rich makes of it."""
        text, width = self.plain, options.max_width
        fits = _is_simple(text) and len(text) <= width and text == text.strip()
        if not fits or self.style or self.spans or options.justify not in ("left", "right"):
            yield from super().__rich_console__(console, options)
            return
        yield Segment(text.ljust(width) if options.justify == "left" else text.rjust(width))
        yield Segment(self.end)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """The widths of the longest word, and of the line."""
        text = self.plain
        if not _is_simple(text):
            return super().__rich_measure__(console, options)
        return Measurement(max(map(len, text.split()), default=len(text)), len(text))


def _is_simple(text: str) -> bool:
    """Whether each character takes one place, in one line."""
    return text != "" and text.isascii() and text.isprintable()
