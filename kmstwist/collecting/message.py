"""From a message to its event: syslog of both kinds (RFC 5424, RFC 3164), JSON and XML, alone or within syslog.

Senders put things in different places. NXLog sends an event's fields as structured data of RFC 5424, or as JSON or as
Snare's tabbed line in the message; Winlogbeat and rsyslog send JSON, rsyslog after `@cee:`, or the event's own XML. If
only the text came, the number of its values shows which KMS event it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from kmstwist.audit.events.interpret import event_of_text
from kmstwist.audit.events.model import BrokenEvent, RawEvent, logged_by_kms
from kmstwist.audit.events.reading.fields import COMPUTER, EVENT_ID, TIME, Fields, event_of, unwrapped
from kmstwist.audit.events.reading.times import Times
from kmstwist.audit.events.reading.xml import parse_event

_PRIORITY = re.compile(r"<\d{1,3}>")
_HEAD_5424 = re.compile(r"1 (\S+) (\S+) (\S+) (\S+) (\S+) ")
_HEAD_3164 = re.compile(
    r"(?:([A-Z][a-z]{2}) {1,2}(\d{1,2}) (\d\d:\d\d:\d\d)|(\d{4}-\d\d-\d\d[T ][\d:.,]+(?:Z|[+-]\d\d:?\d\d)?)) (\S+) ",
    re.ASCII,
)
_ELEMENT = re.compile(r"\[([^\s\]=\"]+)")
_PARAMETER = re.compile(r'\s+([^\s\]="]+)="((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPED = re.compile(r'\\(["\\\]])')
_TAG = re.compile(r"([^\s\[:]+)(?:\[\d+\])?:?\s*")
# The beginning of a body in JSON.
_STRUCTURED = ("{", "@cee:")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_SNARE_TIME = re.compile(r"\w{3} (\w{3}) {1,2}(\d{1,2}) (\d\d:\d\d:\d\d) (\d{4})", re.ASCII)
_SNARE = "MSWinEventLog"
#: The fields in which relays put the message that they received.
_WITHIN = ("message", "msg", "Message", "event.original", "raw", "rawmsg")

# The most levels of JSON in JSON: one for each relay.
_DEPTH = 3


@dataclass(frozen=True, slots=True)
class _Syslog:
    """A message's header: when, where and by whom it was logged, as far as it says, and its structured data."""

    when: str = ""
    host: str = ""
    source: str = ""
    data: Mapping[str, str] = field(default_factory=dict)


def read_message(message: bytes, place: str, times: Times) -> RawEvent | BrokenEvent | None:
    """The event in a message; None if it is not about KMS at all."""
    text = message.decode("utf-8", "replace").strip("\ufeff\0 \t\r\n")
    head, body = _head(text, times)
    return _event(head, body.strip("\ufeff \t\r\n"), place, times, _DEPTH)


def _event(head: _Syslog, body: str, place: str, times: Times, depth: int) -> RawEvent | BrokenEvent | None:
    if body.startswith("@cee:"):
        body = body[len("@cee:") :].lstrip()
    if body.startswith("{"):
        return _of_json(head, body, place, times, depth)
    if (begin := body.find("<Event")) >= 0 and (end := body.rfind("</Event>")) > begin:
        return _ours(parse_event(body[begin : end + len("</Event>")], place))
    if (snare := body.find(_SNARE)) >= 0:
        # rsyslog writes a tab as the number of its character.
        parts = body[snare + len(_SNARE) :].replace("#011", "\t").lstrip(": \t").split("\t")
        return _of_snare(head, parts, place, times)
    if Fields(head.data).text(EVENT_ID):
        return _of_fields(head, {**head.data, "Message": body}, place, times)
    return _of_text(head, body, place, times)


def _ours(event: RawEvent | BrokenEvent) -> RawEvent | BrokenEvent | None:
    return event if isinstance(event, BrokenEvent) or event.is_kms else None


# -- heads


def _head(text: str, times: Times) -> tuple[_Syslog, str]:
    """A message's header, and the rest of the message."""
    priority = _PRIORITY.match(text)
    # Files of syslog have no priorities.
    at = 0 if priority is None else priority.end()
    if priority is not None and (found := _HEAD_5424.match(text, at)) is not None:
        when, host, source = ("" if each == "-" else each for each in found.groups()[:3])
        data, after = _structured(text, found.end())
        return _Syslog(when, host, source, data), text[after:]
    if (found := _HEAD_3164.match(text, at)) is not None:
        when = found[4] or _with_year(found[1], int(found[2]), found[3], times)
        body = text[found.end() :]
        tag = None if body.startswith(_STRUCTURED) else _TAG.match(body)
        if tag is None:
            return _Syslog(when, found[5]), body
        rest = body[tag.end() :]
        return _Syslog(when, found[5], tag[1]), rest if rest.startswith(_STRUCTURED) else body
    return _Syslog(), text[at:]


