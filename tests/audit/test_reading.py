"""How readers of events and the store's tools treat odd input, without a store or with an empty one."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, create_engine

from kmstwist.audit.asking.facts import stored_privacy, write_policy
from kmstwist.audit.bulk import Insertion
from kmstwist.audit.engine import open_central_reader, open_engine, reading, sqlite_path, store_url
from kmstwist.audit.events.identity import Known, same_computer
from kmstwist.audit.events.interpret import event_of_text, facts_of
from kmstwist.audit.events.model import BrokenEvent, Event, EventError, RawEvent
from kmstwist.audit.events.reading.blocks import read_blocks
from kmstwist.audit.events.reading.files import encoding_of, read_events
from kmstwist.audit.events.reading.instants import client_clock
from kmstwist.audit.events.reading.json import read_json
from kmstwist.audit.events.reading.plain_xml import NAMESPACE, read_plain
from kmstwist.audit.events.reading.table import looks_like_table, read_table
from kmstwist.audit.events.reading.times import Times, check, iso_to_ms
from kmstwist.audit.events.reading.xml import parse_event, read_xml
from kmstwist.audit.migrate import revision_fault
from kmstwist.audit.plain.faults import StoreError
from kmstwist.audit.plain.settings import AuditSettings
from kmstwist.audit.privacy import SALT_BYTES, Keep, Privacy, PrivacyPolicy
from kmstwist.audit.products.settings import ProductsSettings
from kmstwist.audit.records import Record
from kmstwist.audit.reports.duplicates import duplicates
from kmstwist.audit.reports.model import Query
from kmstwist.audit.service import try_settings
from kmstwist.audit.store import insert_batch
from kmstwist.audit.views.hints import reading_hints
from tests.audit.making import DAY, START, at_first_release, known, opaque, uuid

NOW = 1_790_000_000_000
NINE = ["0x0", "25", "pc1.example.com", uuid("a"), "2026/06/01 10:00", "0", "1", "43200", uuid("w")]


# As Windows writes it.
PLAIN = (
    f"<Event xmlns='{NAMESPACE}'><System><Provider Name='Microsoft-Windows-Security-SPP' "
    "Guid='{E23B33B0-C8C9-472C-A5F9-F2BDFEA0F156}' EventSourceName='Software Protection Platform Service'/>"
    "<EventID Qualifiers='16384'>12290</EventID><Version>0</Version><Level>4</Level><Task>0</Task><Opcode>0</Opcode>"
    "<Keywords>0x80000000000000</Keywords><TimeCreated SystemTime='2026-06-01T10:00:00.1234567Z'/>"
    "<EventRecordID>7</EventRecordID><Correlation/><Execution ProcessID='0' ThreadID='0'/>"
    "<Channel>Key Management Service</Channel><Computer>kms1.example.com</Computer><Security/></System><EventData>"
    f"<Data></Data>{''.join(f'<Data>{value}</Data>' for value in NINE)}</EventData></Event>"
)


def test_the_form_of_windows_is_read_without_a_parser() -> None:
    event = read_plain(PLAIN, "here")
    assert event is not None
    assert event == parse_event(PLAIN, "here")
    assert (event.strings, event.computer, event.record_id) == (["", *NINE], "kms1.example.com", 7)


@given(
    st.integers(0, len(PLAIN)),
    st.integers(0, 60),
    st.sampled_from(
        ["", " ", "'", '"', "<", ">", "&", "&amp;", "/", "\n", "\0", "\x85", "\ud800", "\uffff", "ä", "<Data/>"]
    )
    | st.text(max_size=4)
    | st.tuples(st.integers(0, len(PLAIN)), st.integers(0, 60)).map(lambda cut: PLAIN[cut[0] : sum(cut)]),
)
def test_reading_without_the_parser_gives_the_parser_s_result(at: int, gone: int, instead: str) -> None:
    text = PLAIN[:at] + instead + PLAIN[at + gone :]
    read: RawEvent | BrokenEvent | None
    try:
        read = read_plain(text, "here")
    except ValueError as error:
        read = BrokenEvent("here", str(error))
    assert read is None or read == parse_event(text, "here")


@pytest.mark.parametrize(
    ("text", "event_id"),
    [
        (f"Info:\n{','.join(NINE)}", 12290),
        (f"Info:\n0xC004F074, 0x0, kms1:1688, {uuid('a')}, 2026/06/01 10:00, 0, 1, 43200, {uuid('w')}, 25", 12288),
        ("Info:\n0x0, 0x0, 1, 0, 31, 120, 10080, 2026/06/01 10:00", 12289),
        ("Info:\n0x0, 0x0, 1, 0, many, 120, 10080, 2026/06/01 10:00", None),
        ("0x0, one value more", None),
        ("nothing of the kind", None),
    ],
)
def test_an_event_is_recognised_by_the_values_in_its_text(text: str, event_id: int | None) -> None:
    assert event_of_text(text) == event_id


@pytest.mark.parametrize(
    ("event_id", "strings", "message", "said"),
    [
        (12290, [], " ", "neither strings nor a text"),
        (12290, NINE[:8], "", "has 9 values and this one 8"),
        (12290, [*NINE[:1], "9" * 30, *NINE[2:]], "", "string 2 of event 12290 is not a number"),
        (12290, [*NINE[:1], "9" * 19, *NINE[2:]], "", "string 2 of event 12290 is not a number"),
        (12290, [], "no values here", "has no line with its values"),
        (12291, ["no code"], "", "has no status code"),
        (12294, ["nothing like a domain"], "", "has no DNS domain"),
    ],
)
def test_a_missing_value_of_an_event_is_named(event_id: int, strings: list[str], message: str, said: str) -> None:
    with pytest.raises(EventError, match=said):
        facts_of(event_id, strings, message)


def test_a_text_tells_what_the_strings_do_not() -> None:
    facts = facts_of(12290, ["not what it should be"], f"Info:\n{','.join(NINE)}")
    assert (facts["machine"], facts["required_count"]) == ("pc1.example.com", 25)
    assert facts_of(12294, ["corp.example."], "") == {"target": "corp.example"}


@pytest.mark.parametrize(
    "strings", [NINE, [",".join(NINE)], ["".join(f"<string>{each}</string>" for each in NINE)], [*NINE, "a NUL\0"]]
)
def test_strings_say_the_same_however_a_format_hands_them_over(strings: list[str]) -> None:
    facts = facts_of(12290, strings, "")
    assert (facts["hresult"], facts["machine"], facts["cmid"]) == (0, "pc1.example.com", uuid("a"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "gestern",
        "2026/13/40 10:00",
        "99:99 on some day",
        "1 2 3",
        "2026/06/01",
        "2026/06/01 10:61",
        "2026/06/01 44:00",
        "2026/06/01 10:00 7",
        "2026-06-01T10:61:00Z",
        "2026-02-30 10:00:00",
        "2026-06-01T10:00:00+99:00",
    ],
)
def test_an_unreadable_time_is_reported_with_the_cure(text: str) -> None:
    with pytest.raises(ValueError, match="export"):
        Times(UTC, NOW).read(text, lambda: None)


def test_a_time_when_nothing_can_have_been_logged_is_refused() -> None:
    check(NOW, NOW)
    with pytest.raises(ValueError, match="before there was KMS"):
        check(0, NOW)
    with pytest.raises(ValueError, match="later than now"):
        check(NOW + 3 * DAY, NOW)
    with pytest.raises(ValueError, match="is not a time"):
        iso_to_ms("June")
    assert client_clock("2026/06/01 10:00") == datetime(2026, 6, 1, 10)
    assert client_clock("2026/02/31 10:00") is client_clock(None) is None


JSON_EVENT = json.dumps({"Id": 12290, "TimeCreated": "2026-06-01T10:00:00Z", "RecordId": 5, "Properties": NINE})


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        (f"[{JSON_EVENT},", "the file's end", "the list of events is not closed there: the file was cut off"),
        ("[" * 9, "the file's end", "the list of events is not closed there"),
        ('{"value": [' + JSON_EVENT, "the file's end", "the list of events is not closed there"),
        (JSON_EVENT[:60], "event 1", "no JSON from here on: the file ends within the event; the file is damaged"),
        (JSON_EVENT.replace(", ", " ", 1), "event 1", 'no JSON from here on: at \'{"Id": 12290 "TimeCr'),
        (JSON_EVENT.replace("5", "5" * 5000, 1), "event 1", "a number of more digits than any event has"),
        (f"<Events>{PLAIN}", "the file's end", "the element around the events is not closed there: the file was cut"),
        (PLAIN.replace("kms1", "kms1&"), "line 1", "no well-formed XML at '"),
        (PLAIN.replace("<System>", "<!DOCTYPE a><System>"), "line 1", "no well-formed XML at"),
        (
            PLAIN.replace("10:00:00", "10:61:00"),
            "line 1",
            "is one that no calendar and clock have; the file is damaged",
        ),
    ],
)
def test_damage_is_reported_in_words_with_its_place(tmp_path: Path, text: str, place: str, said: str) -> None:
    path = tmp_path / "export"
    path.write_text(text, "utf-16", "surrogatepass")
    *_, broken = read_events(path, now=NOW)
    assert isinstance(broken, BrokenEvent)
    assert (broken.place, said in broken.why) == (place, True), broken


@pytest.mark.parametrize(
    "text", ["[]", "[\n]\n", f"[{JSON_EVENT}]", JSON_EVENT, f"<Events>{PLAIN}</Events>\n", "<Events/>"]
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-be"])
def test_a_whole_file_is_not_called_damaged(tmp_path: Path, text: str, encoding: str) -> None:
    path = tmp_path / "export"
    path.write_bytes(text.encode(encoding))
    assert not [each for each in read_events(path, now=NOW) if isinstance(each, BrokenEvent)]


@pytest.mark.parametrize(
    ("head", "table"),
    [
        ("", False),
        ("#TYPE System.Diagnostics.Eventing.Reader.EventLogRecord\n", True),
        ("Message,Id,TimeCreated\n", True),
        ('"a heading without an end', False),
        ("Stufe;Datum;Quelle;ID;Text\nInfo;01.06.2026 10:00:00;Security-SPP;12290;0x0,25\n", True),
        ("one,two,three,four\n1,2,3,4\n", False),
    ],
)
def test_a_table_of_events_is_known_by_its_beginning(head: str, table: bool) -> None:
    assert looks_like_table(head) is table


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("one,two,three,four\na,b,c,d\n", "its columns are not those of an export of events"),
        ("Id,Message\n12290,x\n", "the export has no column TimeCreated"),
        ("Id,TimeCreated\n12290,2026-06-01 10:00:00\n", "the export has no column Message"),
        ("Message,Id,TimeCreated\nx,12290\n", "2 values under 3 headings"),
        ("Message,Id,TimeCreated,ProviderName\n\nx,12290,,Security-SPP\n", "the object has no time"),
        ("Message,Id,TimeCreated\n" + "x" * 200_000 + ",12290,2026-06-01 10:00:00\n", "the row cannot be read"),
    ],
)
def test_a_table_without_events_is_reported_as_such(text: str, said: str) -> None:
    [broken] = read_table(io.StringIO(text), Times(UTC, NOW))
    assert isinstance(broken, BrokenEvent)
    assert said in broken.why


@pytest.mark.parametrize(
    ("inside", "said"),
    [
        ("", "no System element"),
        ("<System><EventID>x</EventID></System>", "the event's id is not a number"),
        (
            "<System><EventID>12290</EventID><Provider Name='Microsoft-Windows-Security-SPP'/>"
            "<Channel>Key Management Service</Channel></System>",
            "no TimeCreated element",
        ),
    ],
)
def test_an_event_in_xml_without_what_it_must_have_is_broken(inside: str, said: str) -> None:
    broken = parse_event(f"<Event>{inside}</Event>", "line 1")
    assert isinstance(broken, BrokenEvent)
    assert said in broken.why


def test_an_event_that_the_file_s_end_cuts_off_is_broken() -> None:
    [broken] = read_xml(io.StringIO("<Events><Event><System>"))
    assert isinstance(broken, BrokenEvent)
    assert broken.why == "the file ends within the event"


BLOCK = """\
Event[0]:
  Log Name: Key Management Service
  Source:
  Date: {when}
  Event ID: 12290
  RecordNumber: 7
  Computer: kms1.corp.example
  Description:
{strings}
"""


def test_a_block_of_labelled_lines_is_an_event() -> None:
    [event] = read_blocks(
        io.StringIO(BLOCK.format(when="2026-06-01T10:00:00", strings=",".join(NINE))), Times(UTC, NOW)
    )
    assert isinstance(event, RawEvent)
    assert (event.computer, event.record_id, event.at) == ("kms1.corp.example", 7, 1_780_308_000_000)
    assert facts_of(event.event_id, event.strings, event.message)["machine"] == "pc1.example.com"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Event[0]:\n  Source: Security-SPP\n  Date: 2026-06-01T10:00:00\n", "the event has no number"),
        ("Event[0]:\n  Source: Security-SPP\n  Event ID: 12290\n", "the event has no time"),
        (BLOCK.format(when="31.02.2026 10:00:00", strings="x"), "export"),
        ("Event[0]:\n<Event xmlns='x'></Event>\n", "no System element"),
    ],
)
def test_a_block_without_what_an_event_must_have_is_broken(text: str, said: str) -> None:
    [broken] = read_blocks(io.StringIO(text), Times(UTC, NOW))
    assert isinstance(broken, BrokenEvent)
    assert said in broken.why


def test_another_program_s_block_is_passed_over() -> None:
    text = (
        BLOCK.replace("Key Management Service", "Application")
        .replace("Source:", "Source: VSS")
        .format(when="2026-06-01T10:00:00", strings="x")
    )
    [event] = read_blocks(io.StringIO(text), Times(UTC, NOW))
    assert isinstance(event, RawEvent)
    assert not event.is_kms


@pytest.mark.parametrize(
    ("properties", "strings"),
    [
        ({"Data": NINE}, NINE),
        ({"param2": "25", "param1": "0x0"}, ["0x0", "25"]),
        (5, ["5"]),
        ({"EventData": {"Data": {"data": {"value": {"Value": {"#text": "too deep"}}}}}}, []),
        ([{"Value": {"Value": {"Value": {"Value": {"Value": "too deep"}}}}}, "25"], ["", "25"]),
    ],
)
def test_strings_are_unwrapped(properties: object, strings: list[str]) -> None:
    event = {"Id": 12290, "TimeCreated": "2026-06-01T10:00:00Z", "ProviderName": "Security-SPP", "Message": "x"}
    [found] = read_json(io.StringIO(json.dumps(event | {"Properties": properties})), Times(UTC, NOW))
    assert isinstance(found, RawEvent)
    assert list(found.strings) == strings


def test_the_fields_of_graylog_are_those_of_winlogbeat() -> None:
    fields = {"event_id": "12290", "channel": "Key Management Service", "computer_name": "kms1"}
    named = {f"winlogbeat_winlog_{name}": value for name, value in fields.items()}
    [found] = read_json(
        io.StringIO(json.dumps(named | {"@timestamp": "2026-06-01T10:00:00Z", "message": "x"})), Times(UTC, NOW)
    )
    assert isinstance(found, RawEvent)
    assert (found.event_id, found.computer) == (12290, "kms1")


@pytest.mark.parametrize(
    ("sample", "encoding"), [(b"\0<\0E", "utf-16-be"), (b"<\0E\0", "utf-16-le"), (b"<\xe4rger", "cp1252")]
)
def test_an_encoding_without_a_mark_is_recognised_by_the_first_bytes(sample: bytes, encoding: str) -> None:
    assert encoding_of(sample) == encoding


@pytest.mark.parametrize(
    ("minutes", "client_time", "same"),
    [(0, None, True), (120, "2026-06-01T10:00", True), (120, None, False), (127, "2026-06-01T10:00", False)],
)
def test_an_event_of_two_exports_is_one_where_only_the_zone_differs(
    minutes: int, client_time: str | None, same: bool
) -> None:
    event = Event(12290, "kms1", None, NOW + minutes * 60_000, client_time=client_time)
    assert Known(b"", "kms1", None, NOW).is_(event, "kms1") is same


def test_a_statement_that_cannot_be_made_into_pieces_is_refused() -> None:
    for text in (
        "DELETE FROM machines",
        "INSERT INTO forwarding (target, seq) VALUES (:target, :seq)",
        "INSERT INTO forwarding (seq, target) VALUES (:seq, :target) ON CONFLICT (target) DO UPDATE SET at = :at",
    ):
        with pytest.raises(ValueError, match="does not insert one row of seq, target"):
            Insertion(text, ["seq", "target"])


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("kms1", "KMS1.corp.example", True),
        ("", "kms1", True),
        ("kms1.a.example", "kms1.b.example", False),
        ("kms1", "kms2", False),
    ],
)
def test_a_computer_without_its_domain_is_the_same(one: str, other: str, same: bool) -> None:
    assert same_computer(one, other) is same_computer(other, one) is same


def test_a_dropped_field_is_gone_from_a_record() -> None:
    privacy = Privacy(PrivacyPolicy(peer=Keep.DROP, machine=Keep.DROP, cmid=Keep.DROP), b"")
    kept: Record = privacy.apply(known(START, "pc1", peer="10.0.0.1"))
    assert (kept.peer, kept.machine, kept.cmid, kept.client) == (None, None, None, "10.0.0.7")


def test_a_store_remembers_the_policy_and_needs_its_salt(store: Engine, tmp_path: Path) -> None:
    assert stored_privacy(store).policy == PrivacyPolicy()
    salt = tmp_path / "audit.salt"
    write_policy(store, PrivacyPolicy(machine=Keep.DROP), salt)
    assert stored_privacy(store).policy.machine is Keep.DROP
    insert_batch(store, [opaque(START)])
    with reading(store) as connection:
        assert list(reading_hints(connection)) == list(reading_hints(connection, "duplicates")) == []
    write_policy(store, PrivacyPolicy(cmid=Keep.DROP, machine=Keep.DROP), salt)
    with reading(store) as connection:
        (said,) = reading_hints(connection, "duplicates")
        assert said.startswith("this store keeps no CMIDs")
        assert list(reading_hints(connection)) == []
    write_policy(store, PrivacyPolicy(client=Keep.HASH), salt)
    with pytest.raises(StoreError, match="which is missing; restore that file"):
        stored_privacy(store)
    salt.write_bytes(b"short")
    salt.chmod(0o600)
    with pytest.raises(StoreError, match=f"must be {SALT_BYTES} bytes"):
        stored_privacy(store)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, None),
        ({"forward_to": "postgresql://u@db.example.com/audit"}, None),
        ({"forward_to": "elsewhere.sqlite"}, "the audit forwards to PostgreSQL; give forward_to a postgresql:// URL"),
        ({"privacy": PrivacyPolicy(client=Keep.HASH)}, None),
    ],
)
def test_problems_that_would_keep_the_audit_from_starting_are_found_beforehand(
    tmp_path: Path, settings: dict[str, Any], said: str | None
) -> None:
    tried = AuditSettings(store=str(tmp_path / "audit.sqlite"), **settings)
    if said is None:
        try_settings(tried)
        assert (tmp_path / "audit.salt").exists() is tried.privacy.hashes
        (tmp_path / "audit.salt").write_bytes(b"short")
        if tried.privacy.hashes:
            with pytest.raises(StoreError, match="must be 32 bytes"):
                try_settings(tried)
    else:
        with pytest.raises(StoreError, match=said):
            try_settings(tried)


def test_a_store_of_the_wrong_kind_is_reported(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="a central store is a PostgreSQL"):
        open_central_reader(str(tmp_path / "a.sqlite"))
    with pytest.raises(StoreError, match="works on the embedded SQLite store only"):
        sqlite_path(open_engine("postgresql://u@db.example.com/audit"))
    with pytest.raises(StoreError, match="is not a URL of a store"):
        store_url("postgresql://u@db.example.com:port/audit")
    engine = create_engine(f"sqlite:///{tmp_path}/empty.sqlite")
    with reading(engine) as connection:
        assert "has none of the audit's tables" in str(revision_fault(connection))
    at_first_release(engine)
    with reading(engine) as connection:
        assert "start the server on it once, which brings it up to date" in str(revision_fault(connection))
    engine.dispose()
    assert store_url("sqlite:////srv/audit.sqlite").database == "/srv/audit.sqlite"


def test_cmids_are_looked_at_in_the_time_that_is_asked_for(store: Engine) -> None:
    insert_batch(store, [known(START, "pc1", cmid=uuid("c")), known(START + DAY, "pc2", "10.0.0.8", cmid=uuid("c"))])
    with reading(store) as connection:

        def found(**asked: Any) -> int:
            return len(
                duplicates(connection, Query(now=datetime.fromtimestamp((START + 2 * DAY) / 1000, UTC), **asked)).rows
            )

        assert found() == 1
        assert found(machine="pc1") == 1
        assert found(machine="pc3") == 0


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ([{"id": uuid("a"), "name": "A"}, {"id": uuid("b"), "name": "B"}], None),
        ([{"id": uuid("a"), "name": "A"}, {"id": uuid("a"), "name": "B"}], "is named twice; keep one name"),
        ([{"id": "Windows", "name": "A"}], "'Windows' is not an activation id; write it as slmgr /dlv prints it"),
    ],
)
def test_a_product_is_named_once_by_its_id(named: list[dict[str, str]], said: str | None) -> None:
    if said is None:
        assert [each.name for each in ProductsSettings.model_validate({"named": named}).names] == ["A", "B"]
    else:
        with pytest.raises(ValueError, match=said):
            ProductsSettings.model_validate({"named": named})


@pytest.mark.parametrize("text", ["25.10.2026 02:30:07", "10/25/2026 2:30:07 AM", "2026-10-25 02:30:07"])
@pytest.mark.parametrize("hour", [0, 1])
def test_of_an_hour_that_a_zone_has_twice_the_clients_time_tells_which(text: str, hour: int) -> None:
    times = Times(ZoneInfo("Europe/Berlin"), int(datetime(2026, 11, 1, tzinfo=UTC).timestamp() * 1000))
    when = datetime(2026, 10, 25, hour, 30, 7, tzinfo=UTC)
    assert times.read(text, lambda: datetime(2026, 10, 25, hour, 30)) == when.timestamp() * 1000
    # Nobody can tell, and the first is taken.
    assert times.read(text, lambda: None) == datetime(2026, 10, 25, 0, 30, 7, tzinfo=UTC).timestamp() * 1000


@pytest.mark.parametrize(("letters", "hour"), [("CEST", 0), ("CET", 1)])
def test_letters_tell_which_of_two_hours_is_meant(letters: str, hour: int) -> None:
    times = Times(ZoneInfo("Europe/Berlin"), int(datetime(2026, 11, 1, tzinfo=UTC).timestamp() * 1000))
    when = datetime(2026, 10, 25, hour, 30, 7, tzinfo=UTC)
    assert times.read(f"2026-10-25 02:30:07 {letters}", lambda: None) == when.timestamp() * 1000
