"""A cell of a report's table: it is drawn as rich draws the same text."""

from __future__ import annotations

import io
from typing import Literal

import pytest
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from kmstwist.cli.audit.cell import Cell

_TEXTS = [
    *("PC1", "2025-01-01 12:00", "a longer text with words in it", "two  spaces", "-" * 60, "[b]no markup[/b]"),
    *(
        "",
        " ",
        " before",
        "behind ",
        "a\ttab",
        "two\nlines",
        "caf\u00e9",
        "\u65e5\u672c",
        "e\u0301",
        "\x1b[1mno\x1b[0m",
    ),
]


def drawn(kind: type[Text], justify: Literal["left", "right", "center"], width: int, *, colours: bool) -> str:
    """Each of the texts beside each other one, in columns that wrap and that do not, and of each style of a row."""
    table = Table(box=box.SIMPLE_HEAD, collapse_padding=True)
    for no_wrap in (False, True):
        table.add_column("heading", justify=justify, no_wrap=no_wrap)
    for at, text in enumerate(_TEXTS):
        for other in _TEXTS:
            table.add_row(kind(text), kind(other), style=["", "green", "bold red"][at % 3])
    file = io.StringIO()
    Console(file=file, width=width, force_terminal=colours, color_system="standard" if colours else None).print(table)
    return file.getvalue()


@pytest.mark.parametrize("justify", ["left", "right", "center"])
@pytest.mark.parametrize("width", [8, 20, 40, 79, 200])
@pytest.mark.parametrize("colours", [False, True])
def test_a_cell_is_drawn_as_text_is(justify: Literal["left", "right", "center"], width: int, colours: bool) -> None:
    assert drawn(Cell, justify, width, colours=colours) == drawn(Text, justify, width, colours=colours)


def test_a_cell_with_a_style_keeps_it() -> None:
    for styled in (Text("PC1", style="red"), Text.assemble("P", ("C1", "bold"))):
        cell = Cell("PC1", style=styled.style, spans=styled.spans)
        lines = []
        for each in (styled, cell):
            table = Table()
            table.add_column(justify="right")
            table.add_row(each)
            file = io.StringIO()
            Console(file=file, force_terminal=True, color_system="standard").print(table)
            lines.append(file.getvalue())
        assert lines[0] == lines[1]
        assert "\x1b[" in lines[1]