def _structured(text: str, at: int) -> tuple[dict[str, str], int]:
    """The parameters of all elements of structured data, and where the message begins."""
    data: dict[str, str] = {}
    if text.startswith("-", at):
        return data, at + 1
    while (element := _ELEMENT.match(text, at)) is not None:
        at = element.end()
        while (parameter := _PARAMETER.match(text, at)) is not None:
            data[parameter[1]] = _ESCAPED.sub(r"\1", parameter[2])
            at = parameter.end()
        if not text.startswith("]", at):
            break
        at += 1
    return data, at


def _with_year(month: str, day: int, clock: str, times: Times) -> str:
    """A time of RFC 3164, which has no year, in the latest year in which it is not in the future."""
    if month not in _MONTHS:
        return ""
    now = datetime.fromtimestamp(times.now / 1000, UTC)
    # A time up to a day ahead comes from another time zone.
    for year in (now.year + 1, now.year, now.year - 1):
        text = f"{year}-{_MONTHS.index(month) + 1:02}-{day:02} {clock}"
        try:
            when = datetime.fromisoformat(text)
        except ValueError:
            continue
        if (when.replace(tzinfo=UTC) - now).total_seconds() < 86_400:
            return text
    return ""


# -- bodies


def _of_json(head: _Syslog, body: str, place: str, times: Times, depth: int) -> RawEvent | BrokenEvent | None:
    try:
        values = json.loads(body)
    except (ValueError, RecursionError):
        return BrokenEvent(place, f"not JSON: {body[:60]!r}")
    if not isinstance(values, dict):
        return BrokenEvent(place, f"JSON that is not an object: {body[:60]!r}")
    if not _fields_in(values).text(EVENT_ID):
        for inner in _inner(values):
            return _event(_Syslog(head.when, head.host), inner, place, times, depth - 1) if depth else None
        # This is not a Windows event at all.
        return None
    return _of_fields(head, values, place, times)


def _fields_in(values: Mapping[str, Any]) -> Fields:
    return Fields(unwrapped(values))


def _inner(values: Mapping[str, Any]) -> Iterator[str]:
    """The message that a relay put in a field of its own message."""
    fields = Fields(values)
    for name in _WITHIN:
        text = fields.text((name,))
        if text.startswith(("{", "<", "@cee:")):
            yield text


def _of_fields(head: _Syslog, values: Mapping[str, Any], place: str, times: Times) -> RawEvent | BrokenEvent | None:
    fields = _fields_in(values)
    more: dict[str, Any] = {}
    if head.when and fields.find(TIME) is None:
        more["EventTime"] = head.when
    if head.host and not fields.text(COMPUTER):
        more["Hostname"] = head.host
    if head.source and not fields.text(("SourceName", "ProviderName")):
        more["SourceName"] = head.source
    return _ours(event_of({**values, **more}, place, times))


def _of_snare(head: _Syslog, parts: list[str], place: str, times: Times) -> RawEvent | BrokenEvent | None:
    """An event from Snare's line: the log, time, event id, source, computer and text; Snare's counter is ignored."""
    if len(parts) < 13:
        return BrokenEvent(place, f"a Snare line of {len(parts)} fields; there are 13 or more")
    found = _SNARE_TIME.fullmatch(parts[3].strip())
    if found is None or found[1] not in _MONTHS:
        when = head.when
    else:
        when = f"{found[4]}-{_MONTHS.index(found[1]) + 1:02}-{int(found[2]):02} {found[3]}"
    values = {
        "EventID": parts[4],
        "EventTime": when,
        "SourceName": parts[5],
        "Channel": parts[1],
        "Hostname": parts[9],
        "Message": " ".join(parts[12:]),
    }
    return _ours(event_of(values, place, times))


def _of_text(head: _Syslog, body: str, place: str, times: Times) -> RawEvent | BrokenEvent | None:
    """An event from its text alone, from a sender that names its source."""
    if not logged_by_kms(head.source) or not head.when:
        return None
    event_id = event_of_text(body)
    if event_id is None:
        return None
    values = {
        "EventID": event_id,
        "EventTime": head.when,
        "SourceName": head.source,
        "Hostname": head.host,
        "Message": body,
    }
    return _ours(event_of(values, place, times))
