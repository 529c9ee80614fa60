"""A report's table, made of columns, is drawn as rich draws the same texts row by row."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich import box
from rich.console import Console
from rich.style import Style
from rich.table import Table
from rich.text import Text

from kmstwist.cli.audit.table_column import TableColumn, add_rows

#: A text that wraps, one that does not, and a number.
_ROWS = [
    ("PC1", "2025-01-01 12:00", "1"),
    ("a longer text with words in it", "two  spaces", "-20"),
    ("-" * 60, "[b]no markup[/b]", ""),
    ("caf\u00e9 and a long sentence of many words, some of which are\u00a0joined", "\u65e5\u672c", "0.5"),
    ("\u65e5\u672c\u8a9e " * 9, "e\u0301", "1000"),
    ("", "", ""),
]
_STYLES = ["", "green", "bold red"]
_HEADINGS = ("Text", "Name", "Days\nleft")


def _empty() -> Table:
    table = Table(box=box.SIMPLE_HEAD, collapse_padding=True)
    for at, heading in enumerate(_HEADINGS):
        table.add_column(heading, justify="right" if at == 2 else "left", no_wrap=at > 0)
    return table


def _printed(table: Table, width: int, *, colours: bool) -> str:
    file = io.StringIO()
    Console(file=file, width=width, force_terminal=colours, color_system="standard" if colours else None).print(table)
    return file.getvalue()


def _by_rows(rows: Sequence[Sequence[str]], width: int, *, colours: bool) -> str:
    table = _empty()
    for at, row in enumerate(rows):
        table.add_row(*map(Text, row), style=_STYLES[at % len(_STYLES)])
    return _printed(table, width, colours=colours)


def _by_columns(rows: Sequence[Sequence[str]], width: int, *, colours: bool) -> str:
    table = _empty()
    styles = [Style.parse(_STYLES[at % len(_STYLES)]) for at in range(len(rows))]
    columns = [TableColumn(texts, styles, wraps=at == 0) for at, texts in enumerate(zip(*rows, strict=True))]
    add_rows(table, columns, width)
    return _printed(table, width, colours=colours)


def _seen(drawn: str) -> tuple[str, list[str]]:
    """What a terminal shows: the lines, and the colour of each character that is not a space."""
    shown = Text.from_ansi(drawn)
    console = Console(file=io.StringIO())
    styles = [str(shown.get_style_at_offset(console, at)) for at, one in enumerate(shown.plain) if not one.isspace()]
    return shown.plain, styles


@pytest.mark.parametrize("width", [60, 79, 100, 200])
@pytest.mark.parametrize("colours", [False, True])
def test_columns_are_drawn_as_rows_are(width: int, colours: bool) -> None:
    drawn = _by_columns(_ROWS, width, colours=colours)
    assert _seen(drawn) == _seen(_by_rows(_ROWS, width, colours=colours))
    assert ("\x1b[" in drawn) == colours


_WORDS = (
    st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), max_size=40).map(str.strip).filter(str.isprintable)
)


@given(st.lists(st.tuples(_WORDS, _WORDS, st.integers().map(str)), min_size=1, max_size=6))
def test_any_texts_are_drawn_as_rows_are(rows: list[tuple[str, str, str]]) -> None:
    assert _by_columns(rows, 160, colours=False) == _by_rows(rows, 160, colours=False)
