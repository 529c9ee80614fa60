from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, select

from kmstwist.audit import schema
from kmstwist.audit.engine import reading
from kmstwist.audit.events.importer import BATCH, Importer, ImportResult
from kmstwist.audit.events.model import BrokenEvent, EventError, RawEvent
from kmstwist.audit.events.reading.files import UnknownFormat, encoding_of, format_of, read_events
from kmstwist.audit.events.reading.json import read_json
from kmstwist.audit.events.reading.table import read_table
from kmstwist.audit.events.reading.times import Times
from kmstwist.audit.events.reading.xml import read_xml
from kmstwist.audit.events.understanding import understand
from kmstwist.audit.events.watch import Watcher
from kmstwist.audit.privacy import Keep, Privacy, PrivacyPolicy
from kmstwist.audit.store import insert_batch
from kmstwist.audit.upkeep.verify import verify
from kmstwist.reasons import Reason
from tests.audit.exports import Sample, as_csv, as_evtx, as_json_5, as_json_7, as_xml, request
from tests.audit.making import START, known, opaque, uuid

OPEN = Privacy(PrivacyPolicy(), b"")
AT = datetime(2024, 6, 1, tzinfo=UTC)
NOW = START + 365 * 86_400_000
DNS = {"pc1.example.com": ["10.0.0.1"], "pc2.example.com": ["10.0.0.2", "2001:db8::2"]}

SAMPLES = [
    request(1, AT + timedelta(seconds=1), "pc1.example.com"),
    request(2, AT + timedelta(seconds=2), "pc2.example.com", hresult="0xC004F06C", vm=1),
    Sample(3, AT + timedelta(seconds=3), ("0x0", "example.com"), event_id=12294),
    Sample(4, AT + timedelta(seconds=4), ("0x8007232B", "example.com"), event_id=12293),
    Sample(
        5,
        AT + timedelta(seconds=5),
        ("0x0", "0x00000000", "kms1:1688", uuid("x"), "2024/6/1 0:00", "0", "2", "1000", uuid("act"), "25"),
        event_id=12288,
        computer="pc9",
    ),
    Sample(
        6,
        AT + timedelta(seconds=6),
        ("0x0", "0x00000000", "1", "0", "50", "120", "10080", "2024/6/1 0:00"),
        event_id=12289,
        computer="pc9",
    ),
    Sample(7, AT + timedelta(seconds=7), ("whatever",), event_id=1003),
]

FORMATS: dict[str, Callable[[list[Sample]], bytes]] = {
    "wevtutil.xml": as_xml,
    "rooted.xml": lambda samples: as_xml(samples, root=True),
    "redirected.xml": lambda samples: b"\xff\xfe" + as_xml(samples).decode().encode("utf-16-le"),
    "pwsh7.json": as_json_7,
    "powershell5.json": as_json_5,
    "us.csv": as_csv,
    "german.csv": lambda samples: as_csv(samples, "%d.%m.%Y %H:%M:%S", ";", kind=False),
    "log.evtx": as_evtx,
}


def resolve(name: str) -> Sequence[str]:
    return DNS.get(name, [])


def rows(store: Engine, table: str) -> list[dict[str, Any]]:
    with reading(store) as connection:
        return [dict(row._mapping) for row in connection.execute(select(schema.metadata.tables[table]))]


def bring_in(store: Engine, path: Path, content: bytes, privacy: Privacy = OPEN, **options: Any) -> ImportResult:
    path.write_bytes(content)
    return Importer(store, privacy, options.pop("resolve", resolve), **options).import_file(path)


