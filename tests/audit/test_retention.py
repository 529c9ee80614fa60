from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, func, select

from kmstwist.audit import schema
from kmstwist.audit.central.targets import register
from kmstwist.audit.engine import reading, writing
from kmstwist.audit.privacy import Keep, Privacy, PrivacyPolicy
from kmstwist.audit.settings import AuditSection
from kmstwist.audit.store import insert_batch
from kmstwist.audit.upkeep.forget import STEP, forget
from kmstwist.audit.upkeep.limits import FLOOR, Limits
from kmstwist.audit.upkeep.retention import Outcome, prune, size_in_use
from kmstwist.audit.upkeep.verify import verify
from tests.audit.making import DAY, HOUR, START, driver_of, known, opaque, refusal, uuid

NOW = START + 100 * DAY
OPEN = Privacy(PrivacyPolicy(), b"")


def count(store: Engine, table: str) -> int:
    with reading(store) as connection:
        return connection.scalar(select(func.count()).select_from(schema.metadata.tables[table])) or 0


def test_by_age_everything_older_goes_and_the_rest_stays(store: Engine) -> None:
    insert_batch(store, [known(START, "old"), refusal(START), known(NOW - DAY, "new"), refusal(NOW - DAY)])
    steps = list(prune(store, Limits(days=30), NOW))
    assert sum(steps) == 2 + 1 + 1 + 1 + 1
    for table in ("machines", "machine_cmids", "hourly_activity", "hourly_failures"):
        assert count(store, table) == 1
    assert count(store, "records") == 2
    assert verify(store) == []


@pytest.mark.parametrize("limits", [Limits(days=30), Limits(size=1, floor=1)])
def test_sums_that_outlive_their_records_are_sound_beside_older_records_that_come_later(
    store: Engine, limits: Limits
) -> None:
    cut = NOW - 30 * DAY
    insert_batch(store, [known(cut - DAY + at, name) for at, name in enumerate(("pc1", "pc2"))])
    insert_batch(store, [refusal(cut - DAY), known(cut + DAY, "pc1")])
    list(prune(store, limits, NOW))
    assert count(store, "records") == 1
    # The events of an earlier time are imported now.
    insert_batch(store, [known(cut - 2 * DAY + at, name) for at, name in enumerate(("pc3", "pc1", "pc2"))])
    assert verify(store) == []


def test_the_work_is_done_in_short_steps(store: Engine) -> None:
    insert_batch(store, [opaque(START + at) for at in range(25)])
    steps = [deleted for deleted in prune(store, Limits(days=30), NOW, step=10) if deleted]
    assert steps[:3] == [10, 10, 5]


