"""An event 12290 gives its facts to the gateway's record of the same request, and to no other."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from kmstwist.audit import schema
from kmstwist.audit.events.importer import BATCH, Importer
from kmstwist.audit.privacy import Keep, Privacy, PrivacyPolicy
from kmstwist.audit.store import insert_batch
from kmstwist.audit.upkeep.verify import verify
from kmstwist.reasons import Reason
from tests.audit.exports import Sample, as_xml, request
from tests.audit.importing import AT, OPEN, SAMPLES, bring_in, resolve, rows
from tests.audit.making import START, known, opaque, uuid


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


def test_of_several_records_from_the_address_the_nearest_with_that_status_wins(store: Engine, tmp_path: Path) -> None:
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


def test_without_dns_a_record_is_joined_only_if_there_is_no_doubt(store: Engine, tmp_path: Path) -> None:
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


def test_an_event_that_is_in_a_file_twice_is_joined_once(store: Engine, tmp_path: Path) -> None:
    insert_batch(store, [opaque(START + 900, "10.0.0.1"), opaque(START + 1900, "10.0.0.1")])
    result = bring_in(store, tmp_path / "a.xml", as_xml([*SAMPLES[:1], *unrelated(BATCH), *SAMPLES[:1]]))
    assert result.joined == 1
    assert [row["machine"] for row in rows(store, "records")].count("pc1.example.com") == 1


@pytest.mark.long
def test_more_events_than_are_held_in_memory_wait_in_a_file(
    store: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kmstwist.audit.events.spool.IN_MEMORY", 1000)
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


def test_records_outside_the_window_or_of_another_machine_are_not_joined(store: Engine, tmp_path: Path) -> None:
    insert_batch(store, [opaque(START + 20_000, "10.0.0.1"), known(START + 1000, "pc9.example.com", "10.0.0.1")])
    assert bring_in(store, tmp_path / "a.xml", as_xml(SAMPLES[:1])).joined == 0


def test_hashed_addresses_and_names_are_joined_and_stay_hashed(store: Engine, tmp_path: Path) -> None:
    privacy = Privacy(PrivacyPolicy(client=Keep.HASH, machine=Keep.HASH), bytes(32))
    insert_batch(store, [privacy.apply(opaque(START + 900, "10.0.0.1"))])
    assert bring_in(store, tmp_path / "a.xml", as_xml(SAMPLES[:1]), privacy).joined == 1
    assert rows(store, "records")[0]["machine"] == privacy.machine("pc1.example.com")
    assert "pc1" not in repr(rows(store, "events")) + repr(rows(store, "machines"))
