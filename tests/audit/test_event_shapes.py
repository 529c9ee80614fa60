"""Events in the shapes in which Windows and other tools write them: two of strings, every format, several languages."""

# ruff: noqa: RUF001 - the words and digits of other languages
from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select

from kmstwist.audit import schema
from kmstwist.audit.engine import reading
from kmstwist.audit.events.importer import Importer, ImportResult
from kmstwist.audit.events.reading.files import UnknownFormat
from kmstwist.audit.privacy import Privacy, PrivacyPolicy
from tests.audit.evtx_writer import evtx
from tests.audit.making import uuid

CMID, SKU = uuid("pc1"), uuid("sku")
WHEN = datetime(2026, 10, 5, 8, 14, 22, tzinfo=UTC)
NOW = datetime(2026, 11, 26, tzinfo=UTC).timestamp()
LOCAL = timezone(timedelta(hours=2))
NINE = ["0x0", "25", "pc1.example.org", CMID, "2026/10/5 8:14", "0", "1", "43200", SKU]
SPP = "Microsoft-Windows-Security-SPP"
KMS_LOG = "Key Management Service"
HOST = "KMS1.ad.example.org"
SENTENCES = {
    12290: "An activation request has been processed.\r\nInfo:\r\n{}",
    12293: "Publishing the Key Management Service (KMS) to DNS in the '{1}' domain failed.\r\nInfo:\r\n{0}",
    12294: "Publishing the Key Management Service (KMS) to DNS in the '{0}' domain is successful.\r\n",
}
GERMAN = {
    12290: "Eine Aktivierungsanforderung wurde verarbeitet.\r\nInformationen:\r\n{}",
    12293: 'Fehler beim Veröffentlichen des Diensts (KMS) in DNS in der Domäne "{1}".\r\nInfo:\r\n{0}',
    12294: "Der Schlüsselverwaltungsdienst (KMS) wurde in DNS in der Domäne „{0}“ veröffentlicht.\r\n",
}

#: Number, event, strings: what a log has.
LOG: list[tuple[int, int, list[str]]] = [
    (7, 12290, NINE),
    (8, 12293, ["0x80072338", "ad.example.org"]),
    (9, 12294, ["ad.example.org"]),
]
LEADS: dict[str, list[str]] = {
    "nine": [],
    "empty first": [""],
    "status first": ["0x0"],
    "text first": ["An activation, info: x"],
}


def text_of(event_id: int, strings: list[str], sentences: dict[int, str] = SENTENCES) -> str:
    values = (",".join(strings),) if event_id == 12290 else strings
    return sentences[event_id].format(*values)


def element(
    number: int, event_id: int, strings: list[str], rendered: str = "", source: str = SPP, host: str = HOST
) -> str:
    data = "".join(f"<Data>{each}</Data>" for each in strings)
    return (
        "<Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'><System>"
        f"<Provider Name='{source}' Guid='{{E23B33B0-C8C9-472C-A5F9-F2BDFEA0F156}}' EventSourceName='x'/>"
        f"<EventID Qualifiers='16384'>{event_id}</EventID><TimeCreated SystemTime='2026-10-05T08:14:22.1234567Z'/>"
        f"<EventRecordID>{number}</EventRecordID><Channel>{KMS_LOG if source == SPP else 'Application'}</Channel>"
        f"<Computer>{host}</Computer><Security/></System><EventData>{data}</EventData>{rendered}</Event>"
    )


def wevtutil(lead: list[str]) -> bytes:
    return "".join(element(n, e, lead + s) for n, e, s in LOG).encode()


def viewer_xml(lead: list[str]) -> bytes:
    body = "".join(
        element(
            n, e, lead + s, f"<RenderingInfo Culture='de-DE'><Message>{text_of(e, s, GERMAN)}</Message></RenderingInfo>"
        )
        for n, e, s in LOG
    )
    return f'<?xml version="1.0" encoding="utf-8" standalone="yes"?>\r\n<Events>{body}</Events>'.encode()


