"""A log of forty varied events, seeded, in each shape that Windows and other tools write: same facts, nothing twice."""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

import pytest
from sqlalchemy import Engine, select

from kmstwist.audit import schema
from kmstwist.audit.engine import reading
from kmstwist.audit.events.importer import Importer, ImportResult
from kmstwist.audit.events.reading.files import UnknownFormat
from kmstwist.audit.privacy import Privacy, PrivacyPolicy
from tests.audit.evtx_writer import evtx
from tests.audit.making import uuid

NOW = datetime(2026, 11, 26, tzinfo=UTC).timestamp()
LOCAL = timezone(timedelta(hours=2))
SPP = "Microsoft-Windows-Security-SPP"
SENTENCES = {
    12288: "The client has sent an activation request to the key management service machine.\r\nInfo:\r\n{}",
    12289: "The client has processed an activation response from the key management service machine.\r\nInfo:\r\n{}",
    12290: "An activation request has been processed.\r\nInfo:\r\n{}",
    12293: "Publishing the Key Management Service (KMS) to DNS in the '{1}' domain failed.\r\nInfo:\r\n{0}",
    12294: "Publishing the Key Management Service (KMS) to DNS in the '{0}' domain is successful.\r\n",
}


class Logged(NamedTuple):
    """An event as Windows has it, at a second in UTC."""

    number: int
    event_id: int
    when: datetime
    host: str
    strings: list[str]

    @property
    def text(self) -> str:
        values = self.strings if self.event_id >= 12293 else [",".join(self.strings)]
        return SENTENCES[self.event_id].format(*values)

    @property
    def log(self) -> str:
        return "Key Management Service" if self.event_id == 12290 else "Application"

    @property
    def stamp(self) -> str:
        return f"{self.when:%Y-%m-%dT%H:%M:%S}"

    @property
    def local(self) -> datetime:
        return self.when.astimezone(LOCAL)


def forty() -> list[Logged]:
    chance = random.Random(15)
    found, when = [], datetime(2026, 9, 28, 6, 0, 11, tzinfo=UTC)
    for number in range(1, 41):
        when += timedelta(seconds=chance.randrange(70, 50_000))
        pc, host = f"pc{chance.randrange(9)}.example.org", f"kms{chance.randrange(1, 3)}.example.org"
        sku, code = uuid(f"sku{chance.randrange(4)}"), chance.choice(["0x0", "0x0", "0xC004F042", "0xC004F06C"])
        clock = f"{when.year}/{when.month}/{when.day} {when.hour}:{when.minute:02}"
        vm, left = str(chance.randrange(2)), str(chance.choice([0, 43200, 259200]))
        event_id = chance.choice([12288, 12289, 12290, 12290, 12290, 12290, 12293, 12294])
        match event_id:
            case 12288:
                host = pc
                strings = [code, "0x0", f"{host}:1688", uuid(pc), clock, vm, "5", left, sku, "25"]
            case 12289:
                host = pc
                strings = [code, "0x0", "1", "0", "50", "120", "10080", clock]
            case 12290:
                strings = [code, "5", pc, uuid(pc), clock, vm, "1", left, sku]
            case 12293:
                strings = ["0x80072338", f"ad{number}.example.org"]
            case _:
                strings = [f"ad{number}.example.org"]
        found.append(Logged(number, event_id, when, host, strings))
    return found


def xml(each: Logged, lead: list[str]) -> str:
    data = "".join(f"<Data>{escape(value)}</Data>" for value in [*lead, *each.strings])
    return (
        "<Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'><System>"
        f"<Provider Name='{SPP}' Guid='{{E23B33B0-C8C9-472C-A5F9-F2BDFEA0F156}}' EventSourceName='x'/>"
        f"<EventID Qualifiers='16384'>{each.event_id}</EventID><TimeCreated SystemTime='{each.stamp}.1234567Z'/>"
        f"<EventRecordID>{each.number}</EventRecordID><Channel>{each.log}</Channel><Computer>{each.host}</Computer>"
        f"<Security/></System><EventData>{data}</EventData></Event>"
    )


def table(headings: list[str], rows: list[list[Any]], delimiter: str = ",") -> bytes:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter).writerows([headings, *rows])
    return out.getvalue().encode()


