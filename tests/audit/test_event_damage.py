"""Broken, cut off or hostile input, and input that is not an export: counted or refused; the rest is read."""

from __future__ import annotations

import gzip
import io
import json
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from kmstwist.audit.events.interpret import understand
from kmstwist.audit.events.model import BrokenEvent, EventError, RawEvent
from kmstwist.audit.events.reading.files import UnknownFormat, format_of, read_events
from kmstwist.audit.events.reading.json import read_json
from kmstwist.audit.events.reading.table import read_table
from kmstwist.audit.events.reading.times import Times
from kmstwist.audit.events.reading.xml import read_xml
from tests.audit.exports import as_csv, as_evtx, as_json_7, as_xml, request
from tests.audit.importing import AT, NOW, SAMPLES, bring_in
from tests.audit.making import START


def test_broken_events_are_counted_with_their_place_and_the_rest_is_imported(store: Engine, tmp_path: Path) -> None:
    good = [request(number, AT, f"pc{number}") for number in range(1, 6)]
    texts = [sample.xml for sample in good]
    texts[1] = texts[1].replace("</System>", "")
    texts[2] = texts[2].replace("<Data>25</Data>", "<Data>many</Data>")
    texts[3] = texts[3].replace("</Event>", "")
    result = bring_in(store, tmp_path / "a.xml", "\n".join(texts).encode())
    assert (result.imported, result.broken) == (2, 3)
    assert [broken.place for broken in result.shown] == ["line 2", "line 3", "line 4"]
    assert "no well-formed XML" in result.shown[0].why
    assert result.shown[1].why == "string 2 of event 12290 is not a number: 'many'"
    assert result.shown[2].why == "the event has no end"


def test_a_damaged_evtx_record_costs_itself_alone(store: Engine, tmp_path: Path) -> None:
    content = bytearray(as_evtx([request(number, AT, f"pc{number}") for number in range(1, 6)]))
    # An invalid token, where the second record's first element begins.
    second = content.index(b"\x2a\x2a\0\0", 4096 + 512 + 8)
    content[second + 28] = 0x77
    result = bring_in(store, tmp_path / "a.evtx", bytes(content))
    assert (result.imported, result.broken) == (4, 1)


def test_an_evtx_file_cut_off_is_reported(store: Engine, tmp_path: Path) -> None:
    content = as_evtx([request(number, AT, f"pc{number}") for number in range(1, 20)])
    result = bring_in(store, tmp_path / "a.evtx", content[: 4096 + 65536 + 1000])
    assert result.imported == 8
    assert [broken.place for broken in result.shown] == ["the file's end"]
    assert bring_in(store, tmp_path / "b.evtx", content[:100]).broken == 1


def test_broken_rows_of_csv_and_json_are_counted_with_their_place(store: Engine, tmp_path: Path) -> None:
    text = as_csv([request(number, AT, f"pc{number}") for number in range(1, 4)]).decode()
    cut = bring_in(store, tmp_path / "a.csv", text.replace('"2","Key', '"2"\r\n"Key', 1).encode())
    assert (cut.imported, [broken.place for broken in cut.shown]) == (2, ["line 6", "line 9"])
    late = bring_in(store, tmp_path / "b.csv", text.replace("06/01/2024", "junio 1").encode())
    assert late.broken == 3
    assert "in a manner not known here" in late.shown[0].why
    partial = bring_in(store, tmp_path / "a.json", as_json_7([request(n, AT, f"pd{n}") for n in (1, 2, 3)])[:-150])
    assert (partial.imported, partial.shown[0].place) == (2, "event 3")
    assert "no JSON from here on" in partial.shown[0].why


def test_a_csv_without_the_columns_needed_says_which(store: Engine, tmp_path: Path) -> None:
    result = bring_in(store, tmp_path / "a.csv", b'"TimeCreated","Id"\r\n"x","12290"\r\n')
    assert result.shown[0].why.startswith("the export has no column Message")