def only_rendered(lead: list[str]) -> bytes:
    body = "".join(
        element(
            n, e, lead, f"<RenderingInfo Culture='de-DE'><Message>{text_of(e, s, GERMAN)}</Message></RenderingInfo>"
        )
        for n, e, s in LOG
    )
    return f"<Events>{body}</Events>".encode()


def dumped_xml(lead: list[str]) -> bytes:
    return "".join(
        f'Record {n}\n<?xml version="1.0" encoding="utf-8"?>\n{element(n, e, lead + s)}\n\n' for n, e, s in LOG
    ).encode()


def binary(lead: list[str]) -> bytes:
    return evtx([(n, WHEN, element(n, e, lead + s)) for n, e, s in LOG])


def get_winevent(n: int, e: int, s: list[str], lead: list[str], when: Any) -> dict[str, Any]:
    return {
        "Id": e,
        "Version": 0,
        "ProviderName": SPP,
        "LogName": KMS_LOG,
        "MachineName": HOST,
        "RecordId": n,
        "TimeCreated": when,
        "Properties": [{"Value": each} for each in lead + s],
        "Message": text_of(e, s),
    }


def powershell_7(lead: list[str]) -> bytes:
    return json.dumps([get_winevent(*row, lead, "2026-10-05T10:14:22.1234567+02:00") for row in LOG], indent=2).encode()


def powershell_5(lead: list[str]) -> bytes:
    stamp = f"/Date({int(WHEN.timestamp() * 1000) + 123})/"
    when = {"value": stamp, "DisplayHint": 2, "DateTime": "Montag, 5. Oktober 2026 10:14:22"}
    rows = [get_winevent(*row, lead, when) for row in LOG]
    return ("\ufeff" + json.dumps({"value": rows, "Count": len(rows)})).encode("utf-16-le")


def shallow(lead: list[str]) -> bytes:
    """ConvertTo-Json that went one level deep: a property's name instead of its value."""
    rows = [get_winevent(*row, lead, "2026-10-05T08:14:22Z") for row in LOG]
    for row in rows:
        row["Properties"] = ["System.Diagnostics.Eventing.Reader.EventProperty"] * len(row["Properties"])
    return json.dumps(rows).encode()


def get_eventlog(lead: list[str]) -> bytes:
    rows = [
        {
            "EventID": e,
            "MachineName": HOST,
            "Index": n,
            "EntryType": 4,
            "Message": text_of(e, s),
            "Source": SPP,
            "ReplacementStrings": lead + s,
            "InstanceId": 0x40000000 | e,
            "TimeGenerated": f"/Date({int(WHEN.timestamp() * 1000)})/",
            "TimeWritten": f"/Date({int(WHEN.timestamp() * 1000)})/",
        }
        for n, e, s in LOG
    ]
    return json.dumps(rows).replace("/Date", "\\/Date").encode()


def table(headings: list[str], rows: list[list[str]], delimiter: str = ",", kind: str = "") -> bytes:
    out = io.StringIO()
    out.write(kind)
    writer = csv.writer(
        out, delimiter=delimiter, quoting=csv.QUOTE_ALL if kind or delimiter != "\t" else csv.QUOTE_MINIMAL
    )
    writer.writerow(headings)
    writer.writerows(rows)
    return out.getvalue().encode()


WIN_HEADINGS = ["Message", "Id", "ProviderName", "LogName", "RecordId", "MachineName", "TimeCreated", "Properties"]


def export_csv(when: str, delimiter: str = ",", kind: str = "", sentences: dict[int, str] = SENTENCES) -> bytes:
    rows = [
        [text_of(e, s, sentences), str(e), SPP, KMS_LOG, str(n), HOST, when, "System.Collections.Generic.List`1[x]"]
        for n, e, s in LOG
    ]
    return table(WIN_HEADINGS, rows, delimiter, kind)


def viewer_csv(lead: list[str]) -> bytes:
    rows = [["Information", "10/5/2026 10:14:22 AM", SPP, str(e), "None", text_of(e, s)] for _, e, s in LOG]
    return table(["Level", "Date and Time", "Source", "Event ID", "Task Category"], rows)


