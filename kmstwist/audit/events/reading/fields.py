"""An event from named fields, whichever tool named them.

PowerShell's Get-WinEvent and Get-EventLog, Winlogbeat, NXLog, Fluent Bit, Splunk, Graylog, Wazuh, Azure Monitor,
EvtxECmd and evtx_dump each have their own names for the same few things. A name with a dot is a field within a field,
or a field whose name contains a dot. Case is ignored in names; GELF puts an underscore before them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from html import unescape
from typing import Any

from kmstwist.audit.events.interpret import facts_of
from kmstwist.audit.events.model import KMS_EVENTS, BrokenEvent, EventError, RawEvent, record_number
from kmstwist.audit.events.reading.instants import client_clock
from kmstwist.audit.events.reading.times import Times, has_zone
from kmstwist.audit.events.reading.xml import parse_event

EVENT_ID = ("Id", "EventID", "InstanceId", "winlog.event_id", "event.code", "event_id", "EventCode", "EventIdentifier")
TIME = (
    "TimeCreated",
    "TimeGenerated",
    "@timestamp",
    "EventTime",
    "TimeWritten",
    "SystemTime",
    "winlog.time_created",
    "event_time",
    "time_created",
    "_time",
    "timestamp",
)
COMPUTER = (
    "MachineName",
    "winlog.computer_name",
    "Computer",
    "ComputerName",
    "Hostname",
    "computer_name",
    "host.name",
    "host",
)
RECORD_ID = (
    "RecordId",
    "EventRecordID",
    "winlog.record_id",
    "Index",
    "RecordNumber",
    "record_number",
    "event_record_id",
)
SOURCE = (
    "ProviderName",
    "winlog.provider_name",
    "SourceName",
    "Source",
    "Provider",
    "event.provider",
    "source_name",
    "ProviderGuid",
)
LOG = ("LogName", "Channel", "winlog.channel", "Log", "EventLog", "Logfile", "log_name")
# Graylog cuts its "message" short where there is a full one.
MESSAGE = ("full_message", "Message", "RenderedDescription", "Description", "short_message")
STRINGS = (
    "Properties",
    "ReplacementStrings",
    "winlog.event_data",
    "StringInserts",
    "InsertionStrings",
    "ParameterXml",
    "EventData",
    "event_data",
    "winlog.user_data",
    "Payload",
)
# Where a tool keeps the event's own XML.
WHOLE = ("_raw", "event.original", "Xml")

COMMAND = 'Get-WinEvent -LogName "Key Management Service" | ConvertTo-Json'

# What a field may be wrapped in: attributes and text of an XML element, or a value to which PowerShell added more.
_WRAPPED = ("#text", "value", "Value", "$", "Name", "SystemTime", "@Name", "@SystemTime", "#attributes")
# What the event itself may be wrapped in: Elasticsearch and Splunk return the original inside what they added,
# evtx_dump writes the whole element, and Wazuh two levels above it.
_AROUND = ("_source", "result", "Event", "data", "win")
# Windows' own times are in UTC, even if a tool leaves the zone out.
_NO_ZONE = re.compile(r"[\dT :.-]+")
_THOUSANDS = re.compile(r"\d{2}[,.\u00a0\u202f]\d{3}")
_ELEMENT = re.compile(r"<(?:Param|Data)\b[^<>]*?(?:/>|>([^<]*)</)")
# What PowerShell writes instead of a value that is nested too deep, or in a column of CSV.
_DOT_NET = re.compile(r"System\.(?:Diagnostics|Collections|String|Object)\b[\w.`\[\]+, ]*")
_PARAMETER = re.compile(r"\D*(\d+)\D*")
# How evtx_dump distinguishes elements of one name.
_REPEATED = re.compile(r"Data(?:_(\d+))?")
# Fields of Winlogbeat before its version 7, which had none in others but the event's data.
_FLAT = frozenset({"event_id", "computer_name", "record_number", "source_name", "log_name", "@timestamp"})


class Fields:
    """Looks fields up by the names they may have."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = {_plain(name): value for name, value in values.items()}
        system = self._values.get("system")
        self._system = {str(name).lower(): value for name, value in system.items()} if isinstance(system, dict) else {}

    def find(self, names: Sequence[str]) -> object:
        """The value of the first of these fields that there is; None if there is none."""
        for name in names:
            value = self._get(name.lower())
            # A table has a column for what other events have.
            if value is not None and value != "":
                return value
        return None

    def text(self, names: Sequence[str]) -> str:
        """The same as a text; "" if there is none."""
        value = scalar(self.find(names))
        return "" if value is None else str(value).strip()

    def has(self, name: str) -> bool:
        """Whether there is a field of this name at all, empty or not."""
        return name.lower() in self._values

    def _get(self, name: str) -> object:
        if name in self._values:
            return self._values[name]
        for alike in (name, f"{name}_attributes"):
            if alike in self._system and self._system[alike] is not None:
                return self._system[alike]
        outer, dot, inner = name.partition(".")
        if dot and isinstance(within := self._values.get(outer), dict):
            return within.get(inner)
        return None

    def beneath(self, name: str) -> dict[str, Any]:
        """The fields whose names begin with `name` and a dot, with that prefix removed."""
        return {key[len(name) + 1 :]: value for key, value in self._values.items() if key.startswith(f"{name}.")}


