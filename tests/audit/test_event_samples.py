"""One event in each tool's form, field by field as in published examples of that tool's output.

Each fixture is in the shape of at least one public example of the tool itself (of another event: names, nesting, types
and the manner of times are the tool's, the values are ours). `DOCUMENTED` are those of which only the product's
documentation shows the shape.
"""

# ruff: noqa: RUF001 - the words of other languages
from __future__ import annotations

import csv
import io
import json
import textwrap
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from kmstwist.audit.events.interpret import understand
from kmstwist.audit.events.model import BrokenEvent, EventError, RawEvent
from kmstwist.audit.events.reading.files import read_events
from tests.audit.making import uuid

NOW = int(datetime(2026, 11, 26, tzinfo=UTC).timestamp() * 1000)
WHEN = datetime(2026, 10, 5, 8, 14, 22, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
HOST, SPP = "KMS1.example.org", "Microsoft-Windows-Security-SPP"
LOG = "Key Management Service"
CMID, SKU = uuid("pc1"), uuid("sku")
NINE = ["0x0", "25", "pc1.example.org", CMID, "2026/10/5 8:14", "0", "1", "43200", SKU]
TEXT = f"An activation request has been processed.\r\nInfo:\r\n{','.join(NINE)}"
XML = (
    "<Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'><System>"
    f"<Provider Name='{SPP}' Guid='{{E23B33B0-C8C9-472C-A5F9-F2BDFEA0F156}}' EventSourceName='x'/>"
    "<EventID Qualifiers='16384'>12290</EventID><TimeCreated SystemTime='2026-10-05T08:14:22.1234567Z'/>"
    f"<EventRecordID>7</EventRecordID><Channel>{LOG}</Channel><Computer>{HOST}</Computer><Security/></System>"
    f"<EventData>{''.join(f'<Data>{each}</Data>' for each in NINE)}</EventData></Event>"
)
#: What a Universal Forwarder sends unless it is told to send XML.
CLASSIC = (
    f"10/05/2026 10:14:22 AM\nLogName={LOG}\nEventCode=12290\nEventType=4\nComputerName={HOST}\nSourceName={SPP}\n"
    f"Type=Information\nRecordNumber=7\nKeywords=Classic\nTaskCategory=None\nOpCode=None\nMessage={TEXT}"
)


def rows(headings: list[str], *values: list[Any]) -> str:
    out = io.StringIO()
    csv.writer(out).writerows([headings, *values])
    return out.getvalue()


def columns(names: str) -> list[str]:
    return names.split(",")


def listed(fields: dict[str, Any]) -> dict[str, list[Any]]:
    return {name: [value] for name, value in fields.items()}


#: An object of WMI's class Win32_NTLogEvent, whose times have a form of their own.
WMI = {
    "Category": 0,
    "ComputerName": HOST,
    "EventCode": 12290,
    "EventIdentifier": 1073754114,
    "InsertionStrings": "{0x0, 25, pc1.example.org...}",
    "Logfile": LOG,
    "Message": TEXT,
    "RecordNumber": 7,
    "SourceName": SPP,
    "TimeGenerated": "20261005101422.000000+120",
    "TimeWritten": "20261005081422.000000-000",
}
#: Elasticsearch's answer to a search for fields, which Kibana shows as a document's JSON: a list for each.
FIELDS = listed(
    {
        "@timestamp": "2026-10-05T08:14:22.123Z",
        "event.code": "12290",
        "winlog.event_id": "12290",
        "winlog.channel": LOG,
        "winlog.computer_name": HOST,
        "winlog.provider_name": SPP,
        "winlog.record_id": "7",
        **{f"winlog.event_data.param{at}": each for at, each in enumerate(NINE, 1)},
        **{f"winlog.event_data.param{at}.keyword": each for at, each in enumerate(NINE, 1)},
    }
)
#: A message in Graylog, which came from Winlogbeat 7: no fields in fields.
GRAYLOG = {
    "gl2_source_input": "63bbe574",
    "streams": ["63bc19ad"],
    "source": "KMS1",
    "timestamp": "2026-10-05T08:14:22.123Z",
    "winlogbeat_@timestamp": "2026-10-05T08:14:22.123Z",
    "winlogbeat_event_created": "2026-10-05T08:14:24.504Z",
    "winlogbeat_event_code": "12290",
    "winlogbeat_event_provider": SPP,
    "winlogbeat_host_name": HOST,
    "winlogbeat_winlog_channel": LOG,
    "winlogbeat_winlog_computer_name": HOST,
    "winlogbeat_winlog_event_id": "12290",
    "winlogbeat_winlog_provider_name": SPP,
    "winlogbeat_winlog_record_id": 7,
    "winlogbeat_winlog_keywords": ["Classic"],
    "message": "An activation request has been processed.",
    **{f"winlogbeat_winlog_event_data_param{at}": each for at, each in enumerate(NINE, 1)},
}
#: NXLog's GELF, which has a short form of the text, too.
GELF = {
    "version": "1.1",
    "host": HOST,
    "short_message": TEXT[:40],
    "message": TEXT[:40],
    "full_message": TEXT,
    "timestamp": WHEN.timestamp(),
    "_EventID": 12290,
    "_SourceModuleType": "im_msvistalog",
    "_SourceName": SPP,
    "_Channel": LOG,
    "_RecordNumber": 7,
    "_SeverityValue": 2,
}
SYSTEM = {
    "Provider_attributes": {"Name": SPP},
    "EventID_attributes": {"Qualifiers": 16384},
    "EventID": 12290,
    "Keywords": "0x80000000000000",
    "TimeCreated_attributes": {"SystemTime": "2026-10-05T08:14:22.123456Z"},
    "EventRecordID": 7,
    "Correlation": None,
    "Channel": LOG,
    "Computer": HOST,
    "Security": None,
}
EVTXECMD = columns(
    "RecordNumber,EventRecordId,TimeCreated,EventId,Level,Provider,Channel,ProcessId,ThreadId,Computer,ChunkNumber,"
    "UserId,MapDescription,UserName,RemoteHost,PayloadData1,PayloadData2,PayloadData3,PayloadData4,PayloadData5,"
    "PayloadData6,ExecutableInfo,HiddenRecord,SourceFile,Keywords,ExtraDataOffset,Payload"
)
PAYLOAD = json.dumps({"EventData": {"Data": ", ".join(NINE), "Binary": ""}})
GET_WINEVENT = columns(
    "Message,Id,Version,Qualifiers,Level,Task,Opcode,Keywords,RecordId,ProviderName,ProviderId,LogName,ProcessId,"
    "ThreadId,MachineName,UserId,TimeCreated,ActivityId,RelatedActivityId,ContainerLog,MatchedQueryIds,Bookmark,"
    "LevelDisplayName,OpcodeDisplayName,TaskDisplayName,KeywordsDisplayNames,Properties"
)
GET_EVENTLOG = columns(
    "EventID,MachineName,Data,Index,Category,CategoryNumber,EntryType,Message,Source,ReplacementStrings,InstanceId,"
    "TimeGenerated,TimeWritten,UserName,Site,Container"
)
#: Columns of Log Analytics' table Event, of which some are empty in every row.
AZURE = ["TimeGenerated", "Source", "EventLog", "Computer", "EventID", "ParameterXml", "EventData"]
AZURE_ROW: list[Any] = ["2026-10-05T08:14:22.123Z", SPP, LOG, HOST, 12290]
DATA_ITEM = (
    '<DataItem Type="System.XmlData" time="2026-10-05T08:14:22.1234567Z" sourceHealthServiceId="x">'
    '<EventData xmlns="http://schemas.microsoft.com/win/2004/08/events/event">'
    f"{''.join(f'<Data>{each}</Data>' for each in NINE)}</EventData></DataItem>"
)


def with_columns(headings: list[str], **known: Any) -> str:
    return rows(headings, [known.get(heading, "") for heading in headings])


def shown(width: int, **values: Any) -> str:
    """PowerShell's Format-List in a window of this many columns."""
    names = max(map(len, values))
    out = []
    for name, value in values.items():
        lines = []
        for line in str(value).split("\r\n"):
            lines += textwrap.wrap(line, width - names - 3, break_on_hyphens=False) or [""]
        out += [f"{name:<{names}} : {lines[0]}", *(" " * (names + 3) + line for line in lines[1:])]
    return "\r\n".join(["", "", *out, "", ""])


def copied(labels: str, when: str, text: str = TEXT) -> str:
    """Event Viewer's "copy details as text": a value begins in one column, or right behind a label that is longer."""
    values = [LOG, SPP, when, "12290", "(1)", "x", "(262144)", "N/A", HOST]
    heads = [label.strip() for label in labels.split("|")]
    lines = [f"{head:<15}{value}" for head, value in zip(heads, values, strict=False)]
    return "\r\n".join([*lines, heads[-1], text, ""])


PUBLISHED: dict[str, str] = {
    "kibana.json": json.dumps({"_index": "winlogbeat-8", "_id": "x", "_version": 1, "_score": 0, "fields": FIELDS}),
    "kibana flat.json": json.dumps(FIELDS),
    "graylog.json": json.dumps(GRAYLOG),
    "graylog.csv": rows(list(GRAYLOG), [str(value) for value in GRAYLOG.values()]),
    "gelf.json": json.dumps(GELF),
    "splunk.csv": rows(
        ["_serial", "_time", "source", "sourcetype", "host", "index", "splunk_server", "_raw"],
        ["0", "2026-10-05T08:14:22.000+0000", f"WinEventLog:{LOG}", "WinEventLog", "KMS1", "main", "splunk1", CLASSIC],
    ),
    "splunk xml.csv": rows(
        ["EventCode", "host", "source", "_raw", "_time"],
        ["12290", "KMS1", f"XmlWinEventLog:{LOG}", XML, "2026-10-05T11:14:22.000+0300"],
    ),
    "exporttool.csv": rows(
        ["_time", "source", "host", "sourcetype", "_raw", "_meta"],
        ["1791188062", f"source::WinEventLog:{LOG}", "host::kms1", "sourcetype::WinEventLog", CLASSIC, "_indextime::1"],
    ),
    "splunk line.json": json.dumps(
        {"preview": False, "offset": 0, "result": {"_time": "2026-10-05 08:14:22.000 GMT", "_raw": CLASSIC}}
    ),
    # The user of Splunk has a zone of his own, which its letters do not tell; the host's text has the host's.
    "splunk letters.json": json.dumps({"result": {"_time": "2026-10-05 01:14:22.000 PDT", "_raw": CLASSIC}}),
    "splunk fields.json": json.dumps(
        {"result": {"_time": "2026-10-05 10:14:22.000 CEST", "EventCode": "12290", "host": HOST, "Message": TEXT}}
    ),
    "splunk results.json": json.dumps(
        {
            "preview": False,
            "init_offset": 0,
            "messages": [{"type": "DEBUG", "text": "base lispy: [ AND x ]"}],
            "fields": [{"name": "_time"}, {"name": "_raw"}],
            "results": [{"_time": "2026-10-05T10:14:22.000+02:00", "_raw": XML}],
            "highlighted": {},
        }
    ),
    "chainsaw.json": json.dumps(
        [{"Event": {"System": SYSTEM, "EventData": {f"param{at}": each for at, each in enumerate(NINE, 1)}}}]
    ),
    "evtx_dump.json": json.dumps(
        {"Event": {"System": SYSTEM, "EventData": {"Data": {"#text": ["", *NINE]}}}, "Event_attributes": {"xmlns": "x"}}
    ),
    # This is how elements of one name are distinguished.
    "evtx_dump repeated.json": json.dumps(
        {
            "Event": {
                "System": SYSTEM,
                "EventData": {f"Data_{at}" if at else "Data": NINE[at] for at in (0, 1, 8, 2, 3, 4, 5, 6, 7)},
            }
        }
    ),
    "evtxecmd.csv": "\ufeff"
    + with_columns(
        EVTXECMD,
        RecordNumber=7,
        EventRecordId=7,
        TimeCreated="2026-10-05 08:14:22.1234567",
        EventId=12290,
        Level="Info",
        Provider=SPP,
        Channel=LOG,
        Computer=HOST,
        Payload=PAYLOAD,
    ),
    "evtxecmd.json": json.dumps(
        {
            "ChunkNumber": 0,
            "Computer": HOST,
            "Payload": PAYLOAD,
            "Channel": LOG,
            "Provider": SPP,
            "EventId": 12290,
            "EventRecordId": "7",
            "Level": 4,
            "SourceFile": "E:\\kms.evtx",
            "TimeCreated": "2026-10-05T08:14:22.1234567+00:00",
            "RecordNumber": 7,
        }
    ),
    "winevtlog.json": json.dumps(
        [
            {
                "date": 1791188062.6,
                "ProviderName": SPP,
                "Qualifiers": "",
                "EventID": 12290,
                "TimeCreated": "2026-10-05 10:14:22 +0200",
                "EventRecordID": 7,
                "Channel": LOG,
                "Computer": HOST,
                "Message": "",
                "StringInserts": [int(each) if each.isdecimal() else each for each in NINE],
            }
        ]
    ),
    "wazuh.json": json.dumps(
        {
            "_source": {
                "@timestamp": "2026-10-05T08:14:25.427Z",
                "agent": {"name": "kms1"},
                "data": {
                    "win": {
                        "eventdata": {"data": ", ".join(NINE)},
                        "system": {
                            "channel": LOG,
                            "computer": HOST,
                            "eventID": "12290",
                            "eventRecordID": "7",
                            "eventSourceName": "Software Protection Platform Service",
                            "message": f'"{TEXT}"',
                            "providerName": SPP,
                            "systemTime": "2026-10-05T08:14:22.1234567Z",
                        },
                    }
                },
            }
        }
    ),
    "get-winevent.csv": with_columns(
        GET_WINEVENT,
        Message=TEXT,
        Id=12290,
        RecordId=7,
        ProviderName=SPP,
        LogName=LOG,
        MachineName=HOST,
        TimeCreated="10/5/2026 10:14:22 AM",
        MatchedQueryIds="System.UInt32[]",
        Bookmark="System.Diagnostics.Eventing.Reader.EventBookmark",
        Properties="System.Collections.Generic.List`1[System.Diagnostics.Eventing.Reader.EventProperty]",
    ),
    "get-eventlog.csv": f"#TYPE System.Diagnostics.EventLogEntry#{LOG}/{SPP}/1073754114\r\n"
    + with_columns(
        GET_EVENTLOG,
        EventID=12290,
        MachineName=HOST,
        Data="System.Byte[]",
        Index=7,
        Category="(0)",
        Message=TEXT,
        Source=SPP,
        ReplacementStrings="System.String[]",
        InstanceId=1073754114,
        TimeGenerated="2026/10/05 10:14:22",
        TimeWritten="2026/10/05 10:14:22",
    ),
    "list.txt": shown(120, TimeCreated="05.10.2026 10:14:22", ProviderName=SPP, Id=12290, Message=TEXT),
    "list wrapped.txt": shown(80, TimeCreated="10/5/2026 10:14:22 AM", ProviderName=SPP, Id=12290, Message=TEXT),
    "list all.txt": shown(
        100,
        Message=TEXT,
        Id=12290,
        Version=0,
        Qualifiers=16384,
        Keywords=-9223372036854775808,
        RecordId=7,
        ProviderName=SPP,
        ProviderId="e23b33b0-c8c9-472c-a5f9-f2bdfea0f156",
        LogName=LOG,
        MachineName=HOST,
        UserId="",
        TimeCreated="10/5/2026 10:14:22 AM",
        MatchedQueryIds="{}",
        Bookmark="System.Diagnostics.Eventing.Reader.EventBookmark",
        KeywordsDisplayNames="{Classic}",
        Properties="{System.Diagnostics.Eventing.Reader.EventProperty,\r\nSystem.Diagnostics.Eventing.Reader...}",
    ),
    "list eventlog.txt": shown(
        80,
        Index=7,
        EntryType="Information",
        InstanceId=1073754114,
        Message=TEXT,
        Category="(0)",
        CategoryNumber=0,
        ReplacementStrings=f"{{0x0, 25, pc1.example.org, {CMID}...}}",
        Source=SPP,
        TimeGenerated="05.10.2026 10:14:22",
        TimeWritten="05.10.2026 10:14:22",
        UserName="",
    ),
    # Where the text of the event is not installed.
    "list not found.txt": shown(
        400,
        Index=7,
        InstanceId=1073754114,
        Message="The description for Event ID '1073754114' in Source 'x' cannot be found.  The local computer may not"
        " have it.  The following information is part of the event:" + ", ".join(f"'{each}'" for each in ["", *NINE]),
        Source=SPP,
        TimeGenerated="05.10.2026 10:14:22",
    ),
    "copied not found.txt": copied(
        "Log Name:|Source:|Date:|Event ID:|Task Category:|Level:|Keywords:|User:|Computer:|Description:",
        "10/5/2026 10:14:22 AM",
        "\r\n".join(
            ["The description for Event ID 12290 from source x cannot be found.", "", "", *NINE, "", "The end."]
        ),
    ),
    "folded.xml": XML.replace("<Event ", "- <Event ").replace("<System>", "\r\n- <System>\r\n  "),
    "rendered.xml": XML.replace(
        "</System>",
        f"</System><RenderingInfo Culture='en-US'><Message>{TEXT}</Message><Level>Information</Level><Task/>"
        "<Opcode/><Channel/><Provider/><Keywords><Keyword>Classic</Keyword></Keywords></RenderingInfo>",
    ),
    "wevtutil.txt": (
        f"Event[0]\r\n  Log Name: {LOG}\r\n  Source: {SPP}\r\n  Date: 2026-10-05T08:14:22.1230000Z\r\n"
        "  Event ID: 12290\r\n  Task: N/A\r\n  Level: Сведения\r\n  Opcode: N/A\r\n  Keyword: Классический\r\n"
        f"  User: N/A\r\n  User Name: N/A\r\n  Computer: {HOST}\r\n  Description: \r\n{TEXT}\r\n"
    ),
    "copied russian.txt": copied(
        "Имя журнала:|Источник:|Дата:|Код события:|Категория задачи:|Уровень:|Ключевые слова:|Пользователь:|Компьютер:"
        "|Описание:",
        "05.10.2026 10:14:22",
        f"{TEXT}\r\nXml события:\r\n{XML}",
    ),
    "copied japanese.txt": (
        f"ログの名前:{LOG}\nソース:{SPP}\n日付:2026/10/05 10:14:22\nイベント ID:12290\nタスクのカテゴリ:なし\n"
        f"レベル:情報\nキーワード:クラシック\nユーザー:N/A\nコンピューター:{HOST}\n説明:\n{TEXT}\n"
    ),
    "copied korean.txt": copied(
        "로그 이름:|원본:|날짜:|이벤트 ID:|작업 범주:|수준:|키워드:|사용자:|컴퓨터:|설명:", "2026-10-05 오전 10:14:22"
    ),
    "copied chinese.txt": copied(
        "日志名称:|来源:|日期:|事件 ID:|任务类别:|级别:|关键字:|用户:|计算机:|描述:", "2026/10/5 10:14:22"
    ),
    "copied taiwanese.txt": copied(
        "記錄檔名稱:|來源:|日期:|事件識別碼:|工作類別:|層級:|關鍵字:|使用者:|電腦:|描述:", "2026/10/5 上午 10:14:22"
    ),
    "copied german.txt": copied(
        "Protokollname:|Quelle:|Datum:|Ereignis-ID:|Aufgabenkategorie:|Ebene:|Schlüsselwörter:|Benutzer:|Computer:"
        "|Beschreibung:",
        "05.10.2026 10:14:22",
    ),
    "viewer german.csv": (
        "Ebene,Datum und Uhrzeit,Quelle,Ereignis-ID,Aufgabenkategorie\r\n"
        f'Informationen,05.10.2026 10:14:22,{SPP},12290,Keine,"{TEXT}"\r\n'
    ),
}
DOCUMENTED: dict[str, str] = {
    "log analytics.json": json.dumps(
        {
            "tables": [
                {
                    "name": "PrimaryResult",
                    "columns": [{"name": name, "type": "string"} for name in AZURE],
                    "rows": [[*AZURE_ROW, "", DATA_ITEM], [*AZURE_ROW, "", DATA_ITEM]],
                }
            ]
        }
    ),
    "log analytics.csv": rows(
        [*AZURE, "Message", "RenderedDescription"], [*AZURE_ROW, "<Param></Param>", "", "", TEXT]
    ),
    "graylog 6.json": json.dumps(
        {
            "timestamp": "2026-10-05T08:14:22.123Z",
            "winlogbeat_event_id": 12290,
            "winlogbeat_computer_name": HOST,
            "winlogbeat_record_number": "7",
            "winlogbeat_source_name": SPP,
            "winlogbeat_log_name": LOG,
            **{f"winlogbeat_event_data_param{at}": each for at, each in enumerate(NINE, 1)},
        }
    ),
    "copied french.txt": copied(
        "Nom du journal :|Source :|Date :|ID de l’événement :|Catégorie de la tâche :|Niveau :|Mots clés :"
        "|Utilisateur :|Ordinateur :|Description :",
        "05/10/2026 10:14:22",
    ),
    "copied portuguese.txt": copied(
        "Nome do Log:|Fonte:|Data:|Identificação do Evento:|Categoria da Tarefa:|Nível:|Palavras-chave:|Usuário:"
        "|Computador:|Descrição:",
        "05/10/2026 10:14:22",
    ),
    "copied dutch.txt": copied(
        "Logboeknaam:|Bron:|Datum:|Gebeurtenis-id:|Taakcategorie:|Niveau:|Trefwoorden:|Gebruiker:|Computer:"
        "|Beschrijving:",
        "5-10-2026 10:14:22",
    ),
    "wmi.csv": rows(list(WMI), list({**WMI, "InsertionStrings": "System.String[]"}.values())),
    "wmi.json": json.dumps([{**WMI, "InsertionStrings": NINE, "Message": None}]),
    "list wmi.txt": shown(100, **WMI),
}
# Formats without the event's computer and the record's number.
NO_HOST = ("viewer", "list.txt", "list wrapped", "list eventlog", "list not")
NO_RECORD = ("copied", "list.txt", "list wrapped", "viewer", "wevtutil", "log analytics", "splunk fields")


def read(path: Path, text: str, zone: tzinfo = BERLIN) -> list[RawEvent | BrokenEvent]:
    path.write_text(text, encoding="utf-8", newline="")
    return list(read_events(path, zone=zone, now=NOW))


@pytest.mark.parametrize("shape", [*PUBLISHED, *DOCUMENTED])
def test_the_shape_of_a_tool_gives_the_events_facts(tmp_path: Path, shape: str) -> None:
    found = read(tmp_path / shape, {**PUBLISHED, **DOCUMENTED}[shape])
    assert len(found) == (2 if shape == "log analytics.json" else 1)
    for raw in found:
        assert isinstance(raw, RawEvent), raw
        event = understand(raw)
        assert event is not None
        assert (event.event_id, event.hresult, event.machine, event.cmid) == (12290, 0, "pc1.example.org", CMID)
        assert (event.act_id, event.minutes_left, event.required_count) == (SKU, 43200, 25)
        assert timedelta() <= datetime.fromtimestamp(event.at / 1000, UTC) - WHEN < timedelta(seconds=1)
        assert event.computer == ("" if shape.startswith(NO_HOST) else HOST)
        with_xml = shape == "copied russian.txt"
        assert event.record_id == (7 if with_xml or not shape.startswith(NO_RECORD) else None)


def test_copied_events_one_below_the_other_are_each_read(tmp_path: Path) -> None:
    for shape, count in (
        ("copied japanese.txt", 2),
        ("copied russian.txt", 3),
        ("wevtutil.txt", 3),
        ("list all.txt", 3),
        ("list eventlog.txt", 3),
    ):
        found = read(tmp_path / shape, PUBLISHED[shape] * count)
        assert [type(each) for each in found] == [RawEvent] * count
    # What stands above a label of the next event is not of this one's text.
    found = read(tmp_path / "a.txt", DOCUMENTED["copied french.txt"] * 3)
    texts = [each.message.removeprefix("Description :\n").strip() for each in found if isinstance(each, RawEvent)]
    assert texts == [TEXT.replace("\r", "")] * 3


def test_a_value_that_may_be_left_out_is_not_lost_where_a_list_is_wrapped(tmp_path: Path) -> None:
    values = ["0x0", "0x00000000", f"{HOST}:1688", CMID, "2026/10/5 8:14", "0", "2", "43200", SKU, "25"]
    for width in range(90, 135, 7):
        text = shown(width, TimeCreated="5/10/2026 10:14:22", Id=12288, MachineName="pc1", Message=",".join(values))
        (found,) = read(tmp_path / "a.txt", text)
        assert isinstance(found, RawEvent)
        event = understand(found)
        assert event is not None
        assert (event.required_count, event.act_id, event.target) == (25, SKU, f"{HOST}:1688"), text


def test_a_zone_named_by_letters_must_be_the_one_that_is_given(tmp_path: Path) -> None:
    fields = {"_time": "2026-10-05 01:14:22.000 PDT", "EventCode": "12290", "Message": TEXT}
    (found,) = read(tmp_path / "a.json", json.dumps({"result": fields}))
    assert isinstance(found, BrokenEvent)
    assert "--timezone" in found.why
    (found,) = read(tmp_path / "a.json", json.dumps({"result": fields}), ZoneInfo("America/Los_Angeles"))
    assert isinstance(found, RawEvent)
    assert found.at == WHEN.timestamp() * 1000


def test_strings_with_nothing_between_them_are_not_an_event(tmp_path: Path) -> None:
    # evtx_dump writes them so when told to keep attributes apart.
    run_together = {"Event": {"System": SYSTEM, "EventData": {"Data": "".join(NINE)}}}
    (found,) = read(tmp_path / "a.json", json.dumps(run_together))
    assert isinstance(found, RawEvent)
    with pytest.raises(EventError):
        understand(found)


def test_fields_are_read_where_an_events_own_xml_is_cut_off(tmp_path: Path) -> None:
    fields = {"EventCode": "12290", "_time": "2026-10-05T08:14:22Z", "Message": TEXT, "_raw": XML[:300]}
    (found,) = read(tmp_path / "a.json", json.dumps({"result": fields}))
    assert isinstance(found, RawEvent)