def viewer_text(lead: list[str]) -> bytes:
    rows = [["Informationen", "05.10.2026 10:14:22", SPP, str(e), "Keine", text_of(e, s, GERMAN)] for _, e, s in LOG]
    return table(["Ebene", "Datum und Uhrzeit", "Quelle", "Ereignis-ID", "Aufgabenkategorie"], rows, "\t")


def winlogbeat(lead: list[str]) -> bytes:
    return "".join(
        json.dumps(
            {
                "@timestamp": "2026-10-05T08:14:22.123Z",
                "event": {"code": str(e), "provider": SPP, "created": "2026-10-05T08:20:00.000Z"},
                "message": text_of(e, s).replace("\r", ""),
                "winlog": {
                    "event_id": str(e),
                    "provider_name": SPP,
                    "channel": KMS_LOG,
                    "computer_name": HOST,
                    "record_id": n,
                    "event_data": {f"param{at}": each for at, each in enumerate(lead + s, 1)},
                },
                "host": {"name": HOST},
            }
        )
        + "\n"
        for n, e, s in LOG
    ).encode()


def nxlog(lead: list[str]) -> bytes:
    return "".join(
        json.dumps(
            {
                "EventTime": "2026-10-05 10:14:22",
                "Hostname": HOST,
                "EventID": e,
                "SourceName": SPP,
                "Channel": KMS_LOG,
                "RecordNumber": n,
                "Message": text_of(e, s),
                "EventReceivedTime": "2026-10-05 10:14:24",
                "SourceModuleName": "in",
            }
        )
        + "\r\n"
        for n, e, s in LOG
    ).encode()


def dumped_json(lead: list[str]) -> bytes:
    return "".join(
        f"Record {n}\n"
        + json.dumps(
            {
                "Event": {
                    "#attributes": {"xmlns": "http://schemas.microsoft.com/win/2004/08/events/event"},
                    "System": {
                        "Provider": {"#attributes": {"Name": SPP, "EventSourceName": "x"}},
                        "EventID": {"#attributes": {"Qualifiers": 16384}, "#text": e},
                        "TimeCreated": {"#attributes": {"SystemTime": "2026-10-05T08:14:22.123456Z"}},
                        "EventRecordID": n,
                        "Channel": KMS_LOG,
                        "Computer": HOST,
                    },
                    "EventData": {"Data": {"#text": lead + s if len(lead + s) > 1 else s[0]}},
                }
            },
            indent=2,
        )
        + "\n"
        for n, e, s in LOG
    ).encode()


# In the shapes of published examples, but for semicolon.csv and viewer.txt in German, which are as documented. Two of
# strings: `LEADS` has what scripts of administrators show to stand before the nine.
SHAPES = {
    "wevtutil.xml": wevtutil,
    "utf16.xml": lambda lead: b"\xff\xfe" + wevtutil(lead).decode().encode("utf-16-le"),
    "viewer.xml": viewer_xml,
    "rendered.xml": only_rendered,
    "dump.xml": dumped_xml,
    "kms.evtx": binary,
    "pwsh7.json": powershell_7,
    "powershell5.json": powershell_5,
    "shallow.json": shallow,
    "eventlog.json": get_eventlog,
    "type.csv": lambda lead: export_csv("10/5/2026 10:14:22 AM", kind="#TYPE x\r\n"),
    "semicolon.csv": lambda lead: export_csv("05.10.2026 10:14:22", ";", sentences=GERMAN),
    "viewer.csv": viewer_csv,
    "viewer.txt": viewer_text,
    "winlogbeat.json": winlogbeat,
    "nxlog.json": nxlog,
    "dump.json": dumped_json,
}


def bring_in(store: Engine, path: Path, content: bytes) -> ImportResult:
    path.write_bytes(content)
    importer = Importer(store, Privacy(PrivacyPolicy(), b""), lambda _: (), zone=LOCAL, now=lambda: NOW)
    return importer.import_file(path)


def stored(store: Engine) -> list[dict[str, Any]]:
    with reading(store) as connection:
        return [dict(row._mapping) for row in connection.execute(select(schema.events).order_by("event_id"))]


