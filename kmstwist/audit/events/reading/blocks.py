# ruff: noqa: RUF001 - the words are those of other languages
"""Events as blocks of lines with labels: what `wevtutil qe /f:text` prints, what Event Viewer copies, what PowerShell's
Format-List shows, and Splunk's text of an event.

The labels are in the language of Windows. So a block's values are recognised by their form: the event's number, a time,
the source. The lines after the last of these are the event's text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import TextIO

from kmstwist.audit.events.model import KMS_EVENTS, BrokenEvent, RawEvent, logged_by_kms, record_number
from kmstwist.audit.events.reading import fields
from kmstwist.audit.events.reading.listing import put_together, shown_as_list
from kmstwist.audit.events.reading.times import Times, looks_like_time
from kmstwist.audit.events.reading.xml import parse_event

# Characters of a line, and of an event.
LONGEST = 1 << 16
MAX_EVENT = 1 << 18
# How many lines are looked at to recognise such blocks.
TELLING = 200

COMMAND = 'wevtutil qe "Key Management Service" /f:xml'


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# A label that is longer than its column has the value right behind it.
_LABEL = re.compile(r"\s*([^\W\d_][\w '’.\-]{0,40}?)(?:\s*:(?!//)|=)\s*(.*?)\s*")
# What stands above a command's output where that was copied from a console.
_PROMPT = re.compile(r"\s*(?:PS )?[A-Za-z]:\\[^<>|\r\n]*>.*\s*")
_FIRST = re.compile(r"\s*Event\s?\[\d+\]:?\s*")
_NUMBER = re.compile(r"\d{1,5}")
# With qualifiers above the number.
_INSTANCE = re.compile(r"\d{1,10}")
_NUMBERS = frozenset(name.lower() for name in (*fields.EVENT_ID, "Event ID"))
_RECORDS = frozenset(name.lower() for name in fields.RECORD_ID)
_COMPUTERS = frozenset(name.lower() for name in fields.COMPUTER) | _words("""
    ordinateur equipo computador komputer počítač datamaskin dator tietokone számítógép компьютер bilgisayar
    コンピューター コンピュータ 计算机 電腦 컴퓨터
""")
_TEXTS = _words("""
    message description beschreibung descripción descrizione descrição opis popis beskrivning beskrivelse omschrijving
    beschrijving kuvaus leírás описание açıklama 説明 描述 说明 설명
""")


def is_prompt(line: str) -> bool:
    """Whether a line is a prompt of Windows' console with a command, as people copy it along with the output."""
    return _PROMPT.fullmatch(line) is not None


def looks_like_blocks(head: str) -> bool:
    """Whether a text with this beginning may consist of such blocks."""
    lines = head.splitlines()[:TELLING]
    found = [label for line in lines if (label := _LABEL.fullmatch(line[:LONGEST])) is not None]
    numbered = any(_is_number(each[1], each[2]) for each in found)
    times = [each[2] for each in found] + [line for line in lines[:1] if _LABEL.fullmatch(line) is None]
    return len(found) >= 3 and numbered and any(looks_like_time(each) for each in times)


def read_blocks(text: TextIO, times: Times) -> Iterator[RawEvent | BrokenEvent]:
    """The events of a text, in order."""
    for line, block in _cut(text):
        yield _event(block, f"line {line}", times)


def _cut(text: TextIO) -> Iterator[tuple[int, list[str]]]:
    """Each block's lines, with the number of the first."""
    block: list[str] = []
    first = ""
    begin, number, size = 1, 0, 0
    while line := text.readline(LONGEST):
        number += 1
        line = line.rstrip("\r\n").lstrip("\ufeff")
        if not first and is_prompt(line):
            continue
        # Most lines are neither: a log has a million of them.
        begin_of_line = line.lstrip().lower()
        name = _labelled(line)[0] if not first or begin_of_line.startswith(first) else ""
        begins = begin_of_line.startswith("event") and _FIRST.fullmatch(line) is not None
        if begins or (name and name == first and any(map(_is_number_line, block))):
            # Splunk has the time alone above each event.
            above = (
                []
                if begins or not block or _LABEL.fullmatch(block[-1]) or not looks_like_time(block[-1])
                else block[-1:]
            )
            if any(each.strip() for each in block[: len(block) - len(above)]):
                yield begin, block[: len(block) - len(above)]
            block, begin, size = above, number - len(above), 0
        first = first or name
        size += len(line)
        if not begins and size <= MAX_EVENT and (block or line.strip()):
            block.append(line)
    if block:
        yield begin, block


@lru_cache(maxsize=128)
def _labelled(line: str) -> tuple[str, str]:
    """A line's label in lower case and its value; "" and the line itself if it has no label."""
    # Cached: most of these lines are the same in every event.
    found = _LABEL.fullmatch(line)
    return ("", line.strip()) if found is None else (found[1].lower(), found[2])


def _is_number(label: str, value: str) -> bool:
    if label.lower() == "instanceid":
        return _INSTANCE.fullmatch(value) is not None
    if not _NUMBER.fullmatch(value):
        return False
    return label.lower() in _NUMBERS or int(value) in KMS_EVENTS


def _is_number_line(line: str) -> bool:
    name, value = _labelled(line)
    return name != "" and _is_number(name, value)


def _event(block: list[str], place: str, times: Times) -> RawEvent | BrokenEvent:
    whole = "\n".join(block)
    if (begin := whole.find("<Event ")) >= 0 and (end := whole.find("</Event>", begin)) >= 0:
        return parse_event(whole[begin : end + len("</Event>")], place)
    if (found_list := shown_as_list(block)) is not None:
        return _of_list(found_list, place, times)
    number, when, computer, record, below = "", "", "", "", 0
    sources: list[str] = []
    for at, line in enumerate(block):
        name, value = _labelled(line)
        if name in _TEXTS:
            below = at
            break
        if not number and _is_number(name, value):
            number = value
        elif not when and looks_like_time(value):
            when = value
        elif name and logged_by_kms(value) and len(value) < 80:
            sources.append(value)
        elif name in _COMPUTERS:
            computer = value
        elif name in _RECORDS:
            record = value
        elif name not in ("source", "sourcename", "providername"):
            continue
        elif value:
            sources.append(value)
        below = at + 1
    if not number or not when:
        what = "number" if not number else "time"
        return BrokenEvent(place, f"the event has no {what}; export the log as XML: {COMMAND}")
    message = "\n".join(block[below:])
    event = RawEvent(place, int(number), 0, source=" ".join(sources))
    if not event.is_kms:
        return event
    try:
        at_ms = times.read(when, lambda: fields.client_time(event.event_id, (), message))
    except (ValueError, OverflowError) as error:
        return BrokenEvent(place, str(error))
    return RawEvent(
        place,
        event.event_id,
        at_ms,
        message=message,
        computer=computer,
        record_id=record_number(record),
        source=event.source,
    )


def _of_list(values: dict[str, str], place: str, times: Times) -> RawEvent | BrokenEvent:
    number = fields.Fields(values).text(fields.EVENT_ID)
    if _INSTANCE.fullmatch(number) and "Message" in values:
        values["Message"] = put_together(int(number) & 0xFFFF, values["Message"])
    return fields.event_of(values, place, times)
