"""The meaning of an event's strings, and the strings in an event's text.

The values of each event are published in Microsoft's Volume Activation 2.0 Operations Guide ("KMS Events Logged in
Windows Event Log"); in an event's text they follow "Info:", separated by commas. Event 12290 has nine. Administrators'
scripts read an event's strings by position and find one more before them, whose meaning is not known. So a value is
recognised by its form and by its neighbours, never by its position alone. Values missing in the strings are taken from
the text, and the other way round.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from kmstwist.audit.events.model import (
    ANSWER_PROCESSED,
    CLIENT_EVENTS,
    PUBLISHED,
    PUBLISHING_FAILED,
    REQUEST_ANSWERED,
    REQUEST_SENT,
    Event,
    EventError,
    RawEvent,
)

_CODE_TEXT = r"0x[0-9A-Fa-f]{1,8}|-?\d{1,10}"
_CODE_ALONE = re.compile(_CODE_TEXT)
_HEX_CODE = re.compile(r"(?<!\w)0x[0-9A-Fa-f]{1,8}(?!\w)")
_NUMBER_TEXT = r"-?\d{1,19}"
_NUMBER = re.compile(_NUMBER_TEXT)
_UUID_TEXT = r"\{?[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\}?"
_UUID = re.compile(_UUID_TEXT)
_TIME_TEXT = r"\d{1,4}[/.-]\d{1,2}[/.-]\d{1,4}\s+\d{1,2}[:.]\d\d(?:[:.]\d\d)?(?:\s*[AP]M)?"
# A client may leave its name out, but what is another kind of value is not a name.
_NAME_TEXT = rf"(?!{_UUID_TEXT}(?:\0|\Z))[^\s\0]*"
_LABEL = r"[^\W_](?:[\w-]*[^\W_])?"
_DOMAIN = re.compile(rf"(?=.{{1,253}}$){_LABEL}(?:\.{_LABEL})*\.?")
_DOTTED = re.compile(rf"(?<![\w.@/-]){_LABEL}(?:\.{_LABEL})+(?![\w@/-])")
# ruff: noqa: RUF001 - the quotes of all languages
_QUOTED = re.compile(r"['‘‚\"“„«‹「『]\s?([^\s'’‘\"”“»›」』]+)\s?['’‘\"”“»›」』]")
# A comma-separated line that begins with a status code, whatever stands before it.
_INFO = re.compile(rf"(?<![\w.:/,-])(?:{_CODE_TEXT})\s*,[^\r\n]*")
# What Windows writes in place of a text that is not installed: the strings in quotes at its end, or one on each line.
_PART_OF = re.compile(r":\s?((?:'[^'\r\n]*',\s?)+'[^'\r\n]*')\s*\Z")
_PART = re.compile(r"'([^'\r\n]*)'")
# A database does not accept either as text, and no machine writes them.
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
# An event's text is a sentence and a line of values; a longer one is not searched to its end.
_TEXT_READ = 8192


def _code(text: str) -> int:
    return int(text, 16 if text.startswith("0x") else 10) & 0xFFFF_FFFF


def _number(text: str) -> int:
    number = int(text)
    if not -(1 << 63) <= number < 1 << 63:
        raise ValueError(text)
    return number


def _flag(text: str) -> bool:
    return bool(_number(text))


def _uuid(text: str) -> str:
    return text.strip("{}").lower()


def _name(text: str) -> str | None:
    return text or None


class Kind(NamedTuple):
    """A kind of value: its name in messages, its form, and the function that reads it (which may raise ValueError)."""

    name: str
    looks: str
    read: Callable[[str], object]


CODE = Kind("status code", _CODE_TEXT, _code)
NUMBER = Kind("number", _NUMBER_TEXT, _number)
MAYBE = Kind("number", rf"(?:{_NUMBER_TEXT})?", lambda text: _number(text) if text else None)
FLAG = Kind("number", _NUMBER_TEXT, _flag)
NAME = Kind("name", _NAME_TEXT, _name)
IDENTIFIER = Kind("UUID", _UUID_TEXT, _uuid)
TIME = Kind("time", _TIME_TEXT, str)

# For each event, its values in order: the field of `Event` that it goes to ("" for none), and its kind.
_LAYOUTS: dict[int, tuple[tuple[str, Kind], ...]] = {
    REQUEST_ANSWERED: (
        ("hresult", CODE),
        ("required_count", NUMBER),
        ("machine", NAME),
        ("cmid", IDENTIFIER),
        ("client_time", TIME),
        ("virtual_machine", FLAG),
        ("license_status", NUMBER),
        ("minutes_left", NUMBER),
        ("act_id", IDENTIFIER),
    ),
    REQUEST_SENT: (
        ("hresult", CODE),
        ("", CODE),
        ("target", NAME),
        ("cmid", IDENTIFIER),
        ("client_time", TIME),
        ("virtual_machine", FLAG),
        ("license_status", NUMBER),
        ("minutes_left", NUMBER),
        ("act_id", IDENTIFIER),
        # Left out if the host could not be asked.
        ("required_count", MAYBE),
    ),
    ANSWER_PROCESSED: (
        ("hresult", CODE),
        ("", CODE),
        ("", FLAG),
        ("", NUMBER),
        ("count", NUMBER),
        ("", NUMBER),
        ("", NUMBER),
        ("client_time", TIME),
    ),
}

# There may be something before the values, but hardly more than a few strings: an event has ten.
_BEFORE = 16


def _row_of(layout: Sequence[tuple[str, Kind]]) -> re.Pattern[str]:
    """A pattern for the strings of an event with NULs between them; each value with a field is a group."""
    values = r"\0".join(f"({kind.looks})" if field else f"(?:{kind.looks})" for field, kind in layout)
    return re.compile(rf"(?:[^\0]*\0){{0,{_BEFORE}}}?{values}(?:\0|\Z)")


# One step for correct events, which nearly all are: a log has a hundred thousand of them.
_ROWS = {event_id: _row_of(layout) for event_id, layout in _LAYOUTS.items()}
_READ = {event_id: [(field, kind.read) for field, kind in layout if field] for event_id, layout in _LAYOUTS.items()}


def understand(raw: RawEvent) -> Event | None:
    """A KMS event with its meaning; None for an event of another kind. Raises EventError for one that is broken."""
    if not raw.is_kms:
        return None
    facts = facts_of(raw.event_id, raw.strings, raw.message)
    texts = [each for each in facts.values() if type(each) is str]
    if _NO_TEXT.search("".join((raw.computer, *texts))):
        raise EventError(f"event {raw.event_id} has a string with a NUL or half a surrogate pair")
    if raw.event_id in CLIENT_EVENTS:
        facts["machine"] = raw.computer or None
    return Event(raw.event_id, raw.computer, raw.record_id, raw.at, **facts)


def facts_of(event_id: int, strings: Sequence[str], message: str) -> dict[str, Any]:
    """The fields of `Event` from a KMS event's strings, or from its text. Raises EventError."""
    if event_id in _LAYOUTS and (facts := _row_facts(event_id, strings)) is not None:
        return facts
    strings = [text.strip() for text in strings]
    told = any(strings)
    if not told and not message.strip():
        raise EventError(f"event {event_id} has neither strings nor a text")
    read = _read_aligned if event_id in _LAYOUTS else _read_told
    error: EventError | None = None
    if told:
        try:
            return read(event_id, _unpacked(strings))
        except EventError as found:
            error = found
    for text in (message[:_TEXT_READ], *(each[:_TEXT_READ] for each in strings if " " in each)):
        if not text.strip():
            continue
        try:
            return dict(_read_text(event_id, text))
        except EventError as found:
            error = error or found
    assert error is not None
    raise error


