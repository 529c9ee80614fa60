"""Events in XML: as `wevtutil qe ... /f:xml` writes them, one after the other with or without an element around them,
as Event Viewer saves them with their rendered text, and as `evtx_dump` writes them.

The text is cut at the events and each is parsed separately, so that a broken one does not affect the others. Nothing
outside the events is parsed; within them, document types and entities are refused. An event without declarations, as
Windows writes them, goes to the parser in C: a log has a hundred thousand of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TextIO
from xml.etree.ElementTree import XML, Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from kmstwist.audit.events.model import BrokenEvent, RawEvent, record_number
from kmstwist.audit.events.reading.plain_xml import read_plain
from kmstwist.audit.events.reading.times import DAMAGED, iso_to_ms

CHUNK = 1 << 16
# An event of the KMS log has about 1500 characters; Windows allows 64 KiB of data.
MAX_EVENT = 1 << 20
# The most events that are parsed together.
TOGETHER = 16

_BEGIN = re.compile(r"<Event(?=[\s>])")
_END = "</Event>"
_ROOT = re.compile(r"<([A-Za-z_][\w:.-]*)")
# Other kinds of files, by their first element.
_OTHERS = {
    "html": "a web page",
    "objs": "what Export-Clixml writes",
    "objects": "what ConvertTo-Xml writes",
    "querylist": "a query for events",
    "task": "a scheduled task",
}


def root_of(head: str) -> str:
    """The name of the first element in the beginning of a text; "" if there is none."""
    found = _ROOT.search(head)
    return "" if found is None else found[1]


def what_else(root: str) -> str:
    """What a file without events is, by its first element `root`."""
    return _OTHERS.get(root.lower(), f"XML that begins with <{root}>")


def read_xml(text: TextIO) -> Iterator[RawEvent | BrokenEvent]:
    """The events of a text, in its order."""
    waiting: list[tuple[int, str]] = []
    size = 0
    for line, event in _cut(text):
        if isinstance(event, BrokenEvent):
            read: RawEvent | BrokenEvent | None = event
        elif (read := _plain(event, line)) is None:
            waiting.append((line, event))
            size += len(event)
        if waiting and (read is not None or len(waiting) >= TOGETHER or size >= CHUNK):
            yield from _parse_all(waiting)
            waiting, size = [], 0
        if read is not None:
            yield read
    yield from _parse_all(waiting)


def _plain(text: str, line: int) -> RawEvent | BrokenEvent | None:
    place = f"line {line}"
    try:
        return read_plain(text, place)
    except (ValueError, OverflowError) as error:
        return BrokenEvent(place, str(error))


def _parse_all(events: Sequence[tuple[int, str]]) -> Iterator[RawEvent | BrokenEvent]:
    """The events in texts, each with its line; parsed together if possible, which is faster."""
    together = "".join([text for _, text in events])
    if "<!" not in together:
        try:
            roots = list(XML(f"<Events>{together}</Events>"))
        except (ParseError, ValueError):
            roots = []
        if len(roots) == len(events):
            for (line, _), root in zip(events, roots, strict=True):
                yield _event_in(root, f"line {line}")
            return
    for line, text in events:
        yield parse_event(text, f"line {line}")


def _cut(text: TextIO) -> Iterator[tuple[int, str | BrokenEvent]]:
    """Each event's text with the line it begins on."""
    # What is before `at` is done with; `line` is that of `at`.
    buffer, at, line = "", 0, 1
    while True:
        begin = _BEGIN.search(buffer, at)
        if begin is not None:
            start, after = begin.span()
            line += buffer.count("\n", at, start)
            at = start
            end = buffer.find(_END, after)
            # An event that never ends must not swallow the ones after it.
            next_begin = _BEGIN.search(buffer, after, end if end >= 0 else len(buffer))
            if next_begin is not None:
                yield line, BrokenEvent(f"line {line}", "the event has no end")
                line += buffer.count("\n", at, next_begin.start())
                at = next_begin.start()
                continue
            if end >= 0:
                end += len(_END)
                yield line, buffer[at:end]
                line += buffer.count("\n", at, end)
                at = end
                continue
            keep = at
        else:
            # The beginning of an event may be cut off at the end of the piece that was read.
            keep = buffer.rfind("<", at)
            keep = len(buffer) if keep < 0 or len(buffer) - keep > len("<Event ") else keep
            line += buffer.count("\n", at, keep)
        buffer, at = buffer[keep:], 0
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
        root = _parsed(text)
    except DefusedXmlException:
        return BrokenEvent(place, "the event has a document type or an entity of its own, which no export has")
    except ParseError as error:
        return BrokenEvent(place, f"no well-formed XML{_near(text, error.position)}; {DAMAGED}")
    except ValueError:
        return BrokenEvent(place, f"no well-formed XML: it has a character that no text has; {DAMAGED}")
    return _event_in(root, place)


def _near(text: str, position: tuple[int, int]) -> str:
    """The text at which the parser stopped; `position` is the line and the column in the event."""
    line, column = position
    lines = text.splitlines()
    there = lines[line - 1][max(0, column - 20) : column + 20] if line <= len(lines) else ""
    return f" at {there!r}" if there else ""


def _event_in(root: Element, place: str) -> RawEvent | BrokenEvent:
    try:
        return _read(root, place)
    except (ValueError, OverflowError) as error:
        return BrokenEvent(place, str(error))


def _parsed(text: str) -> Element:
    if "<!" in text:
        # A comment, or marked text; or a document type, which is refused.
        root: Element = fromstring(text, forbid_dtd=True, forbid_entities=True, forbid_external=True)
        return root
    # Without a declaration there is no entity to expand, and nothing to fetch.
    return XML(text)


def _read(root: Element, place: str) -> RawEvent:
    # Each element by its name without the namespace, which may vary.
    parts = {element.tag.rpartition("}")[2]: element for element in root}
    if (system := parts.get("System")) is None:
        raise ValueError("the event has no System element")
    facts = {element.tag.rpartition("}")[2]: element for element in system}
    number = _text(facts, "EventID")
    if not number.isascii() or not number.isdecimal() or len(number) > 10:
        raise ValueError(f"the event's id is not a number: {number[:40]!r}")
    provider = facts.get("Provider")
    named = (provider.get("Name", ""), provider.get("EventSourceName", "")) if provider is not None else ()
    source = " ".join([each for each in (*named, _text(facts, "Channel")) if each])
    event = RawEvent(place, int(number), 0, source=source)
    if not event.is_kms:
        return event
    if (created := facts.get("TimeCreated")) is None:
        raise ValueError("the event has no TimeCreated element")
    data, rendered = parts.get("EventData"), parts.get("RenderingInfo")
    return RawEvent(
        place=place,
        event_id=event.event_id,
        at=iso_to_ms(created.get("SystemTime", "")),
        strings=[] if data is None else _strings(data),
        message="" if rendered is None else rendered.findtext("{*}Message", ""),
        computer=_text(facts, "Computer"),
        record_id=record_number(_text(facts, "EventRecordID")),
        source=source,
    )


def _text(elements: Mapping[str, Element], name: str) -> str:
    element = elements.get(name)
    return "" if element is None else (element.text or "").strip()


def _strings(data: Element) -> list[str]:
    return [
        (each.text or "") if not len(each) else "".join(each.itertext()) for each in data if each.tag.endswith("Data")
    ]