@lru_cache(maxsize=512)
def _plain(name: object) -> str:
    """A field's name in lower case, without the prefix that a tool puts before every name."""
    plain = str(name).lower()
    if plain.startswith(("winlogbeat_", "winlog_")):
        return _of_beats(plain.removeprefix("winlogbeat_"))
    return plain[1:] if plain[:1] == "_" and plain not in ("_id", *WHOLE, *_AROUND, "_time") else plain


def _of_beats(name: str) -> str:
    """The name of Winlogbeat's field that Graylog, which has no fields in fields, calls `name`."""
    if name in _FLAT:
        return name
    plain = name.removeprefix("winlog_")
    if plain.startswith("event_data_"):
        return f"winlog.event_data.{plain[len('event_data_') :]}"
    return f"winlog.{plain}" if plain != name else name.replace("_", ".", 1)


def named(headings: Iterable[str]) -> frozenset[str]:
    """The names of these columns, as `Fields` compares them."""
    return frozenset(map(_plain, headings))


def scalar(value: object) -> object:
    """A value, without what a tool wrapped around it."""
    for _ in range(4):
        if isinstance(value, list) and len(value) == 1:
            # Elasticsearch's answer has a list for each field.
            value = value[0]
        if not isinstance(value, dict):
            return value
        value = next((value[name] for name in _WRAPPED if name in value), None)
    return None


