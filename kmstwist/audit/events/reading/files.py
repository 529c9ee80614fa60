"""Opening a file of events: its format and its encoding are recognised from its first bytes."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Callable, Iterator
from datetime import UTC, tzinfo
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, TextIO

from kmstwist.audit.events.model import BrokenEvent, RawEvent
from kmstwist.audit.events.reading.blocks import is_prompt, looks_like_blocks, read_blocks
from kmstwist.audit.events.reading.evtx import read_evtx
from kmstwist.audit.events.reading.json import read_json
from kmstwist.audit.events.reading.table import looks_like_table, read_table
from kmstwist.audit.events.reading.times import CUT_OFF, Times
from kmstwist.audit.events.reading.xml import read_xml, root_of, what_else
from kmstwist.system.rights import opened

SAMPLE = 1 << 16
# How many bytes at the end of a file are searched for the end of the element around all events.
TAIL = 1024
_END = re.compile(rb"</(?:\w+:)?Events\s*>|<Events\b[^<>]*/>")

_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_PACKED = ((b"\x1f\x8b", "gzip"), (b"PK\x03\x04", "zip"), (b"\xfd7zXZ\0", "xz"), (b"7z\xbc\xaf", "7-Zip"))


# evtx_dump writes such a line above each event.
_NUMBERED = re.compile(r"Record \d+\s*")
# With a priority, as it is sent, or with a time and a host, as rsyslog and syslog-ng write it into files.
_SYSLOG = re.compile(
    r"<\d{1,3}>"
    r"|(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)) \S+ \S"
)

WAYS = (
    "export events as EVTX (wevtutil epl), XML (wevtutil qe /f:xml), or from Get-WinEvent with ConvertTo-Json or "
    "Export-Csv (docs/windows-events.md)"
)


class Format(StrEnum):
    """The format of a file of events."""

    EVTX = "EVTX"
    XML = "XML"
    JSON = "JSON"
    TABLE = "CSV"
    BLOCKS = "text"


class UnknownFormat(ValueError):
    """The file has no events, or its format is not supported; the text lists the formats that are."""


def format_of(sample: bytes) -> Format:
    """The format of a file that begins with `sample`. Raises UnknownFormat."""
    if sample.startswith(b"ElfFile\0"):
        return Format.EVTX
    if packed := next((name for mark, name in _PACKED if sample.startswith(mark)), None):
        raise UnknownFormat(f"a file packed with {packed}; unpack it first")
    text = text_of(sample).lstrip("\ufeff \t\r\n")
    if not text:
        raise UnknownFormat(f"an empty file; {WAYS}")
    if (numbered := _NUMBERED.match(text)) is not None:
        text = text[numbered.end() :]
    elif is_prompt(first := text.partition("\n")[0]):
        text = text[len(first) :].lstrip()
    if _SYSLOG.match(text):
        raise UnknownFormat(
            "lines of syslog; start kmstwist events listen and send the file to it, as with nc (docs/windows-events.md)"
        )
    # A browser's view of XML has a sign for folding each element, which is copied along with the text.
    if text.removeprefix("- ").startswith("<"):
        return Format.XML
    if text.startswith(("[", "{")):
        return Format.JSON
    if looks_like_blocks(text):
        return Format.BLOCKS
    if looks_like_table(text):
        return Format.TABLE
    raise UnknownFormat(f"no events that can be read; {WAYS}")


def look_at(path: Path) -> None:
    """Read a file's beginning. Raises what `read_events` would raise if the format is not supported."""
    with opened(path) as file:
        format_of(file.read(SAMPLE))


def encoding_of(sample: bytes) -> str:
    """The encoding of a text that begins with `sample`: from its byte order mark, or else from its bytes."""
    for mark, encoding in _MARKS:
        if sample.startswith(mark):
            return encoding
    if sample[1:2] == b"\0":
        return "utf-16-le"
    if sample[:1] == b"\0":
        return "utf-16-be"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def text_of(sample: bytes) -> str:
    """`sample` as text; bytes that cannot be decoded are replaced."""
    return sample.decode(encoding_of(sample), "replace")


def read_events(
    path: Path, *, zone: tzinfo = UTC, now: int, progress: Callable[[int], None] | None = None
) -> Iterator[RawEvent | BrokenEvent]:
    """The events of a file, in order, without holding more than a few of them.

    `zone` is the zone of times without one, `now` is in milliseconds since 1970; `progress` is called with the bytes
    read so far. Raises UnknownFormat, EvtxMissing, NoFile and OSError.
    """
    with opened(path) as file:
        sample = file.read(SAMPLE)
        form = format_of(sample)
        if form is Format.EVTX:
            yield from read_evtx(path)
            return
        file.seek(0)
        # In a table a value may contain line ends.
        ends = "" if form is Format.TABLE else None
        text = io.TextIOWrapper(file, encoding_of(sample), "replace", newline=ends)
        if form is Format.JSON and is_prompt(text_of(sample).lstrip("\ufeff \t\r\n").partition("\n")[0]):
            for line in text:
                if is_prompt(line.lstrip("\ufeff")):
                    break
        empty = True
        for event in _read(form, text, Times(zone, now)):
            empty = False
            yield event
            if progress is not None:
                progress(file.tell())
        root = root_of(text_of(sample)) if form is Format.XML else ""
        if root == "Events" and not _has_end(file):
            empty = False
            yield BrokenEvent("the file's end", f"the element around the events is not closed there: {CUT_OFF}")
    # A list without events is an export of an empty log; anything else is not an export.
    if empty and form is Format.XML and root not in ("Events", "Event"):
        raise UnknownFormat(f"no events in it: it is {what_else(root)}; {WAYS}")


def _has_end(file: BinaryIO) -> bool:
    """Whether an XML file with an element around its events contains that element's end, in any encoding."""
    file.seek(max(0, file.seek(0, io.SEEK_END) - TAIL))
    return _END.search(file.read().replace(b"\0", b"")) is not None


def _read(form: Format, text: TextIO, times: Times) -> Iterator[RawEvent | BrokenEvent]:
    match form:
        case Format.XML:
            return read_xml(text)
        case Format.JSON:
            return read_json(text, times)
        case Format.BLOCKS:
            return read_blocks(text, times)
        case _:
            return read_table(text, times)