@pytest.mark.parametrize("name", list(FORMATS))
def test_every_format_gives_the_same_events(store: Engine, tmp_path: Path, name: str) -> None:
    result = bring_in(store, tmp_path / name, FORMATS[name](SAMPLES))
    assert (result.imported, result.known, result.other, result.broken) == (6, 0, 1, 0)
    first, second, published, failed, sent, processed = rows(store, "events")
    assert (first["machine"], first["cmid"]) == ("pc1.example.com", uuid("pc1.example.com"))
    assert (first["hresult"], first["required_count"], first["license_status"]) == (0, 25, 1)
    assert (first["minutes_left"], first["virtual_machine"], first["computer"]) == (250000, 0, "KMS1.example.com")
    assert (first["at"] // 1000, first["event_record_id"]) == (START // 1000 + 1, 1)
    assert (second["hresult"], second["virtual_machine"]) == (0xC004F06C, 1)
    assert (published["target"], failed["target"], failed["hresult"]) == ("example.com", "example.com", 0x8007232B)
    assert (sent["target"], sent["machine"], sent["required_count"]) == ("kms1:1688", "pc9", 25)
    assert (processed["count"], processed["machine"]) == (50, "pc9")


def test_importing_again_in_whatever_format_changes_nothing(store: Engine, tmp_path: Path) -> None:
    bring_in(store, tmp_path / "first.evtx", as_evtx(SAMPLES))
    before = rows(store, "events")
    for name, write in FORMATS.items():
        result = bring_in(store, tmp_path / name, write(SAMPLES))
        assert (result.imported, result.known) == (0, 6)
    assert rows(store, "events") == before


def test_a_cleared_log_that_counts_from_one_again_is_new(store: Engine, tmp_path: Path) -> None:
    bring_in(store, tmp_path / "a.xml", as_xml([request(1, AT, "pc1.example.com")]))
    result = bring_in(store, tmp_path / "b.xml", as_xml([request(1, AT + timedelta(days=9), "pc1.example.com")]))
    assert result.imported == 1


def test_times_in_csv_are_in_the_zone_given(store: Engine, tmp_path: Path) -> None:
    berlin = timezone(timedelta(hours=2))
    bring_in(store, tmp_path / "a.csv", as_csv([request(1, AT, "pc1.example.com")]), zone=berlin)
    assert rows(store, "events")[0]["at"] == START - 2 * 3_600_000


@pytest.mark.parametrize(
    ("manner", "hours"), [("%Y-%m-%dT%H:%M:%S", -2), ("%Y-%m-%dT%H:%M:%SZ", 0), ("%Y-%m-%dT%H:%M:%S.000+05:00", -5)]
)
def test_a_time_in_csv_is_in_the_zone_given_unless_it_names_its_own(
    store: Engine, tmp_path: Path, manner: str, hours: int
) -> None:
    berlin = timezone(timedelta(hours=2))
    bring_in(store, tmp_path / "a.csv", as_csv([request(1, AT, "pc1.example.com")], manner), zone=berlin)
    assert rows(store, "events")[0]["at"] == START + hours * 3_600_000


def test_an_event_gives_its_facts_to_the_record_from_the_machines_address(store: Engine, tmp_path: Path) -> None:
    insert_batch(
        store,
        [
            opaque(START + 900, "10.0.0.1"),
            opaque(START + 950, "10.0.0.9"),
            opaque(START + 2100, "2001:db8::2", hresult=0xC004F06C),
        ],
    )
    result = bring_in(store, tmp_path / "a.xml", as_xml(SAMPLES))
    assert (result.joined, result.joinable) == (2, 2)
    one, other, two = rows(store, "records")
    assert (one["machine"], one["cmid"]) == ("pc1.example.com", uuid("pc1.example.com"))
    assert (one["act_id"], one["required_count"]) == (uuid("Windows 10 Enterprise"), 25)
    assert other["machine"] is None
    assert (two["machine"], two["virtual_machine"]) == ("pc2.example.com", 1)
    assert rows(store, "events")[0]["record_id"] == one["record_id"]
    machines = {row["machine"]: (row["address"], row["calls"], row["successes"]) for row in rows(store, "machines")}
    assert machines == {
        "pc1.example.com": ("10.0.0.1", 1, 1),
        "10.0.0.9": ("10.0.0.9", 1, 1),
        "pc2.example.com": ("2001:db8::2", 1, 0),
    }
    assert {row["cmid"] for row in rows(store, "machine_cmids")} == {uuid("pc1.example.com"), uuid("pc2.example.com")}
    assert rows(store, "hourly_failures")[0]["machine"] == "pc2.example.com"
    assert verify(store) == []


def test_a_call_that_gets_a_name_is_no_longer_the_last_one_of_its_address_that_a_host_saw(
    store: Engine, tmp_path: Path
) -> None:
    unreached = {"hresult": None, "fault": 0x6BA, "reason": Reason.UPSTREAM_REFUSED}
    insert_batch(
        store,
        [
            opaque(START - 60_000, "10.0.0.1"),
            opaque(START + 1000, "10.0.0.1"),
            opaque(START + 9000, "10.0.0.1", **unreached),
        ],
    )
    assert bring_in(store, tmp_path / "a.xml", as_xml(SAMPLES[:1])).joined == 1
    seen = {row["machine"]: (row["last_seen"], row["last_answered"]) for row in rows(store, "machines")}
    assert seen == {
        "10.0.0.1": (START + 9000, START - 60_000),
        "pc1.example.com": (START + 1000, START + 1000),
    }


def test_a_failure_that_gets_a_name_is_no_longer_one_without(store: Engine, tmp_path: Path) -> None:
    failed = {"hresult": 0xC004F06C}
    hour = START + 3_600_000
    insert_batch(
        store,
        [
            opaque(START),
            opaque(hour + 1000, "10.0.0.2", **failed, upstream="kms1"),
            opaque(hour + 60_000, "10.0.0.2", **failed, upstream="kms2"),
            opaque(hour + 120_000, "10.0.0.2", **failed, upstream="kms3"),
        ],
    )

    def failures() -> dict[str, tuple[int, int, int, str]]:
        return {
            row["machine"]: (row["calls"], row["first_at"] - hour, row["last_at"] - hour, row["upstream"])
            for row in rows(store, "hourly_failures")
        }

    def join(number: int, seconds: int) -> None:
        when = AT + timedelta(hours=1, seconds=seconds)
        sample = request(number, when, "pc2.example.com", hresult="0xC004F06C")
        assert bring_in(store, tmp_path / "a.xml", as_xml([sample])).joined == 1
        assert verify(store) == []

    assert failures() == {"": (3, 1000, 120_000, "kms3")}
    join(1, 120)
    assert failures() == {"": (2, 1000, 60_000, "kms2"), "pc2.example.com": (1, 120_000, 120_000, "kms3")}
    join(2, 1)
    assert failures() == {"": (1, 60_000, 60_000, "kms2"), "pc2.example.com": (2, 1000, 120_000, "kms3")}
    join(3, 60)
    assert failures() == {"pc2.example.com": (3, 1000, 120_000, "kms3")}


def test_of_several_records_from_the_address_the_nearest_of_that_status_is_taken(store: Engine, tmp_path: Path) -> None:
    insert_batch(
        store,
        [
            opaque(START + 1000, "10.0.0.1", hresult=0xC004F06C),
            opaque(START + 1400, "10.0.0.1"),
            opaque(START - 3000, "10.0.0.1"),
        ],
    )
    bring_in(store, tmp_path / "a.xml", as_xml(SAMPLES[:1]))
    assert [row["machine"] for row in rows(store, "records")] == [None, "pc1.example.com", None]
    left = next(row for row in rows(store, "machines") if row["machine"] == "10.0.0.1")
    assert (left["calls"], left["successes"], left["last_success"]) == (2, 1, START - 3000)
    assert (left["first_seen"], left["last_seen"], left["last_status"]) == (START - 3000, START + 1000, 0xC004F06C)


def test_without_dns_a_record_is_taken_only_if_there_is_no_doubt(store: Engine, tmp_path: Path) -> None:
    insert_batch(
        store, [opaque(START, "10.0.0.77"), opaque(START + 60_000, "10.0.0.78"), opaque(START + 61_000, "10.0.0.79")]
    )
    sure = request(1, AT, "unknown1")
    two_records = request(2, AT + timedelta(seconds=60), "unknown2")
    result = bring_in(store, tmp_path / "a.xml", as_xml([sure, two_records]))
    assert (result.joined, result.joinable) == (1, 2)
    assert [row["machine"] for row in rows(store, "records")] == ["unknown1", None, None]


def test_without_dns_two_events_for_one_record_leave_it_alone(store: Engine, tmp_path: Path) -> None:
    insert_batch(store, [opaque(START, "10.0.0.77")])
    samples = [request(1, AT, "unknown1"), request(2, AT + timedelta(seconds=1), "unknown2")]
    assert bring_in(store, tmp_path / "a.xml", as_xml(samples)).joined == 0


def unrelated(number: int) -> list[Sample]:
    return [request(100 + at, AT - timedelta(hours=5, minutes=at), f"early{at}") for at in range(number)]


def test_two_events_for_one_record_leave_it_alone_wherever_a_file_has_them(store: Engine, tmp_path: Path) -> None:
    insert_batch(store, [opaque(START, "10.0.0.77")])
    # The last of one batch, and the first of the next.
    samples = [*unrelated(BATCH - 1), request(1, AT - timedelta(seconds=2), "unknown1"), request(2, AT, "unknown2")]
    assert bring_in(store, tmp_path / "a.xml", as_xml(samples)).joined == 0
    assert rows(store, "records")[0]["machine"] is None


def test_an_event_that_found_its_record_casts_no_doubt_on_others_whatever_their_order(
    store: Engine, tmp_path: Path
) -> None:
    insert_batch(store, [opaque(START, "10.0.0.77"), opaque(START + 1000, "10.0.0.1")])
    samples = [request(2, AT, "unknown1"), *unrelated(BATCH), request(1, AT + timedelta(seconds=1), "pc1.example.com")]
    result = bring_in(store, tmp_path / "a.xml", as_xml(samples))
    records = rows(store, "records")
    assert [row["machine"] for row in records if row["gateway"]] == ["unknown1", "pc1.example.com"]
    assert len(records) == 2 + BATCH
    assert (result.joined, result.joinable) == (2, BATCH + 2)
    before = [rows(store, table) for table in schema.metadata.tables]
    again = bring_in(store, tmp_path / "a.xml", as_xml(samples))
    assert (again.imported, again.joined, again.joinable) == (0, 0, BATCH)
    assert [rows(store, table) for table in schema.metadata.tables] == before


def test_one_join_may_end_the_doubt_about_another_and_that_one_of_a_third(store: Engine, tmp_path: Path) -> None:
    privacy = Privacy(PrivacyPolicy(client=Keep.TRUNCATE), b"")
    # Of one network: the first event may be about the first two records, the second about the last two, the third
    # about the last one only.
    insert_batch(store, [privacy.apply(opaque(START + at * 1000, "10.0.0.1")) for at in (0, 8, 16)])
    samples = [request(at, AT + timedelta(seconds=at), f"pc{at}") for at in (0, 12, 24)]
    result = bring_in(store, tmp_path / "a.xml", as_xml(samples), privacy, resolve=lambda _: ["10.0.0.9"])
    assert result.joined == 3
    assert [row["machine"] for row in rows(store, "records")] == ["pc0", "pc12", "pc24"]


def test_an_import_that_was_broken_off_before_joining_is_completed_by_the_next(
    store: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert_batch(store, [opaque(START + 900, "10.0.0.1")])
    content = as_xml([*unrelated(BATCH), *SAMPLES])
    with monkeypatch.context() as patch:
        patch.setattr(Importer, "_join_all", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            bring_in(store, tmp_path / "a.xml", content)
    assert len(rows(store, "events")) == BATCH + 6
    assert rows(store, "records")[0]["machine"] is None
    result = bring_in(store, tmp_path / "a.xml", content)
    assert (result.imported, result.joined) == (0, 1)
    assert rows(store, "records")[0]["machine"] == "pc1.example.com"


def test_an_event_that_stands_in_a_file_twice_is_joined_once(store: Engine, tmp_path: Path) -> None:
    insert_batch(store, [opaque(START + 900, "10.0.0.1"), opaque(START + 1900, "10.0.0.1")])
    result = bring_in(store, tmp_path / "a.xml", as_xml([*SAMPLES[:1], *unrelated(BATCH), *SAMPLES[:1]]))
    assert result.joined == 1
    assert [row["machine"] for row in rows(store, "records")].count("pc1.example.com") == 1


@pytest.mark.long
def test_more_events_than_are_held_in_memory_wait_in_a_file(
    store: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kmstwist.audit.events.waiting.IN_MEMORY", 1000)
    insert_batch(store, [opaque(START, "10.0.0.77")])
    told: list[int] = []
    path = tmp_path / "a.xml"
    path.write_bytes(as_xml([*unrelated(3 * BATCH), request(1, AT, "unknown1")]))
    assert Importer(store, OPEN, resolve).import_file(path, told.append).joined == 1
    assert told == sorted(told)
    assert told[-1] >= path.stat().st_size - 1


def test_a_machine_dns_knows_elsewhere_asked_the_host_directly(store: Engine, tmp_path: Path) -> None:
    insert_batch(store, [opaque(START + 1000, "10.0.0.55")])
    assert bring_in(store, tmp_path / "a.xml", as_xml(SAMPLES[:1])).joined == 0


def test_records_outside_the_window_or_of_another_machine_are_not_taken(store: Engine, tmp_path: Path) -> None:
    insert_batch(store, [opaque(START + 20_000, "10.0.0.1"), known(START + 1000, "pc9.example.com", "10.0.0.1")])
    assert bring_in(store, tmp_path / "a.xml", as_xml(SAMPLES[:1])).joined == 0


def test_hashed_addresses_and_names_are_joined_and_stay_hashed(store: Engine, tmp_path: Path) -> None:
    privacy = Privacy(PrivacyPolicy(client=Keep.HASH, machine=Keep.HASH), bytes(32))
    insert_batch(store, [privacy.apply(opaque(START + 900, "10.0.0.1"))])
    assert bring_in(store, tmp_path / "a.xml", as_xml(SAMPLES[:1]), privacy).joined == 1
    assert rows(store, "records")[0]["machine"] == privacy.machine("pc1.example.com")
    assert "pc1" not in repr(rows(store, "events")) + repr(rows(store, "machines"))


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
    # A token that is none, where the second record's first element begins.
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
def test_a_file_that_is_no_export_is_refused_with_the_ways_to_make_one(content: bytes) -> None:
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


def test_encodings_are_told_from_the_first_bytes() -> None:
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


def test_an_event_without_end_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("kmstwist.audit.events.reading.xml.MAX_EVENT", 10_000)
    (tmp_path / "a.xml").write_bytes(b"<Event>" + b"x" * 200_000 + as_xml(SAMPLES[:1]))
    first, second = read_events(tmp_path / "a.xml", now=NOW)
    assert isinstance(first, BrokenEvent)
    assert isinstance(second, RawEvent)


@given(st.text(max_size=300))
def test_any_text_is_read_to_its_end(text: str) -> None:
    import io

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


def test_a_clients_own_events_are_as_private_as_its_name(store: Engine, tmp_path: Path) -> None:
    privacy = Privacy(PrivacyPolicy(machine=Keep.HASH), bytes(32))
    bring_in(store, tmp_path / "a.xml", as_xml(SAMPLES[4:6]), privacy)
    assert "pc9" not in repr(rows(store, "events"))


def test_the_watcher_takes_files_that_have_settled_and_once_only(tmp_path: Path) -> None:
    taken: list[str] = []
    watcher = Watcher(tmp_path, lambda path: taken.append(path.name))
    (tmp_path / "a.xml").write_text("x")
    (tmp_path / "notes.docx").write_text("x")
    (tmp_path / "b.evtx").write_text("x")
    watcher.scan()
    assert taken == []
    (tmp_path / "b.evtx").write_text("still growing")
    watcher.scan()
    assert taken == ["a.xml"]
    watcher.scan()
    watcher.scan()
    assert taken == ["a.xml", "b.evtx"]
    (tmp_path / "a.xml").write_text("exported again")
    watcher.scan()
    watcher.scan()
    assert taken == ["a.xml", "b.evtx", "a.xml"]


def test_a_file_whose_import_failed_is_tried_again(tmp_path: Path) -> None:
    tries: list[str] = []

    def take(path: Path) -> None:
        tries.append(path.name)
        if len(tries) == 1:
            raise OSError("the store is busy")

    watcher = Watcher(tmp_path, take)
    (tmp_path / "a.xml").write_text("x")
    watcher.scan()
    with pytest.raises(OSError, match="busy"):
        watcher.scan()
    watcher.scan()
    watcher.scan()
    assert tries == ["a.xml", "a.xml"]
