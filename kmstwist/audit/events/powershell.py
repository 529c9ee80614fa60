"""Events as PowerShell exports them: `Get-WinEvent ... | Export-Csv` and `... | ConvertTo-Json`.

Both carry the event's text ("Message"); JSON has its strings ("Properties") as well. Times in CSV are in the manner and
the zone of the machine that wrote them, which the file does not say: `zone` does.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from itertools import pairwise
from typing import Any, TextIO

from kmstwist.audit.events.model import (
    BrokenEvent,
    RawEvent,
    iso_to_ms,
    record_number,
    strings_of_message,
    to_ms,
    unpacked,
)

CHUNK = 1 << 16
MAX_EVENT = 1 << 20

# How Windows writes a date and time, by region. Where a whole file allows two of them (3/4 is in March or in April),
# the first one here is taken: with AM or PM the month comes first, as it does where most people write so.
_MANNERS = (
    "%m/%d/%Y %I:%M:%S %p",
    "%d/%m/%Y %I:%M:%S %p",
    "%d.%m.%Y %H:%M:%S",
    "%d/%m/%Y %H:%M:%S",
    "%d-%m-%Y %H:%M:%S",
    "%m/%d/%Y %H:%M:%S",
    "%Y/%m/%d %H:%M:%S",
    "%Y-%m-%d %H:%M:%S",
    "%Y. %m. %d. %H:%M:%S",
    "%d-%m-%Y %I:%M:%S %p",
    "%Y-%m-%d %I:%M:%S %p",
    "%Y-%m-%d %p %I:%M:%S",
    "%Y/%m/%d %p %I:%M:%S",
)
# Rows of a file from which the manner of its times is told.
_TELLING = 1000

_NOON = {
    "AM": ("上午", "午前", "오전", "πμ", "π.μ.", "a. m.", "a.m."),
    "PM": ("下午", "午後", "오후", "μμ", "μ.μ.", "p. m.", "p.m."),
}
_DOTTED = re.compile(r"(?<= )(\d{1,2})\.(\d\d)\.(\d\d)$")

# What ConvertTo-Json makes of an array that Windows PowerShell 5 has given a property of its own.
_WRAPPED = re.compile(r'\{\s*"value"\s*:\s*\[')

_DATE = re.compile(r"/Date\((-?\d{1,15})(?:[+-]\d{4})?\)/")


def read_csv(text: TextIO, zone: tzinfo) -> Iterator[RawEvent | BrokenEvent]:
    """The events of a CSV export, with commas or semicolons; times that name no zone are in `zone`."""
    first = text.readline()
    # Windows PowerShell writes the .NET type above the headings unless told not to.
    header = text.readline() if first.lstrip("\ufeff").startswith("#TYPE") else first
    above = 2 if header is not first else 1
    delimiter = ";" if header.count(";") > header.count(",") else ","
    headings = next(csv.reader([header], delimiter=delimiter), [])
    names = {heading.strip().strip("\ufeff"): place for place, heading in enumerate(headings)}
    if missing := [name for name in ("Id", "TimeCreated", "Message") if name not in names]:
        yield BrokenEvent(
            f"line {above}", f"the export has no column {missing[0]}; export Get-WinEvent's Id, TimeCreated and Message"
        )
        return
    begin = text.tell()
    manners = _manners_of(csv.reader(text, delimiter=delimiter), names)
    text.seek(begin)
    rows = csv.reader(text, delimiter=delimiter)
    line = above
    while True:
        place = f"line {line + 1}"
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield BrokenEvent(place, str(error))
            continue
        finally:
            line = above + rows.line_num
        if not row:
            continue
        if len(row) < len(headings):
            yield BrokenEvent(place, f"{len(row)} values under {len(headings)} headings")
            continue
        yield _event({name: row[at] for name, at in names.items()}, place, zone, manners)


def _manners_of(rows: Iterator[list[str]], names: Mapping[str, int]) -> Sequence[str]:
    """The manners, the one that the file's times are written in first: the one that most of them can be read in.

    Of several such manners it is the one in which the times go best with the events' numbers.
    """
    times: list[tuple[int, str]] = []
    for _ in range(_TELLING):
        try:
            row = next(rows)
        except StopIteration:
            break
        except csv.Error:
            continue
        if len(row) >= len(names):
            number = record_number(row[names["RecordId"]]) if "RecordId" in names else None
            times.append((number or 0, _plain(row[names["TimeCreated"]])))
    times.sort(key=lambda each: each[0])

    def worth(manner: str) -> tuple[int, int]:
        read = [when for _, text in times if (when := _in_manner(text, manner)) is not None]
        # Without numbers the file's own order will do, which may be from the newest to the oldest.
        steps = [(earlier <= later, earlier >= later) for earlier, later in pairwise(read)]
        return len(read), max(sum(up for up, _ in steps), sum(down for _, down in steps))

    return sorted(_MANNERS, key=worth, reverse=True)


def _in_manner(text: str, manner: str) -> datetime | None:
    try:
        return datetime.strptime(text, manner)
    except ValueError:
        return None


def read_json(text: TextIO) -> Iterator[RawEvent | BrokenEvent]:
    """The events of a JSON export: a list of objects, or the one object PowerShell writes for a list of one."""
    decoder = json.JSONDecoder()
    buffer, number, ended = text.read(CHUNK).lstrip(" \t\r\n\ufeff"), 0, False
    wrapped = _WRAPPED.match(buffer)
    if wrapped is not None:
        buffer = buffer[wrapped.end() :]
    while True:
        buffer = buffer.lstrip(" \t\r\n,[]")
        try:
            found, end = decoder.raw_decode(buffer)
        except (ValueError, RecursionError) as error:
            chunk = "" if ended else text.read(CHUNK)
            ended = not chunk
            if ended or len(buffer) > MAX_EVENT:
                if buffer:
                    # Where JSON is broken, there is no telling where the next event begins.
                    yield BrokenEvent(f"event {number + 1}", f"no JSON from here on: {error}")
                return
            buffer += chunk
            continue
        if wrapped is not None and found == "Count":
            return
        number += 1
        buffer = buffer[end:]
        place = f"event {number}"
        if isinstance(found, dict):
            yield _event(found, place, UTC)
        else:
            yield BrokenEvent(place, "not an event but " + json.dumps(found)[:40])


def _event(
    values: Mapping[str, Any], place: str, zone: tzinfo, manners: Sequence[str] = _MANNERS
) -> RawEvent | BrokenEvent:
    try:
        return RawEvent(
            place=place,
            event_id=int(str(values.get("Id", ""))),
            at=_time(values.get("TimeCreated"), zone, manners),
            data=_strings(values),
            computer=str(values.get("MachineName") or "").strip(),
            record_id=record_number(str(values.get("RecordId", ""))),
        )
    except ValueError as error:
        return BrokenEvent(place, str(error))


def _strings(values: Mapping[str, Any]) -> list[str]:
    properties = values.get("Properties")
    if isinstance(properties, list):
        found = [str(each["Value"]) for each in properties if isinstance(each, dict) and "Value" in each]
        if found:
            return unpacked(found)
    return strings_of_message(str(values.get("Message") or ""))


def _plain(text: str) -> str:
    """A time's text with one kind of space, AM and PM in English, and colons in the time of day."""
    plain = " ".join(text.split())
    for english, others in _NOON.items():
        for other in others:
            plain = plain.replace(other, english)
    return _DOTTED.sub(r"\1:\2:\3", plain)


def _time(value: object, zone: tzinfo, manners: Sequence[str]) -> int:
    if isinstance(value, dict):
        # Windows PowerShell wraps a date that has been given more properties.
        value = value.get("value", value.get("Value"))
    text = _plain(str(value if value is not None else ""))
    if found := _DATE.search(text):
        return int(found[1])
    if "T" in text:
        return iso_to_ms(text, zone)
    for manner in manners:
        if (when := _in_manner(text, manner)) is not None:
            return to_ms(when, zone)
    raise ValueError(f"the event's time is written in a manner not known here: {text[:40]!r}")
