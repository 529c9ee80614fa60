"""An event from named fields, whichever tool has named them.

PowerShell's Get-WinEvent and Get-EventLog, Winlogbeat, NXLog, Fluent Bit, Splunk and evtx_dump each have names of their
own for the same few things. A name with a dot is a field in a field, or one whose name has the dot in it. Names are
compared without regard to case.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from kmstwist.audit.events.model import KMS_EVENTS, BrokenEvent, EventError, RawEvent, record_number
from kmstwist.audit.events.reading.times import Times, client_clock
from kmstwist.audit.events.understanding import facts_of

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
)
COMPUTER = ("MachineName", "winlog.computer_name", "Computer", "ComputerName", "Hostname", "host.name", "host")
RECORD_ID = ("RecordId", "EventRecordID", "winlog.record_id", "Index", "RecordNumber", "record_number")
SOURCE = ("ProviderName", "winlog.provider_name", "SourceName", "Source", "Provider", "event.provider", "ProviderGuid")
LOG = ("LogName", "Channel", "winlog.channel", "Log")
MESSAGE = ("Message", "RenderedDescription", "Description")
STRINGS = ("Properties", "ReplacementStrings", "winlog.event_data", "StringInserts", "EventData", "winlog.user_data")

COMMAND = 'Get-WinEvent -LogName "Key Management Service" | ConvertTo-Json'

# What a field is wrapped in: attributes and text of an element of XML, or a value to which PowerShell added more.
_WRAPPED = ("#text", "value", "Value", "$", "Name", "SystemTime", "#attributes")
# What PowerShell writes instead of a value that is too deep for it, or in a column of CSV.
_DOT_NET = re.compile(r"System\.(?:Diagnostics|Collections|String|Object)\b[\w.`\[\]+, ]*")
_PARAMETER = re.compile(r"\D*(\d+)\D*")


class Fields:
    """Looks fields up by the names they may have."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = {str(name).lower(): value for name, value in values.items()}
        system = self._values.get("system")
        self._system = {str(name).lower(): value for name, value in system.items()} if isinstance(system, dict) else {}

    def find(self, names: Sequence[str]) -> Any:
        """The value of the first of these fields that there is; None if there is none."""
        for name in names:
            value = self._get(name.lower())
            if value is not None:
                return value
        return None

    def text(self, names: Sequence[str]) -> str:
        """The same as a text; "" if there is none."""
        value = scalar(self.find(names))
        return "" if value is None else str(value).strip()

    def _get(self, name: str) -> Any:
        if name in self._values:
            return self._values[name]
        for alike in (name, f"{name}_attributes"):
            if alike in self._system and self._system[alike] is not None:
                return self._system[alike]
        outer, dot, inner = name.partition(".")
        if dot and isinstance(within := self._values.get(outer), dict):
            return within.get(inner)
        return None


def scalar(value: Any) -> Any:
    """A value, without what it is wrapped in."""
    for _ in range(4):
        if not isinstance(value, dict):
            return value
        value = next((value[name] for name in _WRAPPED if name in value), None)
    return None


def event_of(values: Mapping[str, Any], place: str, times: Times) -> RawEvent | BrokenEvent:
    """The event in these fields."""
    # Elasticsearch and Splunk hand out what they were given inside what they added; evtx_dump writes the whole element.
    for outer in ("_source", "result", "Event"):
        if isinstance(inner := values.get(outer), dict):
            values = inner
    fields = Fields(values)
    number = fields.text(EVENT_ID)
    if not number:
        return _missing(place, "event id", "Id")
    if not number.isascii() or not number.isdecimal() or len(number) > 10:
        return BrokenEvent(place, f"the event's id is not a number: {number[:40]!r}")
    # An InstanceId has qualifiers above the number.
    event_id = int(number) & 0xFFFF
    source = " ".join(filter(None, (fields.text(SOURCE), fields.text(LOG))))
    event = RawEvent(place, event_id, 0, source=source)
    if event_id not in KMS_EVENTS or not event.is_kms:
        return event
    when = scalar(fields.find(TIME))
    if when is None or not str(when).strip():
        return _missing(place, "time", "TimeCreated")
    strings, message = _strings(fields.find(STRINGS)), fields.text(MESSAGE)
    if any(_DOT_NET.fullmatch(text) for text in strings):
        strings = []
    if not strings and not message:
        return _missing(place, "text and no strings", "Message or Properties")
    try:
        at = times.read(str(when), lambda: client_time(event_id, strings, message))
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
    if not isinstance(value, dict):
        return [str(value)] if str(value) else []
    for name in ("Data", "#text", "value", "Value"):
        if name in value:
            return _strings(value[name], depth + 1)
    numbered = {
        int(found[1]): each for name, each in value.items() if (found := _PARAMETER.fullmatch(str(name))) is not None
    }
    listed = [numbered[number] for number in sorted(numbered)] if numbered else list(value.values())
    return _strings(listed, depth + 1)
