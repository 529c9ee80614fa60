"""What stands around the events in a file: nothing at all, a console's prompt, the headings of a second export."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.audit.test_event_tools import NAMES, SHAPES, SPP, bring_in, forty


@pytest.mark.parametrize("width", [3, 5])
def test_a_table_without_headings_loses_no_event(store: Engine, tmp_path: Path, width: int) -> None:
    log = [each for each in forty() if each.event_id == 12290]
    out = io.StringIO()
    more = [SPP, "Information"][: width - 3]
    rows = [[f"{each.local:%Y-%m-%d %H:%M:%S}", each.event_id, *more, each.text] for each in log]
    csv.writer(out, quoting=csv.QUOTE_ALL).writerows(rows)
    result = bring_in(store, tmp_path / "a.csv", out.getvalue().encode())
    assert (result.imported, result.other, result.shown) == (len(log), 0, [])
    cut = out.getvalue() + '"2026-10-05 08:14:22"\r\n'
    lines = cut.count("\n")
    again = bring_in(store, tmp_path / "b.csv", cut.encode())
    assert [event.place for event in again.shown] == [f"line {lines}"]


#: Nobody copies the others from a console: EVTX, and text with a mark of its encoding.
_MARKED = (b"ElfFile", b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")
COPIED = [name for name in NAMES if not SHAPES[name](forty()).startswith(_MARKED)]
PROMPT = "PS C:\\Users\\admin> Get-WinEvent -LogName 'Key Management Service' | Format-List *\r\n\r\n"


@pytest.mark.parametrize("shape", COPIED)
@pytest.mark.parametrize("above", [PROMPT, "\r\n", "C:\\>wevtutil qe Application\r\n"])
def test_what_a_console_shows_above_the_output_is_no_event(
    store: Engine, tmp_path: Path, shape: str, above: str
) -> None:
    result = bring_in(store, tmp_path / shape, above.encode() + SHAPES[shape](forty()))
    assert (result.imported, result.other, result.shown) == (40, 0, [])


@pytest.mark.parametrize("shape", [name for name in NAMES if name.endswith(".csv")])
def test_a_heading_between_two_exports_is_no_broken_event(store: Engine, tmp_path: Path, shape: str) -> None:
    content = SHAPES[shape](forty())
    result = bring_in(store, tmp_path / shape, content + (b"" if content.endswith(b"\n") else b"\r\n") + content)
    assert (result.imported, result.known, result.shown) == (40, 40, [])
