"""The seeds of the readers of Windows' events: one event in each shape."""

from __future__ import annotations

import csv
import io
import json

_CMID, _PRODUCT = "0f1e2d3c-4b5a-4978-8796-a5b4c3d2e1f0", "11111111-2222-3333-4444-555555555555"
_NINE = ("0x0", "25", "pc1.example.org", _CMID, "2026/10/5 8:14", "0", "1", "43200", _PRODUCT)
_TEXT = f"An activation request has been processed.\r\nInfo:\r\n{','.join(_NINE)}"
_NAMES = {"LogName": "Key Management Service", "MachineName": "kms1.example.org", "Id": 12290, "RecordId": 7}


def _xml(values: tuple[str, ...], event_id: int = 12290) -> str:
    data = "".join(f"<Data>{value}</Data>" for value in values)
    return (
        "<Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'><System>"
        f"<Provider Name='Microsoft-Windows-Security-SPP'/><EventID Qualifiers='16384'>{event_id}</EventID>"
        "<TimeCreated SystemTime='2026-10-05T08:14:22.1234567Z'/><EventRecordID>7</EventRecordID>"
        "<Channel>Key Management Service</Channel><Computer>kms1.example.org</Computer></System>"
        f"<EventData>{data}</EventData></Event>"
    )


def _table(delimiter: str, when: str) -> str:
    out = io.StringIO()
    row = _NAMES | {"TimeCreated": when, "Message": _TEXT}
    writer = csv.DictWriter(out, list(row), delimiter=delimiter)
    writer.writeheader()
    writer.writerow(row)
    return out.getvalue()


def seeds() -> dict[str, bytes]:
    """Every seed by its name: a byte that says what it is, then a file, messages or a text."""
    nxlog = {
        "EventTime": "2026-10-05 08:14:22",
        "Hostname": "kms1.example.org",
        "EventID": 12290,
        "SourceName": "Microsoft-Windows-Security-SPP",
        "RecordNumber": 7,
        "Channel": "Key Management Service",
        "Message": _TEXT,
    }
    powershell = _NAMES | {"TimeCreated": "/Date(1791188062000)/", "Properties": [{"Value": each} for each in _NINE]}
    files = {
        "xml-nine": _xml(_NINE),
        "xml-ten": _xml(("", *_NINE)),
        "xml-published": f"<Events>{_xml(('example.org',), 12294)}{_xml(('0x8007232B', 'a.example'), 12293)}</Events>",
        "json": json.dumps([powershell, _NAMES | {"TimeCreated": "2026-10-05T08:14:22+02:00", "Message": _TEXT}]),
        "json-lines": json.dumps(nxlog) + "\n" + json.dumps(nxlog),
        "csv": _table(",", "10/5/2026 8:14:22 AM"),
        "csv-german": _table(";", "05.10.2026 08:14:22"),
        "csv-thai": _table(",", "5/10/2569 8:14:22"),
        "text": "Event[0]:\r\n  Log Name: Key Management Service\r\n  Source: Microsoft-Windows-Security-SPP\r\n"
        "  Date: 2026-10-05T10:14:22.123\r\n  Event ID: 12290\r\n  Computer: kms1\r\n  Description: \r\n" + _TEXT,
        "splunk-text": f"10/05/2026 10:14:22 AM\nLogName=Application\nEventCode=12290\nMessage={_TEXT}\n",
        "search": json.dumps({"took": 1, "hits": {"hits": [{"_source": {"Event": nxlog}}, {"_raw": _xml(_NINE)}]}}),
        "wazuh": json.dumps(
            {
                "data": {
                    "win": {
                        "system": {"eventID": "12290", "systemTime": "2026-10-05T08:14:22Z"},
                        "eventdata": {"data": ", ".join(_NINE)},
                    }
                }
            }
        ),
        "gelf": json.dumps({"_EventID": 12290, "timestamp": 1791188062.1, "full_message": _TEXT}),
        "parameters": json.dumps(
            {
                "EventID": 12290,
                "TimeGenerated": "Oct 5, 2026 @ 08:14:22.123",
                "ParameterXml": "".join(f"<Param>{each}</Param>" for each in _NINE),
            }
        ),
        "tabs": _table("\t", "2026-10-05 08:14:22"),
    }
    head = "<14>1 2026-10-05T08:14:22Z kms1.example.org Microsoft-Windows-Security-SPP 0 - "
    fields = '[NXLOG@14506 EventID="12290" RecordNumber="7" Channel="Key Management Service" x="a\\"\\]b"]'
    snare: tuple[str, ...] = ("MSWinEventLog", "1", "Key Management Service", "4", "Mon Oct 05 08:14:22 2026", "12290")
    snare += ("Microsoft-Windows-Security-SPP", "N/A", "N/A", "Information", "kms1", "N/A", "", _TEXT, "7")
    line = _TEXT.replace("\r\n", " ")
    old = "<14>Oct  5 08:14:22 kms1 "
    streams = [
        json.dumps(nxlog),
        f"{head}{fields} {line}",
        f"{head}- {json.dumps(nxlog)}",
        f"{old}nxlog[12]: @cee: {json.dumps({'message': json.dumps(nxlog)})}",
        f"{old}Microsoft-Windows-Security-SPP[0]: {line}",
        old + "\t".join(snare).replace("\r\n", " "),
        f"{head}- {_xml(_NINE)}",
    ]
    found = {name: b"\0" + text.encode() for name, text in files.items()}
    found["xml-wide"] = b"\0\xff\xfe" + _xml(_NINE).encode("utf-16-le")
    for number, message in enumerate(streams):
        encoded = message.encode()
        found[f"message-{number}"] = bytes([1 + number % 6]) + encoded + b"\n"
        found[f"message-{number}-counted"] = bytes([1 + number % 6]) + b"%d %s" % (len(encoded), encoded)
    found["slmgr"] = (
        "\7Name: Windows(R), Enterprise edition\nDescription: Windows(R) Operating System, VOLUME_KMSCLIENT channel\n"
        f"Activation ID: {_PRODUCT}\nApplication ID: 55c92734-d682-4d71-983e-d6ec3f16059f\n"
    ).encode()
    return found