def told(store: Engine) -> list[tuple[Any, ...]]:
    names = ("event_id", "hresult", "machine", "cmid", "act_id", "required_count", "license_status", "minutes_left")
    return [(*(row[name] for name in names), row["target"], row["at"] // 1000) for row in stored(store)]


AT = int(WHEN.timestamp())
FACTS = [
    (12290, 0, "pc1.example.org", CMID, SKU, 25, 1, 43200, None, AT),
    (12293, 0x80072338, "", None, None, None, None, None, "ad.example.org", AT),
    (12294, None, "", None, None, None, None, None, "ad.example.org", AT),
]


@pytest.mark.parametrize("lead", list(LEADS))
@pytest.mark.parametrize("shape", list(SHAPES))
def test_every_shape_gives_the_same_facts(store: Engine, tmp_path: Path, shape: str, lead: str) -> None:
    result = bring_in(store, tmp_path / shape, SHAPES[shape](LEADS[lead]))
    assert (result.imported, result.known, result.other, result.shown) == (3, 0, 0, [])
    assert [
        tuple("" if value is None and at == 2 else value for at, value in enumerate(row)) for row in told(store)
    ] == FACTS


@pytest.mark.parametrize("first", list(SHAPES))
def test_an_event_that_was_imported_in_one_format_is_known_in_every_other(
    store: Engine, tmp_path: Path, first: str
) -> None:
    bring_in(store, tmp_path / first, SHAPES[first]([""]))
    for shape, write in SHAPES.items():
        result = bring_in(store, tmp_path / shape, write([]))
        assert (result.imported, result.known) == (0, 3), shape
    # What the first format left out was added.
    assert {(row["computer"], row["event_record_id"]) for row in stored(store)} == {(HOST, 7), (HOST, 8), (HOST, 9)}


MANNERS = (
    "5/10/2569 10:14:22",
    "13/07/1405 10:14:22 ق.ظ",
    "1405/07/13 10:14:22",
    "23/04/48 10:14:22 ص",
    "5/10/2026 10:14:22 am",
    "10/5/2026 10:14:22 AM",
    "5.10.2026. 10:14:22",
    "5. 10. 2026 10:14:22",
    "5.10.2026 г. 10:14:22 ч.",
    "05/10/2026 10:14:22 SA",
    "10:14:22 05/10/2026",
    "\u200f05/10/2026 10:14:22 ص",
    "٠٥/١٠/٢٠٢٦ ١٠:١٤:٢٢ ص",
    "2026-10-05 08:14:22Z",
    "2026/10/5 上午 10:14:22",
    "2026/10/5 ?? 10:14:22",
    "5.10.2026 10.14.22",
    "2026. 10. 05. 10:14:22",
    "115/10/5 上午 10:14:22",
)


@pytest.mark.parametrize("manner", MANNERS)
def test_the_clients_own_time_settles_order_and_calendar(store: Engine, tmp_path: Path, manner: str) -> None:
    row = [text_of(12290, NINE), "12290", SPP, KMS_LOG, "7", HOST, manner, "x"]
    result = bring_in(store, tmp_path / "a.csv", table(WIN_HEADINGS, [row]))
    assert (result.imported, result.shown) == (1, [])
    assert stored(store)[0]["at"] == AT * 1000


@pytest.mark.parametrize(
    "manner", ["5/10/2069 10:14:22", "05/10/1989 10:14:22", "12/24/2026 10:14:22 AM", "23/04/48 10:14:22 ص"]
)
def test_a_date_that_cannot_be_is_refused_with_its_cure(store: Engine, tmp_path: Path, manner: str) -> None:
    row = [text_of(12294, ["ad.example.org"]), "12294", SPP, "Application", "7", HOST, manner, "x"]
    result = bring_in(store, tmp_path / "a.csv", table(WIN_HEADINGS, [row]))
    assert (result.imported, result.broken) == (0, 1)
    assert "wevtutil qe" in result.shown[0].why


def test_events_of_others_with_the_same_numbers_are_of_another_kind(store: Engine, tmp_path: Path) -> None:
    shadow = element(1, 12289, ["some error"], source="VSS")
    csv_rows = [["x", "12293", "VSS", "Application", "2", HOST, "10/5/2026 10:14:22 AM", "x"]]
    for name, content in (("a.xml", shadow.encode()), ("a.csv", table(WIN_HEADINGS, csv_rows))):
        result = bring_in(store, tmp_path / name, content)
        assert (result.imported, result.other, result.broken) == (0, 1, 0)


def test_each_forwarded_event_keeps_its_own_computer(store: Engine, tmp_path: Path) -> None:
    hosts = ["kms1.example.org", "kms2.example.org"]
    content = "".join(element(7, 12290, NINE, host=host) for host in hosts)
    assert bring_in(store, tmp_path / "a.xml", content.encode()).imported == 2
    assert sorted(row["computer"] for row in stored(store)) == hosts


@pytest.mark.parametrize(
    "content",
    [
        b"<html></html>",
        b"<!DOCTYPE html><html><body>x</body></html>",
        b'<Objs Version="1.1.0.1" xmlns="http://schemas.microsoft.com/powershell/2004/04"><Obj/></Objs>',
        b'<?xml version="1.0"?><Objects><Object Type="x">y</Object></Objects>',
        "\ufeff<Objs></Objs>".encode("utf-16-le"),
        b"<Nothing/>",
    ],
)
def test_xml_that_is_not_an_export_is_not_mistaken_for_an_empty_one(
    store: Engine, tmp_path: Path, content: bytes
) -> None:
    with pytest.raises(UnknownFormat, match=r"no events in it.*wevtutil epl"):
        bring_in(store, tmp_path / "a.xml", content)


def test_an_empty_list_of_events_is_an_empty_one(store: Engine, tmp_path: Path) -> None:
    for name, content in (("a.xml", b"<Events></Events>"), ("a.json", b"[]")):
        assert bring_in(store, tmp_path / name, content).imported == 0


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ({"EventID": 12290}, "TimeCreated"),
        ({"name": "x"}, "Id"),
        ({"Id": 12290, "TimeCreated": "2026-10-05T08:14:22Z"}, "Message"),
    ],
)
def test_json_of_another_shape_is_refused_with_the_missing_field_and_the_command(
    store: Engine, tmp_path: Path, row: dict[str, Any], field: str
) -> None:
    result = bring_in(store, tmp_path / "a.json", json.dumps([row]).encode())
    assert result.broken == 1
    assert field in result.shown[0].why
    assert "Get-WinEvent" in result.shown[0].why
    assert "int()" not in result.shown[0].why