def event_of(values: Mapping[str, Any], place: str, times: Times) -> RawEvent | BrokenEvent:
    """The event in these fields."""
    fields = Fields(unwrapped(values))
    number = fields.text(EVENT_ID)
    if (whole := fields.text(WHOLE)).startswith("<Event"):
        event = parse_event(whole, place)
        if isinstance(event, RawEvent) or not number:
            return event
    elif "\nEventCode=" in whole:
        fields = Fields(_of_splunk(whole, fields))
        number = fields.text(EVENT_ID)
    if not number:
        return _missing(place, "event id", "Id")
    if _THOUSANDS.fullmatch(number):
        number = f"{number[:2]}{number[3:]}"
    if not number.isascii() or not number.isdecimal() or len(number) > 10:
        return BrokenEvent(place, f"the event's id is not a number: {number[:40]!r}")
    # An InstanceId has qualifiers above the number.
    event_id = int(number) & 0xFFFF
    source = " ".join(filter(None, (fields.text(SOURCE), fields.text(LOG))))
    event = RawEvent(place, event_id, 0, source=source)
    if event_id not in KMS_EVENTS or not event.is_kms:
        return event
    created = fields.find(TIME)
    when = str(scalar(created) or "").strip()
    if not when:
        return _missing(place, "time", "TimeCreated")
    # EvtxECmd, and what makes JSON of the event's XML.
    universal = any("SystemTime" in str(name) for name in created) if isinstance(created, dict) else False
    if (universal or fields.has("PayloadData1") or fields.has("MapDescription")) and _NO_ZONE.fullmatch(when):
        when = f"{when}Z"
    strings, message = _strings(fields.find(STRINGS) or fields.beneath("winlog.event_data")), fields.text(MESSAGE)
    if any(_DOT_NET.fullmatch(text) for text in strings):
        strings = []
    if not strings and not message:
        return _missing(place, "text and no strings", "Message or Properties")
    try:
        at = times.read(when, lambda: client_time(event_id, strings, message))
    except (ValueError, OverflowError) as error:
        return BrokenEvent(place, str(error))
    return RawEvent(
        place=place,
        event_id=event_id,
        at=at,
        strings=strings,
        message=message,
        computer=fields.text(COMPUTER),
        record_id=record_number(fields.text(RECORD_ID)),
        source=source,
    )


def unwrapped(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """The object with the event's fields, without what a tool put around it."""
    if "_index" in values and not values.get("_source") and isinstance(found := values.get("fields"), dict):
        # Elasticsearch, asked for fields and not for the original document.
        return found
    for outer in _AROUND:
        if isinstance(inner := values.get(outer), dict):
            values = inner
    return values


def _of_splunk(text: str, around: Fields) -> dict[str, str]:
    """The fields in Splunk's text of an event: the host's time, lines of a name and a value, and the message."""
    head, _, message = text.partition("\nMessage=")
    first, *lines = head.splitlines()
    found = dict(line.split("=", 1) for line in lines if "=" in line)
    indexed = around.text(("_time",))
    return {**found, "TimeCreated": indexed if has_zone(indexed) else first, "Message": message}


def client_time(event_id: int, strings: Sequence[str], message: str) -> datetime | None:
    """The client's own time in an event about a request that was accepted; None in any other."""
    try:
        facts = facts_of(event_id, strings, message)
    except EventError:
        return None
    return client_clock(facts.get("client_time")) if facts.get("hresult") == 0 else None


def _missing(place: str, what: str, name: str) -> BrokenEvent:
    return BrokenEvent(place, f"the object has no {what} ({name}); export events with: {COMMAND}")


def _strings(value: Any, depth: int = 0) -> list[str]:
    """An event's strings, from a list of them, of objects that hold one each, or from parameters with numbers."""
    if value is None or depth > 4:
        return []
    if isinstance(value, list):
        return [str(text) if (text := scalar(each)) is not None else "" for each in value]
    if isinstance(value, str):
        return _listed(value, depth)
    if not isinstance(value, dict):
        return [str(value)]
    if "Data_1" in value:
        value = {int(found[1] or 0): each for name, each in value.items() if (found := _REPEATED.fullmatch(name))}
    for name in ("EventData", "Data", "data", "#text", "value", "Value"):
        if name in value:
            return _strings(value[name], depth + 1)
    numbered = {
        int(found[1]): each for name, each in value.items() if (found := _PARAMETER.fullmatch(str(name))) is not None
    }
    listed = [numbered[number] for number in sorted(numbered)] if numbered else list(value.values())
    return _strings(listed, depth + 1)


def _listed(text: str, depth: int) -> list[str]:
    """Strings that stand in one text: as JSON, as elements, or as they are."""
    if text.startswith("{"):
        try:
            return _strings(json.loads(text), depth + 1)
        except (ValueError, RecursionError):
            return [text]
    if elements := _ELEMENT.findall(text):
        return [unescape(each) for each in elements]
    return [text] if text else []
