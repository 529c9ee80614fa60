"""Events in tables: Get-WinEvent's and Get-EventLog's Export-Csv, and what Event Viewer saves as CSV or text.

PowerShell names its columns after the properties, always in English. Event Viewer's headings are in the language of
Windows, and the column of the text has none; there the columns are recognised by their contents. Times are in the
format and the zone of the machine that wrote them, which the file does not name.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import chain, islice
from typing import TextIO

from kmstwist.audit.events.model import KMS_EVENTS, BrokenEvent, RawEvent, logged_by_kms, record_number
from kmstwist.audit.events.reading import fields
from kmstwist.audit.events.reading.blocks import is_prompt
from kmstwist.audit.events.reading.times import DAMAGED, Times

# How many rows of a file are looked at to recognise its columns and the format of its times.
TELLING = 1000
# The most characters in one value of a row.
LONGEST = 1 << 17

_DELIMITERS = (",", ";", "\t")
_TIME_OF_DAY = re.compile(
    r"\d{1,4}[^\d\n]{1,4}\d{1,2}[^\d\n]{1,3}\d{1,4}\D+\d{1,2}\D\s?\d\d|\d{1,2}[:.]\d\d\D+\d{1,2}\D+\d{1,2}\D+\d{1,4}"
)

COMMAND = 'Get-WinEvent -LogName "Key Management Service" | Export-Csv kms.csv'

# Azure's portal names the zone above the column.
_UNIVERSAL = " [UTC]"

_NAMED = fields.named((*fields.EVENT_ID, *fields.TIME, *fields.MESSAGE, *fields.STRINGS, *fields.WHOLE))
_KMS_NUMBERS = frozenset(map(str, KMS_EVENTS))


def looks_like_table(head: str) -> bool:
    """Whether a text with this beginning may be a table of events."""
    lines = head.lstrip("\ufeff").splitlines()
    if not lines:
        return False
    if lines[0].startswith("#TYPE"):
        return True
    headings = _split(lines[0], _delimiter(lines[0]))
    if _NAMED & fields.named(heading.removesuffix(_UNIVERSAL) for heading in headings):
        return True
    if _is_row(headings) and not _KMS_NUMBERS.isdisjoint(headings):
        return True
    # Event Viewer's five headings, and a row with an event's number below the fourth.
    rows = [_split(line, _delimiter(lines[0])) for line in lines[1:20]]
    return len(headings) >= 4 and any(_columns_by_content([row]) is not None for row in rows)


def read_table(text: TextIO, times: Times) -> Iterator[RawEvent | BrokenEvent]:
    """The events of a table with commas, semicolons or tabs; the text must be open without newline translation."""
    csv.field_size_limit(LONGEST)
    header, above = text.readline(LONGEST), 1
    # Windows PowerShell writes the .NET type above the headings unless told not to.
    while header and _is_above(header):
        header, above = text.readline(LONGEST), above + 1
    delimiter = _delimiter(header)
    headings = _split(header.lstrip("\ufeff"), delimiter)
    if _is_row(headings):
        # Export-Csv -NoHeader, and lists put together by hand.
        above -= 1
        rows = _rows(chain([header.lstrip("\ufeff")], text), delimiter, above)
        headings = []
    else:
        rows = _rows(text, delimiter, above)
    rows = _without_headings(rows, headings)
    if universal := {at for at, heading in enumerate(headings) if heading.endswith(_UNIVERSAL)}:
        headings = [heading.removesuffix(_UNIVERSAL) for heading in headings]
        rows = _in_utc(rows, universal)
    telling = list(islice(rows, TELLING))
    good = [row for _, row in telling if not isinstance(row, str)]
    names: Sequence[str] | None = headings
    if not _NAMED & fields.named(headings):
        names = _columns_by_content(good)
        if names is None and good:
            yield BrokenEvent(
                f"line {above}", f"its columns are not those of an export of events; export them with: {COMMAND}"
            )
            return
    if missing := _missing(names or headings):
        yield BrokenEvent(f"line {above}", f"the export has no column {missing}; export events with: {COMMAND}")
        return
    names = names or headings
    times.learn(sample for row in good if len(row) >= len(headings) and (sample := _sample(names, row)) is not None)
    for place, row in chain(telling, rows):
        if isinstance(row, str):
            yield BrokenEvent(place, row)
        elif len(row) < len(headings):
            yield BrokenEvent(place, f"{len(row)} values under {len(headings)} headings")
        else:
            yield fields.event_of(dict(zip(names, row, strict=False)), place, times)


def _is_above(line: str) -> bool:
    """Whether a line before the headings tells nothing."""
    plain = line.strip("\ufeff \t\r\n")
    return not plain or plain.startswith("#TYPE") or is_prompt(plain)


def _without_headings(
    rows: Iterator[tuple[str, list[str] | str]], headings: Sequence[str]
) -> Iterator[tuple[str, list[str] | str]]:
    """The rows of a file that may have several exports, one below the other."""
    return ((place, row) for place, row in rows if isinstance(row, str) or not _is_heading(row, headings))


def _is_heading(row: Sequence[str], headings: Sequence[str]) -> bool:
    first = row[0].strip('\ufeff"')
    if not headings or first != headings[0]:
        return first.startswith("#TYPE ")
    return [first, *(each.strip() for each in row[1 : len(headings)])] == headings


def _is_row(values: Sequence[str]) -> bool:
    """Whether these values of a table's first line are an event's, and not headings."""
    return not _NAMED & fields.named(values) and _columns_by_content([values]) is not None


def _rows(text: Iterable[str], delimiter: str, above: int) -> Iterator[tuple[str, list[str] | str]]:
    """Each row with its place, or why it cannot be read."""
    reader = csv.reader(text, delimiter=delimiter)
    line = above
    while True:
        place = f"line {line + 1}"
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield place, f"the row cannot be read: {_said(error)}"
        else:
            if row:
                yield place, row
        line = above + reader.line_num


def _said(error: csv.Error) -> str:
    if "field limit" in str(error):
        return f"a value in it is longer than {LONGEST} characters; a quote may be missing there"
    return f"its quotes or line ends are not a table's; {DAMAGED}"


def _in_utc(rows: Iterator[tuple[str, list[str] | str]], columns: set[int]) -> Iterator[tuple[str, list[str] | str]]:
    for place, row in rows:
        named = [f"{value} UTC" if at in columns and value else value for at, value in enumerate(row)]
        yield place, row if isinstance(row, str) else named


def _split(line: str, delimiter: str) -> list[str]:
    try:
        return [heading.strip().strip("\ufeff") for heading in next(csv.reader([line], delimiter=delimiter), [])]
    except csv.Error:
        return []


def _delimiter(header: str) -> str:
    return max(_DELIMITERS, key=header.count)


def _missing(names: Sequence[str]) -> str:
    """The first column that a table of events needs but does not have; "" if it has all."""
    there = fields.named(names)
    if there & fields.named(fields.WHOLE):
        return ""
    if any(name.startswith("winlog.event_data.") for name in there):
        there |= fields.named(fields.STRINGS)
    for wanted, shown in (
        (fields.EVENT_ID, "Id"),
        (fields.TIME, "TimeCreated"),
        ((*fields.MESSAGE, *(name for name in fields.STRINGS if name != "Properties")), "Message"),
    ):
        if not there & fields.named(wanted):
            return shown
    return ""


def _columns_by_content(rows: Sequence[Sequence[str]]) -> list[str] | None:
    """Names for columns without known headings: the number, the time, the source and the text."""
    width = max(map(len, rows), default=0)
    best: dict[str, int] = {}
    for name, fits in (
        ("Id", lambda text: text.isascii() and text.isdecimal() and len(text) <= 5 and int(text) > 0),
        ("TimeCreated", lambda text: len(text) < 48 and _TIME_OF_DAY.search(text) is not None),
        ("ProviderName", lambda text: len(text) < 80 and logged_by_kms(text)),
    ):
        counts = [sum(at < len(row) and bool(fits(row[at].strip())) for row in rows) for at in range(width)]
        if any(counts):
            best[name] = counts.index(max(counts))
    if "Id" not in best or "TimeCreated" not in best:
        return None
    names = [f"column {at + 1}" for at in range(width)]
    for name, at in best.items():
        names[at] = name
    # Other logs' events have sources of their own.
    if "ProviderName" not in best:
        after = next((at for at in range(best["TimeCreated"] + 1, width) if names[at].startswith("column")), None)
        if after is not None and after < best["Id"]:
            names[after] = "ProviderName"
    lengths = [sum(len(row[at]) for row in rows if at < len(row)) for at in range(width)]
    unnamed = [at for at in range(width) if names[at].startswith("column")]
    if unnamed:
        names[max(unnamed, key=lambda at: lengths[at])] = "Message"
    return names


def _sample(names: Sequence[str], row: Sequence[str]) -> tuple[str, datetime | None, int | None] | None:
    """The time in a row, the client's own, and the event's number."""
    found = fields.Fields(dict(zip(names, row, strict=False)))
    number = found.text(fields.EVENT_ID)
    when = found.text(fields.TIME)
    if not when:
        return None
    client = None
    if number.isascii() and number.isdecimal() and len(number) <= 10:
        client = fields.client_time(int(number) & 0xFFFF, (), found.text(fields.MESSAGE))
    return when, client, record_number(found.text(fields.RECORD_ID))