def test_a_broken_line_of_json_costs_itself_alone(store: Engine, tmp_path: Path) -> None:
    lines = nxlog([]).splitlines()
    lines[1] = lines[1][:-30]
    result = bring_in(store, tmp_path / "a.json", b"\n".join(lines))
    assert (result.imported, result.broken) == (2, 1)


def test_two_requests_of_one_client_in_one_minute_are_two_events_in_every_format(store: Engine, tmp_path: Path) -> None:
    again = element(8, 12290, NINE).replace("08:14:22", "08:14:50")
    content = (element(7, 12290, NINE) + again).encode()
    assert bring_in(store, tmp_path / "a.xml", content).imported == 2
    rows = [
        [text_of(12290, NINE), "12290", SPP, KMS_LOG, str(n), HOST, f"10/5/2026 10:14:{at} AM", "x"]
        for n, at in ((7, 22), (8, 50))
    ]
    assert bring_in(store, tmp_path / "a.csv", table(WIN_HEADINGS, rows)).known == 2


@pytest.mark.parametrize("broken", ["<Event><System></Event>", "<Event>&none;</Event>", "<Event><!DOCTYPE x></Event>"])
def test_a_broken_event_among_others_that_are_parsed_together_costs_itself_alone(
    store: Engine, tmp_path: Path, broken: str
) -> None:
    event = wevtutil([]).decode()
    result = bring_in(store, tmp_path / "a.xml", f"{event}\n{broken}\n{event}<!-- end -->".encode())
    assert (result.imported, result.known, result.broken) == (3, 3, 1)
    assert "no well-formed XML" in result.shown[0].why
