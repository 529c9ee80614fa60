"""Events in JSON: a list of objects, a single object, or one object after the other, each on one or several lines.

PowerShell writes a list of one as a single object, and its older version wraps a list that was given a property;
Winlogbeat, NXLog and `evtx_dump` write one object on each line. `fields` knows the names of the fields.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TextIO

from kmstwist.audit.events.model import BrokenEvent, RawEvent
from kmstwist.audit.events.reading.fields import event_of
from kmstwist.audit.events.reading.times import CUT_OFF, DAMAGED, Times
from kmstwist.audit.events.reading.xml import parse_event

CHUNK = 1 << 16
MAX_EVENT = 1 << 20

# What ConvertTo-Json makes of an array to which Windows PowerShell 5 has added a property, and the answers to a search
# of other tools, such as Elasticsearch.
_WRAPPED = re.compile(
    r'\{\s*"(?:value|values|events|records|results|items|data)"\s*:\s*\[|\{\s*"took"[^\[\]]{0,1000}"hits"\s*:\s*\['
    r'|\{\s*"preview"\s*:[^{}]{0,100}"messages"\s*:[^\0]{0,20000}?"results"\s*:\s*\['
)
# Log Analytics answers with tables: the names of the columns, and a list for each row.
_TABLE = re.compile(
    r'\{\s*"tables"\s*:\s*\[\s*\{\s*"name"\s*:\s*"[^"]*"\s*,\s*"columns"\s*:\s*(\[[^\[\]]{0,20000}\])\s*,\s*"rows"\s*:\s*\['
)
# The text between two rows of such a table.
_BETWEEN_ROWS = re.compile(r"[\s,]*")
# The text between two objects: commas, the brackets of a list, and the line that evtx_dump writes above each.
_BETWEEN = re.compile(r"(?:[\s,\[\]\ufeff\x1e]+|Record \d+\s)*")


def read_json(text: TextIO, times: Times) -> Iterator[RawEvent | BrokenEvent]:
    """The events of a text, in its order."""
    decoder = json.JSONDecoder()
    buffer, number, ended = text.read(CHUNK).lstrip(" \t\r\n\ufeff"), 0, False
    table = _TABLE.match(buffer)
    columns = [] if table is None else _columns(table[1])
    wrapped = table or _WRAPPED.match(buffer)
    position = wrapped.end() if wrapped is not None else 0
    open_list = wrapped is not None
    gap, behind = (_BETWEEN, ("}", '"')) if table is None else (_BETWEEN_ROWS, ("]", "]"))
    while True:
        if (between := gap.match(buffer, position)) is not None:
            position = between.end()
            open_list = (open_list or "[" in between[0]) and between[0].rfind("]") <= between[0].rfind("[")
        if wrapped is not None and buffer[position : position + 1] in behind:
            # The text after the list.
            return
        try:
            found, position = decoder.raw_decode(buffer, position)
        except (ValueError, RecursionError) as error:
            buffer, position = buffer[position:], 0
            if not ended and len(buffer) <= MAX_EVENT:
                # Twice as much each time, so that a long event is not tried again after each piece of it.
                chunk = text.read(max(CHUNK, len(buffer)))
                ended = not chunk
                buffer += chunk
                continue
            number += 1
            next_line = buffer.find("\n{", 1)
            if next_line >= 0:
                yield BrokenEvent(f"event {number}", f"not JSON: {_said(error)}")
                position = next_line + 1
                continue
            if buffer:
                # Within a list nobody can tell where the next event begins.
                yield BrokenEvent(f"event {number}", f"no JSON from here on: {_said(error)}")
            elif open_list:
                yield BrokenEvent("the file's end", f"the list of events is not closed there: {CUT_OFF}")
            return
        number += 1
        place = f"event {number}"
        if columns and isinstance(found, list):
            found = dict(zip(columns, found, strict=False))
        if isinstance(found, dict):
            yield event_of(found, place, times)
        elif isinstance(found, str) and found.lstrip().startswith("<Event"):
            yield parse_event(found.lstrip(), place)
        else:
            yield BrokenEvent(place, "not an event but " + json.dumps(found)[:40])
        if position > CHUNK:
            buffer, position = buffer[position:], 0


def _columns(text: str) -> list[str]:
    """The names of a table's columns; empty if they are not as expected."""
    try:
        return [str(each["name"]) for each in json.loads(text)]
    except (ValueError, TypeError, KeyError):
        return []


def _said(error: Exception) -> str:
    match error:
        case RecursionError():
            return "it is nested too deep"
        case json.JSONDecodeError():
            # The error's line and column refer to the last piece that was read.
            near = error.doc[max(0, error.pos - 20) : error.pos + 20]
            endless = error.pos >= len(error.doc) or error.msg.startswith("Unterminated")
            what = "the file ends within the event" if endless else f"at {near!r}"
        case _:
            what = "it has a number of more digits than any event has"
    return f"{what}; {DAMAGED}"
