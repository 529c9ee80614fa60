"""Exports with the formats of regions, and in the encodings of Windows."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kmstwist.audit.events.model import RawEvent
from kmstwist.audit.events.reading.files import encoding_of, read_events
from kmstwist.audit.events.reading.table import read_table
from kmstwist.audit.events.reading.times import Times
from tests.audit.exports import as_csv, as_json_7, as_xml, request
from tests.audit.importing import AT, NOW, SAMPLES


def times_in(content: bytes) -> list[datetime]:
    found = list(read_table(io.StringIO(content.decode(), newline=""), Times(UTC, NOW)))
    assert all(isinstance(event, RawEvent) for event in found), found
    return [datetime.fromtimestamp(event.at / 1000, UTC) for event in found if isinstance(event, RawEvent)]


@pytest.mark.parametrize(
    "manner",
    [
        "%-m/%-d/%Y %-I:%M:%S %p",  # United States
        "%-m/%-d/%Y %-I:%M:%S\u202f%p",  # United States, with a newer ICU
        "%-d/%m/%Y %-I:%M:%S %p",  # Australia
        "%m/%d/%Y %H:%M:%S",  # United States, 24 hours
        "%d/%m/%Y %H:%M:%S",  # Great Britain, France
        "%d.%m.%Y %H:%M:%S",  # Germany
        "%-d.%-m.%Y %-H.%M.%S",  # Finland
        "%d-%m-%Y %H:%M:%S",  # the Netherlands
        "%Y-%m-%d %H:%M:%S",  # Sweden
        "%Y. %m. %d. %-H:%M:%S",  # Hungary
        "%Y/%m/%d %H:%M:%S",  # Japan
    ],
)
def test_times_are_read_in_the_manner_of_the_region_that_wrote_them(manner: str) -> None:
    # No day tells itself from a month, but the events' numbers tell their order.
    whens = [datetime(2024, month, day, 14, 5, 9, tzinfo=UTC) for month, day in ((3, 4), (3, 12), (4, 1), (11, 2))]
    samples = [request(number, when, "pc1") for number, when in enumerate(whens)]
    assert times_in(as_csv(samples[::-1], manner)) == whens[::-1]


@pytest.mark.parametrize(("noon", "manner"), [("下午", "%Y/%-m/%-d {} %I:%M:%S"), ("오후", "%Y-%m-%d {} %-I:%M:%S")])
def test_noon_is_known_in_other_scripts(noon: str, manner: str) -> None:
    when = datetime(2024, 3, 4, 14, 5, 9, tzinfo=UTC)
    assert times_in(as_csv([request(1, when, "pc1")], manner.format(noon))) == [when]


def test_one_day_past_the_twelfth_tells_the_manner_of_all() -> None:
    whens = [datetime(2024, 5, 3, tzinfo=UTC), datetime(2024, 5, 13, tzinfo=UTC)]
    for manner in ("%m/%d/%Y %H:%M:%S", "%d/%m/%Y %I:%M:%S %p"):
        samples = [request(0, when, "pc1") for when in whens]
        assert times_in(as_csv(samples, manner)) == whens


def test_an_array_that_powershell_wrapped_is_read(tmp_path: Path) -> None:
    samples = [request(number, AT, f"pc{number}") for number in range(1, 3)]
    events = json.loads(as_json_7(samples))
    path = tmp_path / "kms.json"
    path.write_text(json.dumps({"value": events, "Count": 2}, indent=4))
    assert [event.record_id for event in read_events(path, now=NOW) if isinstance(event, RawEvent)] == [1, 2]
    assert len(list(read_events(path, now=NOW))) == 2


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_csv_and_xml_are_read_in_the_encodings_of_windows(tmp_path: Path, encoding: str) -> None:
    samples = [request(number, AT, "pc-äß") for number in range(1, 4)]
    for name, content in (
        ("kms.csv", as_csv(samples)),
        # wevtutil writes no element around the events, and none but its own line ends.
        ("kms.xml", as_xml(samples).replace(b"\r\n", b"")),
        ("root.xml", as_xml(samples, root=True)),
    ):
        path = tmp_path / name
        path.write_bytes(content.decode().encode(encoding))
        found = [event for event in read_events(path, now=NOW) if isinstance(event, RawEvent)]
        assert [event.strings[2] if event.strings else event.message.split(",")[2] for event in found] == [
            "pc-äß"
        ] * 3, name


def test_encodings_are_recognised_by_the_first_bytes() -> None:
    assert encoding_of("é".encode()) == "utf-8"
    assert encoding_of("é".encode()[:1]) == "utf-8"
    assert encoding_of("é<".encode("cp1252")) == "cp1252"
    assert encoding_of("<E".encode("utf-16-le")) == "utf-16-le"


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_events_are_found_wherever_a_read_cuts_them(size: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("kmstwist.audit.events.reading.xml.CHUNK", size)
    monkeypatch.setattr("kmstwist.audit.events.reading.json.CHUNK", size)
    for name, content in (("a.xml", as_xml(SAMPLES)), ("a.json", as_json_7(SAMPLES))):
        (tmp_path / name).write_bytes(content)
        found = [event for event in read_events(tmp_path / name, now=NOW) if isinstance(event, RawEvent)]
        assert [event.event_id for event in found] == [sample.event_id for sample in SAMPLES]