def event_of_text(text: str) -> int | None:
    """Which event a text belongs to, by the number and the kinds of its values; None if that is not certain."""
    for values in _lines_of_values(text[:_TEXT_READ]):
        for event_id, layout in _LAYOUTS.items():
            if len(values) == len(layout):
                try:
                    _read_aligned(event_id, values)
                except EventError:
                    continue
                return event_id
    return None


def _unpacked(strings: Sequence[str]) -> Sequence[str]:
    """An event's strings, split if a format has them in one."""
    if len(strings) == 1:
        (only,) = strings
        if "<string>" in only:
            return [text.strip() for text in re.findall(r"<string>(.*?)</string>", only, re.DOTALL)]
        return [text.strip() for text in only.split(",")]
    return strings


def _read_aligned(event_id: int, strings: Sequence[str]) -> dict[str, Any]:
    """The facts in strings, if some consecutive ones match the event's layout."""
    facts = _row_facts(event_id, strings)
    return _read_each(event_id, strings) if facts is None else facts


def _row_facts(event_id: int, strings: Sequence[str]) -> dict[str, Any] | None:
    """The facts, read from all strings at once; None if they do not match the layout."""
    row = "\0".join(strings)
    if (found := _ROWS[event_id].match(row)) is None or row.count("\0") != len(strings) - 1:
        return None
    try:
        return {field: read(text) for (field, read), text in zip(_READ[event_id], found.groups(), strict=True)}
    except ValueError:
        # A number that is too large.
        return None


