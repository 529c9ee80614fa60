"""Events in XML, as `wevtutil qe ... /f:xml` writes them: one after the other, with or without an element around them.

The text is cut at the events and each is parsed alone, so that a broken one costs itself and not the file. Nothing
outside the events is parsed at all; within them, document types and entities are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TextIO
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from kmstwist.audit.events.model import BrokenEvent, RawEvent, iso_to_ms, record_number, unpacked

CHUNK = 1 << 16
# An event of the KMS log has about 1500 characters; Windows allows 64 KiB of data.
MAX_EVENT = 1 << 20

_BEGIN = re.compile(r"<Event(?=[\s>])")
_END = "</Event>"


def read_xml(text: TextIO) -> Iterator[RawEvent | BrokenEvent]:
    """The events of a text, in its order."""
    for line, event in _cut(text):
        if isinstance(event, BrokenEvent):
            yield event
        else:
            yield parse_event(event, f"line {line}")


def _cut(text: TextIO) -> Iterator[tuple[int, str | BrokenEvent]]:
    """Each event's text with the line it begins on."""
    buffer, line = "", 1
    while True:
        begin = _BEGIN.search(buffer)
        if begin is None:
            # The beginning of an event may be cut off at the end of what was read.
            keep = buffer.rfind("<")
            keep = len(buffer) if keep < 0 or len(buffer) - keep > len("<Event ") else keep
        else:
            keep = begin.start()
        line += buffer.count("\n", 0, keep)
        buffer = buffer[keep:]
        end = buffer.find(_END) if begin is not None else -1
        # An event that never ends must not swallow the ones after it.
        next_begin = _BEGIN.search(buffer, 1) if begin is not None else None
        if next_begin is not None and (end < 0 or next_begin.start() < end):
            yield line, BrokenEvent(f"line {line}", "the event has no end")
            line += buffer.count("\n", 0, next_begin.start())
            buffer = buffer[next_begin.start() :]
            continue
        if end >= 0:
            end += len(_END)
            yield line, buffer[:end]
            line += buffer.count("\n", 0, end)
            buffer = buffer[end:]
            continue
        if len(buffer) > MAX_EVENT:
            yield line, BrokenEvent(f"line {line}", f"the event is longer than {MAX_EVENT} characters")
            line += buffer.count("\n")
            buffer = ""
        chunk = text.read(CHUNK)
        if not chunk:
            if begin is not None and buffer:
                yield line, BrokenEvent(f"line {line}", "the file ends within the event")
            return
        buffer += chunk


def parse_event(text: str, place: str) -> RawEvent | BrokenEvent:
    """The event in the text of one `<Event>` element."""
    try:
        root = fromstring(text, forbid_dtd=True, forbid_entities=True, forbid_external=True)
    except (ParseError, DefusedXmlException, ValueError) as error:
        return BrokenEvent(place, f"no well-formed XML: {error}")
    try:
        return _read(root, place)
    except ValueError as error:
        return BrokenEvent(place, str(error))


def _read(root: Element, place: str) -> RawEvent:
    system = root.find("{*}System")
    if system is None:
        raise ValueError("the event has no System element")
    number = system.findtext("{*}EventID", "").strip()
    if not number.isascii() or not number.isdecimal():
        raise ValueError(f"the event's id is no number: {number[:40]!r}")
    created = system.find("{*}TimeCreated")
    data = ["".join(each.itertext()) for each in root.iterfind("{*}EventData/{*}Data")]
    return RawEvent(
        place=place,
        event_id=int(number),
        at=iso_to_ms(created.get("SystemTime", "") if created is not None else ""),
        data=unpacked(data),
        computer=system.findtext("{*}Computer", "").strip(),
        record_id=record_number(system.findtext("{*}EventRecordID", "")),
    )