@pytest.mark.parametrize(
    "attack",
    [
        b"<!DOCTYPE Event [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>",
        b"<!DOCTYPE lolz [<!ENTITY a 'ha'><!ENTITY x '&a;&a;&a;&a;'>]>",
    ],
)
def test_entities_are_never_expanded(store: Engine, tmp_path: Path, attack: bytes) -> None:
    event = as_xml([request(1, AT, "pc1")]).replace(b"<Data>pc1</Data>", b"<Data>&x;</Data>")
    result = bring_in(store, tmp_path / "a.xml", attack + event)
    assert (result.imported, result.broken) == (0, 1)
    inside = event.replace(b"<System>", attack + b"<System>")
    assert bring_in(store, tmp_path / "b.xml", inside).broken == 1


@pytest.mark.parametrize("content", [b"", b"hello", b"\x7fELF" + bytes(range(128, 160))])
def test_a_file_that_is_not_an_export_is_refused_with_the_ways_to_make_one(content: bytes) -> None:
    with pytest.raises(UnknownFormat, match="wevtutil epl"):
        format_of(content)


@pytest.mark.parametrize(
    # A gzip header holds the time of packing, which would be another one in each of the processes that share the tests.
    ("content", "name"),
    [(gzip.compress(b"<Event>", mtime=0), "gzip"), (b"PK\x03\x04", "zip"), (b"\xfd7zXZ\0", "xz")],
)
def test_a_packed_file_is_to_be_unpacked(content: bytes, name: str) -> None:
    with pytest.raises(UnknownFormat, match=f"packed with {name}; unpack it first"):
        format_of(content)


def test_an_event_without_end_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("kmstwist.audit.events.reading.xml.MAX_EVENT", 10_000)
    (tmp_path / "a.xml").write_bytes(b"<Event>" + b"x" * 200_000 + as_xml(SAMPLES[:1]))
    first, second = read_events(tmp_path / "a.xml", now=NOW)
    assert isinstance(first, BrokenEvent)
    assert isinstance(second, RawEvent)


@given(st.text(max_size=300))
def test_any_text_is_read_to_its_end(text: str) -> None:

    for source in (text, f"<Event>{text}</Event>", f'[{{"Id": {text}'):
        list(read_xml(io.StringIO(source)))
        list(read_json(io.StringIO(source), Times(UTC, NOW)))
        list(read_table(io.StringIO(source, newline=""), Times(UTC, NOW)))


@given(st.sampled_from([12288, 12289, 12290, 12293, 12294, 7]), st.lists(st.text(max_size=40), max_size=11))
def test_any_strings_are_understood_or_refused_with_a_sentence(event_id: int, data: list[str]) -> None:
    said = ""
    try:
        understand(RawEvent("line 1", event_id, START, data))
    except EventError as error:
        said = str(error)
    assert said == "" or str(event_id) in said


@pytest.mark.parametrize(
    "changes",
    [
        {"Message": "Info:\n0x0,25,pc\0,x"},
        {"Message": "Info:\n0x0,25,pc\ud800,x"},
        {"MachineName": "kms\0"},
        {"TimeCreated": "0000-12-31T23:59:59-12:00"},
        {"TimeCreated": None},
        {"Id": "twelve"},
        {"Properties": [{"Value": str(2**70)}] * 9, "Message": ""},
        {"TimeCreated": "/Date(999999999999999)/"},
    ],
)
def test_json_no_machine_would_write_is_counted_and_kept_out(
    store: Engine, tmp_path: Path, changes: dict[str, Any]
) -> None:
    row = json.loads(as_json_7(SAMPLES[:1])) | changes
    result = bring_in(store, tmp_path / "a.json", json.dumps(row).encode())
    assert (result.imported, result.broken) == (0, 1)


def test_a_record_number_out_of_all_bounds_stops_nothing(store: Engine, tmp_path: Path) -> None:
    row = json.loads(as_json_7(SAMPLES[:1])) | {"RecordId": 10**30}
    assert bring_in(store, tmp_path / "a.json", json.dumps(row).encode()).imported == 1