def _read_each(event_id: int, strings: Sequence[str]) -> dict[str, Any]:
    """The facts, read value by value. Raises EventError for the one that is wrong."""
    layout = _LAYOUTS[event_id]
    if len(strings) < len(layout):
        raise EventError(f"event {event_id} has {len(layout)} values and this one {len(strings)}")
    best, why = -1, ""
    for start in range(min(len(strings) - len(layout), _BEFORE) + 1):
        facts: dict[str, Any] = {}
        for place, (field, kind) in enumerate(layout):
            text = strings[start + place]
            try:
                if re.fullmatch(kind.looks, text) is None:
                    raise ValueError(text)
                value = kind.read(text)
            except ValueError:
                if place > best:
                    best = place
                    why = f"string {start + place + 1} of event {event_id} is not a {kind.name}: {text[:80]!r}"
                break
            if field:
                facts[field] = value
        else:
            return facts
    raise EventError(why)


# Cached: an event's facts are read for its time, and again for the event.
@lru_cache(maxsize=16)
def _read_text(event_id: int, text: str) -> dict[str, Any]:
    if event_id not in _LAYOUTS:
        return _read_told(event_id, [text])
    error: EventError | None = None
    for values in _lines_of_values(text):
        try:
            return _read_aligned(event_id, values)
        except EventError as found:
            error = found
    raise error or EventError(f"the text of event {event_id} has no line with its values: {_shortened(text)!r}")


def _lines_of_values(text: str) -> Iterator[list[str]]:
    """The values in an event's text, in any language."""
    for found in _INFO.finditer(text):
        values = [value.strip() for value in found[0].split(",")]
        # Something may follow the last value where line ends were lost.
        if (last := _UUID.match(values[-1])) is not None:
            values[-1] = last[0]
        yield values
    if (quoted := _PART_OF.search(text)) is not None:
        yield _PART.findall(quoted[1])
    lines = [line.strip() for line in text.splitlines()]
    begin = next((at for at, line in enumerate(lines) if _CODE_ALONE.fullmatch(line) is not None), len(lines))
    if begin < len(lines):
        yield lines[begin:]


def _read_told(event_id: int, strings: Sequence[str]) -> dict[str, Any]:
    """The facts of an event that has a status code, a domain, or both, in strings or in a sentence."""
    facts: dict[str, Any] = {}
    if event_id != PUBLISHED:
        codes = [text for text in strings if _CODE_ALONE.fullmatch(text)]
        codes = codes or [each for text in strings for each in _HEX_CODE.findall(text)]
        if not codes:
            raise EventError(f"event {event_id} has no status code: {_shortened(' '.join(strings))!r}")
        facts["hresult"] = _code(codes[-1])
    if event_id in (PUBLISHING_FAILED, PUBLISHED):
        facts["target"] = _domain(event_id, strings)
    return facts


def _domain(event_id: int, strings: Sequence[str]) -> str:
    alone = [text for text in strings if _DOMAIN.fullmatch(text) and not _CODE_ALONE.fullmatch(text)]
    if alone:
        return alone[-1].rstrip(".")
    dotted: dict[str, None] = {}
    quoted: dict[str, None] = {}
    for text in strings:
        dotted |= dict.fromkeys(each for each in _DOTTED.findall(text) if not _NUMBER.fullmatch(each.replace(".", "")))
        quoted |= dict.fromkeys(each.rstrip(".") for each in _QUOTED.findall(text) if _DOMAIN.fullmatch(each))
    # An apostrophe looks like a quote, and the end of a sentence like a dot in a name.
    for found in (dotted.keys() & quoted.keys(), dotted, quoted):
        if len(found) == 1:
            return next(iter(found))
    raise EventError(f"event {event_id} has no DNS domain: {_shortened(' '.join(strings))!r}")


def _shortened(text: str) -> str:
    return " ".join(text.split())[:80]