def test_by_size_the_oldest_records_go_and_the_sums_stay(store: Engine) -> None:
    insert_batch(store, [opaque(START + at, detail="x" * 500) for at in range(2000)])
    with reading(store) as connection:
        before = size_in_use(connection)
    deleted = sum(prune(store, Limits(size=before // 2), NOW, step=100))
    with reading(store) as connection:
        assert size_in_use(connection) <= before // 2
        assert connection.scalar(select(func.min(schema.records.c.at))) == START + deleted
        # What was freed went back to the file system.
        assert connection.exec_driver_sql("PRAGMA freelist_count").scalar_one() == 0
        assert connection.scalar(select(func.sum(schema.hourly_activity.c.calls))) == 2000


def test_by_size_the_oldest_failures_go_when_no_record_is_left(store: Engine) -> None:
    insert_batch(store, [refusal(START + at * HOUR, f"10.0.{at % 250}.{at // 250}") for at in range(2000)])
    with writing(store) as connection:
        connection.execute(schema.records.delete())
    with reading(store) as connection:
        before = size_in_use(connection)
    deleted = sum(prune(store, Limits(size=before // 2), NOW, step=100))
    with reading(store) as connection:
        assert size_in_use(connection) <= before // 2
        assert connection.scalar(select(func.min(schema.hourly_failures.c.first_at))) == START + deleted * HOUR
    assert 0 < deleted < 2000


def size(store: Engine) -> int:
    with reading(store) as connection:
        return size_in_use(connection)


def test_no_size_deletes_every_record_and_a_size_too_small_is_reported(store: Engine) -> None:
    insert_batch(store, [known(START + at, f"pc{at}.example.com", f"10.0.{at >> 8}.{at & 255}") for at in range(3000)])
    outcome = Outcome()
    half = size(store) // 2
    list(prune(store, Limits(size=half, floor=500), NOW, step=100, outcome=outcome))
    assert count(store, "records") == 500
    # The machines of the remaining records are kept, and as many of the others as there is room for.
    assert 500 <= count(store, "machines") < 3000
    assert size(store) <= half
    assert (outcome.over, outcome.at_floor, outcome.too_small) == (False, True, True)
    assert verify(store) == []


def test_the_server_s_own_limits_leave_a_thousand_records(store: Engine) -> None:
    insert_batch(store, [opaque(START + at) for at in range(1100)])
    list(prune(store, AuditSection(keep_mib=0.001).limits, NOW, step=50))
    assert count(store, "records") == FLOOR == 1000


def imported(store: Engine, times: range) -> None:
    """As many events of a KMS host's as there are times."""
    rows = [
        {"fingerprint": at.to_bytes(16, "big"), "event_id": 12290, "computer": "kms1" + "x" * 500, "at": at}
        for at in times
    ]
    with writing(store) as connection:
        connection.execute(schema.events.insert(), rows)


@pytest.mark.parametrize("older", [True, False])
def test_by_size_imported_events_go_in_turn_with_records_and_cost_no_newer_record(store: Engine, older: bool) -> None:
    insert_batch(store, [opaque(START + DAY + at, detail="x" * 500) for at in range(1000)])
    imported(store, range(START, START + 1000) if older else range(START + 2 * DAY, START + 2 * DAY + 1000))
    with reading(store) as connection:
        limit = size_in_use(connection) * 3 // 4
    list(prune(store, Limits(size=limit, floor=100), NOW, step=50))
    left = {table: count(store, table) for table in ("records", "events")}
    assert (left["records"] == 1000, left["events"] == 1000) == (older, not older)
    with reading(store) as connection:
        assert connection.scalar(select(func.max(schema.events.c.at))) % DAY == 999 + START % DAY
    list(prune(store, Limits(size=1, floor=100), NOW, step=50))
    assert (count(store, "records"), count(store, "events")) == (100, 100)


def test_a_size_below_the_floor_deletes_nothing_that_is_referred_to(store: Engine) -> None:
    insert_batch(store, [known(START + at, f"pc{at}") for at in range(50)])
    outcome = Outcome()
    assert sum(prune(store, Limits(size=1, floor=50), NOW, outcome=outcome)) == 0
    assert (count(store, "records"), count(store, "machines")) == (50, 50)
    assert outcome.over


def test_a_size_that_is_large_enough_makes_no_trouble(store: Engine) -> None:
    insert_batch(store, [opaque(START + at, detail="x" * 500) for at in range(2000)])
    outcome = Outcome()
    list(prune(store, Limits(size=size(store) // 2, floor=100), NOW, step=100, outcome=outcome))
    assert not outcome.too_small
    assert count(store, "records") > 100


def test_deleting_stops_when_it_frees_nothing(store: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kmstwist.audit.upkeep.retention.size_in_use", lambda _connection: 10**9)
    insert_batch(store, [opaque(START + at) for at in range(500)])
    list(prune(store, Limits(size=1), NOW, step=10))
    assert count(store, "records") == 450


def test_no_failures_go_for_records_that_wait_to_be_forwarded(store: Engine) -> None:
    insert_batch(store, [refusal(START, f"10.0.0.{at}") for at in range(9)])
    register(store, "central")
    list(prune(store, Limits(size=1), NOW))
    assert (count(store, "records"), count(store, "hourly_failures")) == (9, 9)


def test_the_sums_of_records_that_wait_to_be_forwarded_stay_with_them(store: Engine) -> None:
    insert_batch(store, [opaque(START + at * HOUR, hresult=0xC004F042) for at in range(5)])
    register(store, "central")
    list(prune(store, Limits(days=30), NOW))
    assert (count(store, "records"), count(store, "hourly_activity"), count(store, "hourly_failures")) == (5, 5, 5)
    assert verify(store) == []


def test_without_limits_nothing_goes(store: Engine) -> None:
    insert_batch(store, [opaque(START)])
    assert sum(prune(store, Limits(), NOW)) == 0
    assert count(store, "records") == 1


def test_records_not_yet_forwarded_are_spared(store: Engine) -> None:
    insert_batch(store, [opaque(START + at) for at in range(10)])
    register(store, "central")
    with writing(store) as connection:
        connection.execute(schema.forwarding.update().values(seq=4))
    list(prune(store, Limits(days=30), NOW))
    list(prune(store, Limits(size=1), NOW))
    assert count(store, "records") == 6


@pytest.mark.parametrize("name", ["PC1.example.com", uuid("pc1.example.com"), uuid("pc1.example.com").upper()])
def test_forgetting_a_machine_by_name_or_cmid_leaves_only_the_others(store: Engine, name: str) -> None:
    insert_batch(
        store,
        [
            known(START, "pc1.example.com", "10.0.0.1"),
            known(START, "PC1.example.com", "10.0.0.1", cmid=uuid("pc1.example.com"), hresult=0xC004F06C),
            known(START, "pc2.example.com", "10.0.0.1"),
        ],
    )
    gone = forget(store, name, OPEN)
    assert gone.records == 2
    assert gone.machines == 2
    assert gone.failures == 1
    assert count(store, "records") == count(store, "machines") == count(store, "machine_cmids") == 1
    assert forget(store, name, OPEN).nothing


def test_forgetting_many_records_searches_for_them_once(store: Engine) -> None:
    insert_batch(store, [known(START + at, "pc1") for at in range(2 * STEP + 1)])
    searches = []

    def note(statement: str) -> None:
        if statement.startswith("SELECT") and "FROM records" in statement and "lower(records.machine)" in statement:
            searches.append(statement)

    with store.connect() as connection:
        driver_of(connection).set_trace_callback(note)
    assert forget(store, "pc1", OPEN).records == 2 * STEP + 1
    assert len(searches) == 1
    assert verify(store) == []


def test_forgetting_a_name_takes_it_in_any_case_whatever_its_letters(store: Engine) -> None:
    insert_batch(store, [known(START, "Büro-PC", cmid=uuid("1")), known(START, "BÜRO-PC", cmid=uuid("2"))])
    assert forget(store, "büro-pc", OPEN).records == 2
    assert count(store, "records") == count(store, "machines") == 0


def test_forgetting_an_address_takes_the_records_that_name_no_machine(store: Engine) -> None:
    insert_batch(store, [opaque(START, "10.0.0.1"), known(START, "pc1", "10.0.0.1"), refusal(START, "10.0.0.1")])
    gone = forget(store, "10.0.0.1", OPEN)
    assert (gone.records, gone.machines, gone.failures) == (2, 1, 1)


def test_forgetting_a_machine_leaves_the_failures_of_others_at_its_address(store: Engine) -> None:
    failed: dict[str, Any] = {"hresult": 0xC004F042}
    at = START + HOUR
    insert_batch(store, [opaque(START)])
    insert_batch(store, [known(at, "pc1", **failed), known(at, "pc2", **failed), opaque(at, **failed)])
    assert forget(store, "pc2", OPEN).failures == 1
    assert count(store, "hourly_failures") == 2
    assert verify(store) == []
    assert forget(store, "10.0.0.7", OPEN).failures == 1
    with reading(store) as connection:
        assert connection.scalars(select(schema.hourly_failures.c.machine)).all() == ["pc1"]
    assert verify(store) == []


def test_verify_compares_the_failures_with_the_records(store: Engine) -> None:
    insert_batch(
        store, [opaque(START), known(START + HOUR, "pc1", count=3), refusal(START + HOUR), opaque(START + HOUR)]
    )
    assert verify(store) == []
    with writing(store) as connection:
        connection.execute(schema.hourly_failures.delete().where(schema.hourly_failures.c.machine == "pc1"))
    assert verify(store) == ["the hour from 2024-06-01 01:00 UTC has 2 failed records and a sum of 1 failure"]


def test_a_store_that_forgot_a_machine_is_still_sound(store: Engine) -> None:
    insert_batch(store, [known(START + at * HOUR, f"pc{at % 3}") for at in range(9)])
    forget(store, "pc1", OPEN)
    assert verify(store) == []
    forget(store, "pc2", OPEN)
    assert verify(store) == []
    with writing(store) as connection:
        connection.execute(schema.records.delete().where(schema.records.c.at == START + 3 * HOUR))
    assert verify(store) == ["the hour from 2024-06-01 03:00 UTC has 0 records and a sum of 1 call"]


def test_forgetting_a_name_tells_the_addresses_whose_other_calls_stay(store: Engine) -> None:
    insert_batch(
        store, [known(START, "pc1", "10.0.0.1"), opaque(START + DAY, "10.0.0.1"), known(START, "pc1", "10.0.0.2")]
    )
    assert forget(store, "pc1", OPEN).addresses == ("10.0.0.1",)


def test_forgetting_an_address_tells_the_machines_that_have_it(store: Engine) -> None:
    insert_batch(store, [known(START, "pc1", "10.0.0.1")])
    gone = forget(store, "10.0.0.1", OPEN)
    assert gone.nothing
    assert gone.machines_there == ("pc1",)


@pytest.mark.long
def test_no_copy_of_a_forgotten_name_is_left_in_pages_that_were_divided(store: Engine, tmp_path: Path) -> None:
    names = [f"host-{number * 7919 % 10_007:05}x" for number in range(3000)]
    for at in range(0, 3000, 100):
        insert_batch(store, [known(START + at, name, hresult=0xC004F042) for name in names[at : at + 100]])
    before = (tmp_path / "audit.sqlite").read_bytes() + (tmp_path / "audit.sqlite-wal").read_bytes()
    for name in names[:40]:
        assert name.encode() in before
        assert forget(store, name, OPEN).wiped
    after = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert [name for name in names[:40] if name.encode() in after] == []
    assert names[41].encode() in after


def test_a_reader_that_holds_the_old_pages_keeps_the_store_from_being_wiped(store: Engine) -> None:
    insert_batch(store, [known(START, "pc1")])
    with reading(store) as connection:
        connection.execute(select(schema.records)).all()
        assert not forget(store, "pc1", OPEN).wiped


def test_a_large_store_is_not_rewritten_by_the_way(store: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kmstwist.audit.upkeep.forget.REWRITTEN_UP_TO", 1)
    insert_batch(store, [known(START, "pc1")])
    gone = forget(store, "pc1", OPEN)
    assert (gone.records, gone.wiped) == (1, False)


def test_a_forgotten_machine_is_nowhere_in_the_files(store: Engine, tmp_path: Path) -> None:
    insert_batch(store, [known(START + at, "secret-machine.example.com") for at in range(200)])
    insert_batch(store, [known(START, "other.example.com")])
    forget(store, "secret-machine.example.com", OPEN)
    for path in tmp_path.iterdir():
        assert b"secret-machine" not in path.read_bytes()


def test_a_hashed_machine_is_forgotten_by_its_plain_name(store: Engine) -> None:
    privacy = Privacy(PrivacyPolicy(machine=Keep.HASH, cmid=Keep.HASH, client=Keep.HASH), bytes(32))
    insert_batch(store, [privacy.apply(known(START, "pc1")), privacy.apply(known(START, "pc2"))])
    assert forget(store, "PC1", privacy).records == 1


def test_a_truncated_name_stands_for_many_and_is_left_alone(store: Engine) -> None:
    privacy = Privacy(PrivacyPolicy(machine=Keep.TRUNCATE), b"")
    insert_batch(
        store, [privacy.apply(known(START, "pc1.example.com")), privacy.apply(known(START, "pc2.example.com"))]
    )
    assert forget(store, "pc1.example.com", privacy).records == 0
