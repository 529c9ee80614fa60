"""A machine's event log as Windows exports it: as text, XML (wevtutil), JSON and CSV (Get-WinEvent)."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from kmstwist.lab.host_settings import StoredEvent
from kmstwist.lab.machines.events import ACQUISITION_FAILED, LOG, PROVIDER, MachineEvent
from kmstwist.lab.machines.machine import Machine
from kmstwist.lab.machines.regions import Region, region

HOST_LOG = "Key Management Service"
HOST_NAME = "LAB-KMSHOST"
REQUEST_ANSWERED = 12290
_ANSWERED = "An activation request has been processed."
_NAMESPACE = "http://schemas.microsoft.com/win/2004/08/events/event"
_PROVIDER_ID = "{E23B33B0-C8C9-472C-A5F9-F2BDFEA0F156}"


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """An event in a log: its record number, its time (Unix seconds), its id, its strings and its text."""

    record_id: int
    at: float
    event_id: int
    computer: str
    log: str
    strings: Sequence[str]
    message: str
    about: str = ""

    @property
    def level(self) -> str:
        """Information, or an error."""
        return "Error" if self.event_id == ACQUISITION_FAILED else "Information"

    @property
    def moment(self) -> datetime:
        """When, in UTC."""
        return datetime.fromtimestamp(self.at, UTC)


def of_machine(machine: Machine, events: Iterable[MachineEvent], first: int = 1) -> list[LoggedEvent]:
    """A machine's events in its log, numbered from `first`."""
    return [
        LoggedEvent(number, event.at, event.number, machine.full_name, LOG, event.fields, event.text, event.product)
        for number, event in enumerate(events, first)
    ]


def of_host(events: Iterable[StoredEvent]) -> list[LoggedEvent]:
    """The lab host's events in its log."""
    return [
        LoggedEvent(
            event.record_id,
            event.at,
            REQUEST_ANSWERED,
            HOST_NAME,
            HOST_LOG,
            event.info.split(","),
            f"{_ANSWERED}\nInfo:\n{event.info}",
        )
        for event in events
    ]


def as_text(events: Sequence[LoggedEvent], shown_in: Region) -> str:
    """The events for people, each followed by an empty line."""
    parts = []
    for event in events:
        about = f"  ({event.about})" if event.about else ""
        parts.append(f"{shown_in.local(event.at)}  Event {event.event_id}{about}\n{event.message}\n\n")
    return "".join(parts)


def as_json(events: Sequence[LoggedEvent], shown_in: Region) -> str:
    """The output of `Get-WinEvent | ConvertTo-Json`; a list even for a single event."""
    return json.dumps([_properties(event) for event in events], indent=2, ensure_ascii=False) + "\n"


def _properties(event: LoggedEvent) -> dict[str, object]:
    return {
        "Message": event.message.replace("\n", "\r\n"),
        "Id": event.event_id,
        "Version": 0,
        "Level": 2 if event.level == "Error" else 4,
        "RecordId": event.record_id,
        "ProviderName": PROVIDER,
        "ProviderId": _PROVIDER_ID.strip("{}").lower(),
        "LogName": event.log,
        "MachineName": event.computer,
        "TimeCreated": f"/Date({int(event.at * 1000)})/",
        "LevelDisplayName": event.level,
        "Properties": [{"Value": string} for string in event.strings],
    }


def as_csv(events: Sequence[LoggedEvent], shown_in: Region) -> str:
    """The output of `Get-WinEvent | Select-Object Id, RecordId, MachineName, TimeCreated, Message | Export-Csv`."""
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(["Id", "RecordId", "MachineName", "TimeCreated", "Message"])
    for event in events:
        message = event.message.replace("\n", "\r\n")
        writer.writerow([event.event_id, event.record_id, event.computer, shown_in.whole(event.at), message])
    return text.getvalue()


def as_xml(events: Sequence[LoggedEvent], shown_in: Region) -> str:
    """The output of `wevtutil qe /f:xml`, with a root element that makes it a document."""
    return "".join(["<Events>\n", *(f"{_element(event)}\n" for event in events), "</Events>\n"])


def _element(event: LoggedEvent) -> str:
    # Here, because it loads a client for HTTP, and most commands print no XML.
    from xml.sax.saxutils import escape, quoteattr

    created = f"{event.moment:%Y-%m-%dT%H:%M:%S}.{event.moment.microsecond:06d}0Z"
    data = "".join(f"<Data>{escape(string)}</Data>" for string in event.strings)
    level = 2 if event.level == "Error" else 4
    return (
        f"<Event xmlns='{_NAMESPACE}'><System><Provider Name='{PROVIDER}' Guid='{_PROVIDER_ID}' "
        "EventSourceName='Software Protection Platform Service'/>"
        f"<EventID Qualifiers='16384'>{event.event_id}</EventID><Version>0</Version><Level>{level}</Level>"
        "<Task>0</Task><Opcode>0</Opcode><Keywords>0x80000000000000</Keywords>"
        f"<TimeCreated SystemTime={quoteattr(created)}/><EventRecordID>{event.record_id}</EventRecordID><Correlation/>"
        f"<Execution ProcessID='0' ThreadID='0'/><Channel>{escape(event.log)}</Channel>"
        f"<Computer>{escape(event.computer)}</Computer><Security/></System><EventData>{data}</EventData></Event>"
    )


FORMATS: dict[str, Callable[[Sequence[LoggedEvent], Region], str]] = {
    "text": as_text,
    "json": as_json,
    "csv": as_csv,
    "xml": as_xml,
}


def exported(events: Sequence[LoggedEvent], form: str, shown_in: str) -> str:
    """Events in one of the `FORMATS`; text and CSV have times in the format of a region."""
    return FORMATS[form](events, region(shown_in))
