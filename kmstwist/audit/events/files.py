"""Opening a file of events, whatever it is: the format and the encoding are told from its first bytes."""

from __future__ import annotations

import codecs
import io
from collections.abc import Callable, Iterator
from datetime import UTC, tzinfo
from enum import StrEnum
from pathlib import Path

from kmstwist.audit.events.evtx import read_evtx
from kmstwist.audit.events.model import BrokenEvent, RawEvent
from kmstwist.audit.events.powershell import read_csv, read_json
from kmstwist.audit.events.xml import read_xml

SAMPLE = 1 << 16

_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_PACKED = ((b"\x1f\x8b", "gzip"), (b"PK\x03\x04", "zip"), (b"\xfd7zXZ\0", "xz"), (b"7z\xbc\xaf", "7-Zip"))


class Format(StrEnum):
    """What a file of events is written in."""

    EVTX = "EVTX"
    XML = "XML"
    JSON = "JSON"
    CSV = "CSV"


class UnknownFormat(ValueError):
    """The file is in none of the formats that are read; the text says which are."""


def format_of(sample: bytes) -> Format:
    """The format of a file that begins with `sample`. Raises UnknownFormat."""
    if sample.startswith(b"ElfFile\0"):
        return Format.EVTX
    if packed := next((name for mark, name in _PACKED if sample.startswith(mark)), None):
        raise UnknownFormat(f"a file packed with {packed}; unpack it first")
    text = sample.decode(encoding_of(sample), "replace").lstrip("\ufeff \t\r\n")
    if text.startswith("<"):
        return Format.XML
    if text.startswith(("[", "{")):
        return Format.JSON
    if text.startswith("#TYPE") or "TimeCreated" in text.partition("\n")[0]:
        return Format.CSV
    raise UnknownFormat(
        "no events that can be read; export them as EVTX (wevtutil epl), XML (wevtutil qe /f:xml), or from "
        "Get-WinEvent with Export-Csv or ConvertTo-Json"
    )


def encoding_of(sample: bytes) -> str:
    """The encoding of a text that begins with `sample`: by its mark, else what it can be."""
    for mark, encoding in _MARKS:
        if sample.startswith(mark):
            return encoding
    if sample[1:2] == b"\0":
        return "utf-16-le"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def read_events(
    path: Path, *, zone: tzinfo = UTC, progress: Callable[[int], None] | None = None
) -> Iterator[RawEvent | BrokenEvent]:
    """The events of a file, in its order, without holding more than one of them.

    `zone` is that of times in CSV; `progress` is told the bytes read so far. Raises UnknownFormat, EvtxMissing and
    OSError.
    """
    with path.open("rb") as file:
        sample = file.read(SAMPLE)
        form = format_of(sample)
        file.seek(0)
        events: Iterator[RawEvent | BrokenEvent]
        if form is Format.EVTX:
            events = read_evtx(path)
        else:
            text = io.TextIOWrapper(file, encoding_of(sample), "replace", newline="" if form is Format.CSV else None)
            match form:
                case Format.XML:
                    events = read_xml(text)
                case Format.JSON:
                    events = read_json(text)
                case Format.CSV:
                    events = read_csv(text, zone)
        for event in events:
            yield event
            if progress is not None and form is not Format.EVTX:
                progress(file.tell())
