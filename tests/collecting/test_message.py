"""Messages in the forms of NXLog, Winlogbeat, rsyslog and Snare."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmstwist.audit.events.interpret import understand
from kmstwist.audit.events.model import BrokenEvent, Event, RawEvent
from kmstwist.audit.events.reading.times import Times
from kmstwist.collecting.message import read_message
from tests.audit.exports import request
from tests.audit.making import uuid

AT = datetime(2026, 10, 5, 8, 14, 22, tzinfo=UTC)
NOW = int(datetime(2026, 11, 1, tzinfo=UTC).timestamp() * 1000)
HOST = "KMS1.example.com"
SAMPLE = request(77, AT, "pc1.example.com")
INFO = f"An activation request has been processed. Info: {','.join(SAMPLE.data)}"

# Names, types and times of NXLog's JSON and structured data, of Winlogbeat's JSON and Snare's lines, and what rsyslog
# makes of these, are as published examples of each have them; `@cee:` and a text alone are as documented.
#: As NXLog's im_msvistalog has an event.
NXLOG = {
    "EventTime": "2026-10-05 08:14:22",
    "Hostname": HOST,
    "Keywords": 36028797018963968,
    "EventType": "INFO",
    "SeverityValue": 2,
    "Severity": "INFO",
    "EventID": 12290,
    "SourceName": "Microsoft-Windows-Security-SPP",
    "ProviderGuid": "{E23B33B0-C8C9-472C-A5F9-F2BDFEA0F156}",
    "Version": 0,
    "Task": 0,
    "OpcodeValue": 0,
    "RecordNumber": 77,
    "ProcessID": 0,
    "ThreadID": 0,
    "Channel": "Key Management Service",
    "Message": INFO,
    "EventReceivedTime": "2026-10-05 08:14:23",
    "SourceModuleName": "in",
    "SourceModuleType": "im_msvistalog",
}
#: As Winlogbeat 8 has it.
WINLOGBEAT = {
    "@timestamp": "2026-10-05T08:14:22.000Z",
    "@metadata": {"beat": "winlogbeat", "type": "_doc", "version": "8.11.0"},
    "event": {"code": "12290", "kind": "event", "provider": "Microsoft-Windows-Security-SPP"},
    "host": {"name": HOST},
    "message": INFO,
    "winlog": {
        "channel": "Key Management Service",
        "computer_name": HOST,
        "event_id": "12290",
        "provider_name": "Microsoft-Windows-Security-SPP",
        "record_id": 77,
        "event_data": {f"param{number + 1}": text for number, text in enumerate(SAMPLE.data)},
    },
}
STRUCTURED = (
    '[NXLOG@14506 Keywords="36028797018963968" EventType="INFO" EventID="12290" '
    'ProviderGuid="{E23B33B0-C8C9-472C-A5F9-F2BDFEA0F156}" Version="0" RecordNumber="77" '
    'Channel="Key Management Service" Category="a \\"b\\" \\] c" EventReceivedTime="2026-10-05 08:14:23" '
    'SourceModuleName="in" SourceModuleType="im_msvistalog"]'
)
SNARE = "\t".join(
    [
        "MSWinEventLog", "1", "Key Management Service", "42", "Mon Oct 05 08:14:22 2026", "12290",
        "Microsoft-Windows-Security-SPP", "N/A", "N/A", "Information", HOST, "N/A", "", INFO, "77",
    ]
)  # fmt: skip

MESSAGES = {
    "JSON of NXLog": json.dumps(NXLOG),
    "JSON of NXLog 5": json.dumps(NXLOG | {"EventTime": "2026-10-05T10:14:22.000000+02:00"}),
    "JSON of Winlogbeat": json.dumps(WINLOGBEAT),
    "JSON of Winlogbeat, passed on": json.dumps({"host": "relay", "message": json.dumps(WINLOGBEAT)}),
    "RFC 5424 with structured data": (
        f"<14>1 2026-10-05T08:14:22.000000Z {HOST} Microsoft-Windows-Security-SPP 0 - {STRUCTURED} {INFO}"
    ),
    "RFC 5424 with JSON": f"<14>1 2026-10-05T08:14:22Z {HOST} nxlog - - - \ufeff{json.dumps(NXLOG)}",
    "RFC 5424 with @cee": f"<14>1 2026-10-05T08:14:22Z {HOST} nxlog - - - @cee: {json.dumps(NXLOG)}",
    "RFC 5424 with XML": f"<14>1 2026-10-05T08:14:23Z relay agent 12 - - {SAMPLE.xml}",
    "RFC 3164 with JSON": f"<14>Oct  5 08:14:22 {HOST} nxlog[12]: {json.dumps(NXLOG)}",
    "RFC 3164 with the text alone": f"<14>Oct  5 08:14:22 {HOST} Microsoft-Windows-Security-SPP[0]: {INFO}",
    "RFC 3164 with an ISO time": f"<14>2026-10-05T08:14:22+00:00 {HOST} nxlog: {json.dumps(NXLOG)}",
    "RFC 3164 with Snare": f"<14>Oct  5 08:14:22 {HOST} {SNARE}",
    # As rsyslog writes messages into a file, without their priority.
    "a line of a file with JSON": f"2026-10-05T08:14:22.123456+00:00 {HOST} nxlog[12]: {json.dumps(NXLOG)}",
    "a line of a file with the text alone": f"Oct  5 08:14:22 {HOST} Microsoft-Windows-Security-SPP: {INFO}",
    # As rsyslog passes a tab on, with the name as the message's tag or without a head.
    "RFC 3164 with Snare, by rsyslog": f"<14>Oct  5 08:14:22 {HOST} " + SNARE.replace("\t", "#011"),
    "RFC 3164 with Snare as its tag": f"<14>Oct  5 08:14:22 {HOST} " + SNARE.replace("\t", ": ", 1),
    "Snare without a head": f"relay\t{SNARE}",
    "Snare without a year": f"<14>Oct  5 08:14:22 {HOST} " + SNARE.replace("22 2026", "22.123"),
    "XML alone": SAMPLE.xml,
}


def read(message: str | bytes, zone: Any = UTC, now: int = NOW) -> RawEvent | BrokenEvent | None:
    return read_message(message.encode() if isinstance(message, str) else message, "here", Times(zone, now))


def understood(message: str, **options: Any) -> Event:
    raw = read(message, **options)
    assert isinstance(raw, RawEvent), raw
    event = understand(raw)
    assert event is not None
    return event


@pytest.mark.parametrize("name", list(MESSAGES))
def test_every_sender_is_understood_alike(name: str) -> None:
    event = understood(MESSAGES[name])
    assert (event.event_id, event.computer, event.at) == (12290, HOST, int(AT.timestamp() * 1000))
    assert (event.hresult, event.machine, event.cmid) == (0, "pc1.example.com", uuid("pc1.example.com"))
    assert event.record_id == (None if "text" in name or "Snare" in name else 77)


def test_times_without_a_zone_are_in_the_one_given() -> None:
    assert (
        understood(MESSAGES["JSON of NXLog"], zone=ZoneInfo("Europe/Berlin")).at
        == int(AT.timestamp() * 1000) - 7_200_000
    )


@pytest.mark.parametrize(("month", "year"), [("Jan", 2026), ("Nov", 2026), ("Dec", 2025)])
def test_a_day_without_a_year_is_the_last_one_of_its_name(month: str, year: int) -> None:
    text = f"<14>{month}  1 08:14:22 {HOST} Microsoft-Windows-Security-SPP[0]: {INFO}"
    assert datetime.fromtimestamp(understood(text).at / 1000, UTC).year == year


@pytest.mark.parametrize(
    "message",
    [
        "",
        "hello",
        "<14>1 2026-10-05T08:14:22Z host sshd 12 - - Accepted publickey",
        "<14>Oct  5 08:14:22 host sshd[12]: Accepted publickey",
        "Oct  5 08:14:22 host sshd[12]: Accepted publickey",
        json.dumps(
            NXLOG | {"EventID": 4624, "SourceName": "Microsoft-Windows-Security-Auditing", "Channel": "Security"}
        ),
        json.dumps({"message": "hello", "host": "x"}),
        json.dumps(NXLOG | {"SourceName": "VSS", "Channel": "Application"}),
    ],
)
def test_messages_not_about_kms_are_ignored(message: str) -> None:
    assert read(message) is None


@pytest.mark.parametrize(
    "message",
    [
        '{"EventID": 12290',
        json.dumps({name: value for name, value in NXLOG.items() if name not in ("EventTime", "EventReceivedTime")}),
        "<14>Oct  5 08:14:22 host MSWinEventLog\t1\tKey Management Service",
    ],
)
def test_a_broken_message_says_why(message: str) -> None:
    found = read(message)
    assert isinstance(found, BrokenEvent)
    assert found.why


@given(
    st.binary(max_size=400)
    | st.sampled_from(sorted(MESSAGES.values())).flatmap(
        lambda text: st.integers(0, len(text)).map(lambda at: text[:at].encode())
    )
)
def test_whatever_is_sent_is_an_event_or_broken_or_neither(message: bytes) -> None:
    found = read(message)
    assert found is None or isinstance(found, RawEvent | BrokenEvent)
    if isinstance(found, RawEvent):
        assert found.is_kms


def test_json_in_json_in_json_ends_somewhere() -> None:
    text = json.dumps(NXLOG)
    for _ in range(10):
        text = json.dumps({"message": text})
    assert read(text) is None