def lines(rows: list[Any]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def numbered(strings: list[str]) -> dict[str, str]:
    return {f"param{at}": each for at, each in enumerate(strings, 1)}


def powershell(each: Logged, when: str, **more: Any) -> dict[str, Any]:
    named = {"Id": each.event_id, "RecordId": each.number, "ProviderName": SPP, "LogName": each.log}
    return {"Message": each.text, **named, "MachineName": each.host, "TimeCreated": when, **more}


def winlog(each: Logged) -> dict[str, Any]:
    return {
        "@timestamp": f"{each.stamp}.123Z",
        "event": {"code": str(each.event_id), "provider": SPP},
        "message": each.text.replace("\r", ""),
        "winlog": {
            "event_id": str(each.event_id),
            "provider_name": SPP,
            "channel": each.log,
            "computer_name": each.host,
            "record_id": each.number,
            "event_data": numbered(each.strings),
        },
        "host": {"name": "collector"},
    }


def wazuh(each: Logged) -> dict[str, Any]:
    system = {"providerName": SPP, "eventID": str(each.event_id), "systemTime": f"{each.stamp}.1234567Z"}
    system |= {"eventRecordID": str(each.number), "channel": each.log, "computer": each.host}
    system["message"] = f'"{each.text}"'
    win = {"system": system, "eventdata": {"data": ", ".join(each.strings)}}
    return {"timestamp": "2026-11-01T00:00:00.000+0000", "agent": {"name": "x"}, "data": {"win": win}}


def gelf(each: Logged) -> dict[str, Any]:
    named = {"_EventID": each.event_id, "_SourceName": SPP, "_Channel": each.log, "_RecordNumber": each.number}
    epoch = each.when.timestamp() + 0.123
    return {"version": "1.1", "host": each.host, "timestamp": epoch, "full_message": each.text, **named}


def azure(each: Logged) -> dict[str, Any]:
    parameters = "".join(f"<Param>{escape(value)}</Param>" for value in each.strings)
    return {
        "TimeGenerated": f"{each.stamp}.123Z",
        "Source": SPP,
        "EventLog": each.log,
        "Computer": each.host,
        "ParameterXml": parameters,
        "EventID": each.event_id,
        "RenderedDescription": each.text,
    }


def attributes(each: Logged) -> dict[str, Any]:
    system = {
        "Provider": {"@Name": SPP},
        "EventID": {"@Qualifiers": "16384", "#text": str(each.event_id)},
        "TimeCreated": {"@SystemTime": f"{each.stamp.replace('T', ' ')}.123456"},
        "EventRecordID": str(each.number),
        "Channel": each.log,
        "Computer": each.host,
    }
    return {"Event": {"System": system, "EventData": {"Data": each.strings}}}


def evtxecmd(log: list[Logged]) -> bytes:
    headings = ["RecordNumber", "EventRecordId", "TimeCreated", "EventId", "Provider", "Channel", "Computer"]
    rows = [
        [
            *(each.number, each.number, f"{each.stamp.replace('T', ' ')}.1234567", each.event_id, SPP, each.log),
            *(each.host, "", json.dumps({"EventData": {"Data": ", ".join(each.strings)}})),
        ]
        for each in log
    ]
    return table([*headings, "MapDescription", "Payload"], rows)


def wevtutil_text(log: list[Logged]) -> bytes:
    return "\r\n".join(
        f"Event[{at}]:\r\n  Log Name: {each.log}\r\n  Source: {SPP}\r\n  Date: {each.local:%Y-%m-%dT%H:%M:%S}.123\r\n"
        f"  Event ID: {each.event_id}\r\n  Task: N/A\r\n  Level: Information\r\n  User: N/A\r\n"
        f"  Computer: {each.host}\r\n  Description: \r\n{each.text}\r\n"
        for at, each in enumerate(log)
    ).encode()


def copied_german(log: list[Logged]) -> bytes:
    return "\r\n".join(
        f"Protokollname: {each.log}\r\nQuelle:        {SPP}\r\nDatum:         {each.local:%d.%m.%Y %H:%M:%S}\r\n"
        f"Ereignis-ID:   {each.event_id}\r\nAufgabenkategorie:Keine\r\nEbene:         Informationen\r\n"
        f"Benutzer:      Nicht zutreffend\r\nComputer:      {each.host}\r\nBeschreibung:\r\n{each.text}\r\n"
        for each in log
    ).encode("cp1252")


def splunk_text(log: list[Logged]) -> bytes:
    return "".join(
        f"{each.local:%m/%d/%Y %I:%M:%S %p}\nLogName={each.log}\nSourceName={SPP}\nEventCode={each.event_id}\n"
        f"EventType=4\nComputerName={each.host}\nRecordNumber={each.number}\nMessage={each.text}\n"
        for each in log
    ).encode()


def format_list(log: list[Logged]) -> bytes:
    indent = "\r\n               "
    return "".join(
        f"\r\n\r\nTimeCreated  : {each.local:%m/%d/%Y %I:%M:%S %p}\r\nProviderName : {SPP}\r\n"
        f"Id           : {each.event_id}\r\nMachineName  : {each.host}\r\n"
        f"Message      : {each.text.replace(chr(13), '').replace(chr(10), indent)}\r\n"
        for each in log
    ).encode("utf-16")


def viewer(each: Logged, manner: str) -> list[Any]:
    return ["Information", each.local.strftime(manner), SPP, each.event_id, "None", each.text]


Writer = Callable[[list[Logged]], bytes]
# In the shapes of published examples of each tool, but for these, which are as the products' documentation has them:
# german.csv (PowerShell with the region's delimiter), viewer.txt in French, kibana.csv, azure.json.
SHAPES: dict[str, Writer] = {
    "wevtutil.xml": lambda log: "".join(xml(each, []) for each in log).encode(),
    "ten.xml": lambda log: f"<Events>{''.join(xml(each, ['']) for each in log)}</Events>".encode("utf-16"),
    "kms.evtx": lambda log: evtx([(each.number, each.when, xml(each, [""])) for each in log]),
    "powershell5.json": lambda log: json.dumps(
        [powershell(each, f"/Date({int(each.when.timestamp())}123)/") for each in log]
    ).encode("utf-16"),
    "pwsh7.json": lambda log: json.dumps(
        [powershell(e, e.local.isoformat(), Properties=[{"Value": each} for each in ["", *e.strings]]) for e in log]
    ).encode(),
    "toxml.json": lambda log: json.dumps([xml(each, []) for each in log]).encode(),
    "german.csv": lambda log: table(
        list(powershell(log[0], "")),
        [list(powershell(each, f"{each.local:%d.%m.%Y %H:%M:%S}").values()) for each in log],
        ";",
    ),
    "viewer.csv": lambda log: table(
        ["Level", "Date and Time", "Source", "Event ID", "Task Category"],
        [viewer(each, "%m/%d/%Y %I:%M:%S %p") for each in log],
    ),
    "viewer.txt": lambda log: table(
        ["Niveau", "Date et heure", "Source", "ID de l\u2019\u00e9v\u00e9nement", "Cat\u00e9gorie de la t\u00e2che"],
        [viewer(each, "%d/%m/%Y %H:%M:%S") for each in log],
        "\t",
    ),
    "winlogbeat.json": lambda log: lines([winlog(each) for each in log]),
    "search.json": lambda log: json.dumps(
        {"took": 3, "hits": {"total": {"value": 40}, "hits": [{"_id": "1", "_source": winlog(each)} for each in log]}}
    ).encode(),
    "kibana.csv": lambda log: table(
        ["@timestamp", "winlog.event_id", "winlog.computer_name", "winlog.record_id", "message"],
        [[f"{e.local:%b %-d, %Y @ %H:%M:%S}.123", f"{e.event_id:,}", e.host, e.number, e.text] for e in log],
    ),
    "nxlog.json": lambda log: lines(
        [
            {
                "EventTime": f"{each.local:%Y-%m-%d %H:%M:%S}",
                "Hostname": each.host,
                "EventID": each.event_id,
                "SourceName": SPP,
                "RecordNumber": each.number,
                "Message": each.text,
            }
            for each in log
        ]
    ),
    "gelf.json": lambda log: lines([gelf(each) for each in log]),
    "wazuh.json": lambda log: lines([wazuh(each) for each in log]),
    "azure.json": lambda log: json.dumps({"value": [azure(each) for each in log]}).encode(),
    "azure.csv": lambda log: table(
        ["TimeGenerated [UTC]", "Source", "EventLog", "Computer", "EventID", "RenderedDescription"],
        [[f"{e.when:%-m/%-d/%Y, %-I:%M:%S}.123 {e.when:%p}", SPP, e.log, e.host, e.event_id, e.text] for e in log],
    ),
    "splunk.json": lambda log: lines([{"preview": False, "result": {"_raw": xml(each, [])}} for each in log]),
    "attributes.json": lambda log: lines([attributes(each) for each in log]),
    "evtxecmd.csv": evtxecmd,
    "wevtutil.txt": wevtutil_text,
    "copied.txt": copied_german,
    "splunk.txt": splunk_text,
    "list.txt": format_list,
}
NAMES = list(SHAPES)


def bring_in(store: Engine, path: Path, content: bytes) -> ImportResult:
    path.write_bytes(content)
    importer = Importer(store, Privacy(PrivacyPolicy(), b""), lambda _: (), zone=LOCAL, now=lambda: NOW)
    return importer.import_file(path)


def facts(store: Engine) -> set[tuple[Any, ...]]:
    columns = [schema.events.c[name] for name in ("event_id", "hresult", "cmid", "act_id", "minutes_left", "target")]
    columns += [schema.events.c[name] for name in ("required_count", "count", "virtual_machine", "license_status")]
    with reading(store) as connection:
        rows = connection.execute(select(schema.events.c.at, *columns)).all()
    return {(row[0] // 1000, *row[1:]) for row in rows}


@pytest.mark.parametrize("shape", NAMES)
def test_a_log_in_one_shape_and_in_the_next_is_the_same_log(store: Engine, tmp_path: Path, shape: str) -> None:
    log = forty()
    first = bring_in(store, tmp_path / shape, SHAPES[shape](log))
    assert (first.imported, first.known, first.other, first.shown) == (40, 0, 0, [])
    told = facts(store)
    with_others = [NAMES[(NAMES.index(shape) + step) % len(NAMES)] for step in (1, 5, 11)]
    for other in dict.fromkeys([*with_others, "wevtutil.xml"]):
        again = bring_in(store, tmp_path / f"again-{other}", SHAPES[other](log))
        assert (again.imported, again.known, again.shown) == (0, 40, []), other
    assert facts(store) == told
    assert {row[0] for row in told} == {int(each.when.timestamp()) for each in log}


def test_a_client_that_could_not_ask_leaves_the_minimum_count_out(store: Engine, tmp_path: Path) -> None:
    text = "Info:\r\n0xC004F074, 0x00000000, kms.example.org:1688, {}, 2026/10/05 08:14, 1, 5, 0, {}, "
    row = {"EventID": 12288, "SourceName": SPP, "EventTime": "2026-10-05T08:14:22Z"}
    content = json.dumps(row | {"Message": text.format(uuid("pc1"), uuid("sku"))}).encode()
    assert bring_in(store, tmp_path / "a.json", content).imported == 1
    with reading(store) as connection:
        found = connection.execute(select(schema.events.c.target, schema.events.c.required_count)).one()
    assert tuple(found) == ("kms.example.org:1688", None)


@pytest.mark.parametrize(
    "line",
    [
        "<14>1 2026-10-05T08:14:22Z kms1 x - - - text",
        "Oct  5 08:14:22 kms1 x[1]: Info: 0x0,25,pc1,{cmid},2026/10/5 8:14,0,1,259200,{sku}",
        '2026-10-05T08:14:22.123+02:00 kms1 x: {{"EventID": 12290, "n": [1,2,3,4]}}',
    ],
)
def test_for_a_file_of_syslog_the_message_says_where_it_belongs(store: Engine, tmp_path: Path, line: str) -> None:
    text = f"{line.format(cmid=uuid('pc1'), sku=uuid('sku'))}\n" * 3
    with pytest.raises(UnknownFormat, match="kmstwist events listen"):
        bring_in(store, tmp_path / "a.log", text.encode())
