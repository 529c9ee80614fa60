"""Events as PowerShell exports them: `Get-WinEvent ... | Export-Csv` and `... | ConvertTo-Json`.

Both carry the event's text ("Message"); JSON has its strings ("Properties") as well. Times in CSV are in the manner and
the zone of the machine that wrote them, which the file does not say: `zone` does.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, tzinfo
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

# Tried in this order. With AM or PM the month comes first, as it does where people write so; otherwise the day does.
_MANNERS = (
    "%m/%d/%Y %I:%M:%S %p",
    "%d/%m/%Y %I:%M:%S %p",
    "%d.%m.%Y %H:%M:%S",
    "%d/%m/%Y %H:%M:%S",
    "%d-%m-%Y %H:%M:%S",
    "%m/%d/%Y %H:%M:%S",
    "%Y/%m/%d %H:%M:%S",
)

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
        yield _event({name: row[at] for name, at in names.items()}, place, zone)


def read_json(text: TextIO) -> Iterator[RawEvent | BrokenEvent]:
    """The events of a JSON export: a list of objects, or the one object PowerShell writes for a list of one."""
    decoder = json.JSONDecoder()
    buffer, number, ended = "", 0, False
    while True:
        buffer = buffer.lstrip(" \t\r\n,[]\ufeff")
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
        number += 1
        buffer = buffer[end:]
        place = f"event {number}"
        if isinstance(found, dict):
            yield _event(found, place, UTC)
        else:
            yield BrokenEvent(place, "not an event but " + json.dumps(found)[:40])


def _event(values: Mapping[str, Any], place: str, zone: tzinfo) -> RawEvent | BrokenEvent:
    try:
        return RawEvent(
            place=place,
            event_id=int(str(values.get("Id", ""))),
            at=_time(values.get("TimeCreated"), zone),
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


def _time(value: object, zone: tzinfo) -> int:
    if isinstance(value, dict):
        # Windows PowerShell wraps a date that has been given more properties.
        value = value.get("value", value.get("Value"))
    text = " ".join(str(value if value is not None else "").split())
    if found := _DATE.search(text):
        return int(found[1])
    try:
        when = datetime.fromisoformat(text) if "T" not in text and re.fullmatch(r"[\d: -]+", text) else None
    except ValueError:
        when = None
    if when is None and "T" in text:
        return iso_to_ms(text)
    for manner in _MANNERS if when is None else ():
        try:
            when = datetime.strptime(text, manner)
        except ValueError:
            continue
        break
    if when is None:
        raise ValueError(f"the event's time is written in a manner not known here: {text[:40]!r}")
    return to_ms(when, zone)
