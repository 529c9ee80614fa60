"""Forwarding to a real PostgreSQL, through its outages."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import Engine, func, select, text
from sqlalchemy.exc import DBAPIError, OperationalError
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher

from kmstwist.audit import schema
from kmstwist.audit.central.examine import Examined, examine
from kmstwist.audit.central.forward import (
    LOOK_EVERY,
    STUCK,
    WARN_EVERY,
    Forwarder,
)
from kmstwist.audit.central.salt import privacy_of_central
from kmstwist.audit.central.targets import forwarded_up_to, register, target_name, unregister_others
from kmstwist.audit.engine import open_central_reader, open_engine, reading, with_patience, writing
from kmstwist.audit.events.importer import Importer
from kmstwist.audit.migrate import ADVISORY_LOCK, migrate
from kmstwist.audit.plain.faults import StoreError
from kmstwist.audit.privacy import Keep, Privacy, PrivacyPolicy, load_salt
from kmstwist.audit.reports.all import REPORTS
from kmstwist.audit.reports.model import Query
from kmstwist.audit.reports.render import to_json
from kmstwist.audit.store import insert_batch, read_records
from kmstwist.audit.strangers import remember
from kmstwist.audit.upkeep.forget import forget
from kmstwist.audit.upkeep.limits import Limits
from kmstwist.audit.upkeep.retention import prune, rewrite
from kmstwist.audit.upkeep.verify import verify
from kmstwist.cli.main import kmstwist
from kmstwist.discovery.strangers import Stranger
from kmstwist.reasons import Reason
from tests import waiting
from tests.audit.exports import as_xml, request
from tests.audit.making import DAY, HOUR, OFFICE, START, known, new_store, opaque, refusal, uuid
from tests.audit.postgres import Cluster, make_folder
from tests.audit.test_store import upgraded
from tests.logs import Observer, logger

pytestmark = [
    pytest.mark.needs("postgres"),
    pytest.mark.xdist_group("postgres"),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    folder = make_folder()
    cluster = Cluster(folder)
    cluster.start()
    yield cluster
    cluster.stop()
    shutil.rmtree(folder)


@pytest.fixture
def target(cluster: Cluster) -> Iterator[Engine]:
    engine = open_engine(cluster.url)
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    yield engine
    engine.dispose()


def rows(store: Engine, table: str, *without: str) -> list[dict[str, Any]]:
    with reading(store) as connection:
        found = [dict(row._mapping) for row in connection.execute(select(schema.metadata.tables[table]))]
    return sorted(({k: v for k, v in row.items() if k not in without} for row in found), key=repr)


def forward_all(forwarder: Forwarder) -> None:
    while forwarder.forward_once():
        pass


def wait_until(true: Callable[[], bool], forwarder: Forwarder) -> None:
    """Let the forwarder's own thread work; its numbers are read from here."""
    waiting.wait_until(
        true, lambda: f"sent {forwarder.sent}, failures {forwarder.failures}, connected {forwarder.connected}"
    )


SOME = [
    known(START, "PC1"),
    known(START + 1, "PC1", count=4),
    opaque(START + HOUR),
    opaque(START + HOUR, hresult=0xC004F06C),
    refusal(START + 5),
    # Two of a machine's Office products, and failures of several machines at one address.
    known(START + 6, "PC1", app_id=OFFICE, act_id=uuid("o21"), product="Office 2021", required_count=5),
    known(START + 7, "PC1", app_id=OFFICE, act_id=uuid("v21"), product="Visio 2021", required_count=5),
    known(START + HOUR, "PC2", hresult=0xC004F06C),
    known(START + HOUR, "PC1", hresult=None, fault=0x6BA, reason=Reason.UPSTREAM_REFUSED),
]


def test_the_central_store_says_the_same_as_the_local_one(store: Engine, target: Engine) -> None:
    insert_batch(store, SOME)
    forward_all(Forwarder(store, target, batch=2))
    with reading(store) as here, reading(target) as there:
        assert [record for _, record in read_records(there)] == [record for _, record in read_records(here)]
    for table in ("machines", "machine_cmids", "hourly_activity", "hourly_failures"):
        assert rows(target, table) == rows(store, table)
    assert verify(target) == []


@pytest.mark.parametrize("name", list(REPORTS))
def test_every_report_says_the_same_over_postgresql(store: Engine, target: Engine, name: str) -> None:
    insert_batch(store, [*SOME, known(START, "pc8", cmid=uuid("PC1"), product=None), known(START + 9, "PC1", cmid="x")])
    remember(store, "gw1", "corp.test", [Stranger("corp.test", "rogue.test", 1688, 0, 0)], START)
    forward_all(Forwarder(store, target))
    network = "10.0.0.0/8" if "network" in REPORTS[name].heeds else None
    # Within a week of the records, of which the digest tells.
    query = Query(now=datetime(2024, 6, 5, tzinfo=UTC), network=network)
    with reading(store) as here, reading(target) as there:
        expected = to_json(REPORTS[name].ask(here, query))
        assert to_json(REPORTS[name].ask(there, query)) == expected
    assert '"rows": []' not in expected or name in ("refused", "expiring", "silent")


def test_a_central_store_of_the_first_release_keeps_what_it_knows(target: Engine) -> None:
    upgraded(target)


def test_strangers_of_every_gateway_come_together(store: Engine, target: Engine, tmp_path: Path) -> None:
    one = Stranger("corp.test", "rogue.test", 1688, 0, 0)
    other = Stranger("corp.test", "other.test", 1688, 10, 5)
    second = new_store(tmp_path / "second")
    forwarders = [Forwarder(store, target), Forwarder(second, target)]
    remember(store, "gw1", "corp.test", [one], START)
    remember(second, "gw2", "corp.test", [one, other], START)
    for forwarder in forwarders:
        forward_all(forwarder)
    assert rows(target, "strangers") == sorted([*rows(store, "strangers"), *rows(second, "strangers")], key=repr)
    # One has gone, which is sent although no record is; after a restart, a gateway sends known ones again.
    remember(store, "gw1", "corp.test", [], START + HOUR)
    forward_all(forwarders[0])
    forward_all(Forwarder(second, target))
    assert [(row["gateway"], row["host"], row["gone"]) for row in rows(target, "strangers")] == [
        ("gw1", "rogue.test", START + HOUR),
        ("gw2", "other.test", None),
        ("gw2", "rogue.test", None),
    ]


def test_a_central_store_keeps_the_latest_strangers_that_have_gone(
    store: Engine, target: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kmstwist.audit.strangers.GONE", 2)
    forwarder = Forwarder(store, target)
    for day in range(6):
        remember(store, "gw1", "corp.test", [Stranger("corp.test", f"day{day}.test", 1688, 0, 0)], START + day * DAY)
        forward_all(forwarder)
    assert [row["host"] for row in rows(target, "strangers")] == ["day3.test", "day4.test", "day5.test"]


def test_events_retention_and_forgetting_work_in_postgresql(store: Engine, target: Engine, tmp_path: Path) -> None:
    failed = [opaque(START + at, "10.0.0.1", hresult=0xC004F06C) for at in (5, 6)]
    insert_batch(store, [opaque(START, "10.0.0.1"), *failed, opaque(START + DAY)])
    forward_all(Forwarder(store, target))
    privacy = Privacy(PrivacyPolicy(), b"")
    path = tmp_path / "a.xml"
    at = datetime(2024, 6, 1, tzinfo=UTC)
    path.write_bytes(as_xml([request(1, at, "pc1"), request(2, at, "pc1", hresult="0xC004F06C")]))
    importer = Importer(target, privacy, lambda _: ["10.0.0.1"])
    assert importer.import_file(path).joined == 2
    assert importer.import_file(path).known == 2
    assert {row["machine"]: row["calls"] for row in rows(target, "machines")} == {
        "pc1": 2,
        "10.0.0.1": 1,
        "10.0.0.7": 1,
    }
    assert {row["machine"]: (row["calls"], row["first_at"]) for row in rows(target, "hourly_failures")} == {
        "pc1": (1, START + 5),
        "": (1, START + 6),
    }
    gone = forget(target, "PC1", privacy)
    assert (gone.records, gone.failures) == (2, 1)
    assert sum(prune(target, Limits(days=1), START + 2 * DAY)) > 0
    assert [row["client"] for row in rows(target, "records")] == ["10.0.0.7"]
    rewrite(target)


def test_sending_again_after_a_lost_watermark_changes_nothing(store: Engine, target: Engine) -> None:
    insert_batch(store, SOME)
    forward_all(Forwarder(store, target))
    before = rows(target, "machines"), rows(target, "hourly_activity")
    with writing(store) as connection:
        connection.execute(schema.forwarding.update().values(seq=1))
    again = Forwarder(store, target)
    forward_all(again)
    assert again.sent == 0
    assert (rows(target, "machines"), rows(target, "hourly_activity")) == before
    assert forwarded_up_to(store, target_name(target)) == len(SOME)


def test_two_gateways_meet_in_one_central_store(store: Engine, target: Engine, tmp_path: Path) -> None:
    other = new_store(tmp_path, "other.sqlite")
    insert_batch(store, [known(START, "pc1"), known(START, "pc2")])
    insert_batch(other, [known(START + HOUR, "pc1", gateway="gw2"), known(START, "pc3", gateway="gw2")])
    forwarders = [Forwarder(engine, target, batch=1, idle=0.01) for engine in (store, other)]
    for forwarder in forwarders:
        forwarder.start()
    wait_until(lambda: sum(forwarder.sent for forwarder in forwarders) == 4, forwarders[0])
    for forwarder in forwarders:
        forwarder.stop()
    machines = {row["machine"]: (row["calls"], row["gateway"]) for row in rows(target, "machines")}
    assert machines == {"pc1": (2, "gw2"), "pc2": (1, "gw1"), "pc3": (1, "gw2")}
    other.dispose()


@pytest.mark.long
def test_nothing_is_lost_or_doubled_when_postgresql_crashes_under_load(
    store: Engine, target: Engine, cluster: Cluster
) -> None:
    register(store, target_name(target))
    forwarder = Forwarder(store, target, batch=7, idle=0.001, backoff=(0.01, 0.05))
    made = 0

    def load(batches: int) -> None:
        nonlocal made
        for _ in range(batches):
            insert_batch(store, [opaque(START + made + more, f"10.0.0.{more}") for more in range(10)])
            made += 10

    forwarder.start()
    load(30)
    wait_until(lambda: forwarder.sent > 50, forwarder)
    cluster.stop()
    try:
        failures = forwarder.failures
        load(30)
        wait_until(lambda: forwarder.failures > failures + 2, forwarder)
        assert not forwarder.connected
    finally:
        cluster.start()
    load(30)
    wait_until(lambda: forwarder.watermark == made, forwarder)
    assert forwarder.behind == 0
    forwarder.stop()
    with reading(store) as here, reading(target) as there:
        order = select(schema.records.c.record_id).order_by(schema.records.c.seq)
        assert list(there.scalars(order)) == list(here.scalars(order))
        assert there.scalar(select(func.sum(schema.machines.c.calls))) == made
    assert verify(target) == []


def test_a_record_with_a_nul_is_forwarded_without_it(store: Engine, target: Engine) -> None:
    insert_batch(store, [opaque(START), opaque(START + 1, detail="a\0b"), opaque(START + 2)])
    forwarder = Forwarder(store, target)
    forward_all(forwarder)
    assert sorted(row["detail"] for row in rows(target, "records")) == ["", "", "ab"]
    assert forwarder.rejected == 0


def test_a_database_without_an_encoding_takes_records_and_gives_them_back(
    store: Engine, target: Engine, cluster: Cluster
) -> None:
    with target.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(
            text("CREATE DATABASE plain ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
        )
    plain = open_engine(cluster.url.replace("/postgres?", "/plain?"))
    insert_batch(store, [opaque(START, detail="München"), opaque(START + 1)])
    forward_all(Forwarder(store, plain))
    assert sorted(row["detail"] for row in rows(plain, "records")) == ["", "München"]
    assert verify(plain) == []
    plain.dispose()


def test_a_mistake_of_ours_is_a_failure_and_does_not_end_the_thread(store: Engine, target: Engine) -> None:
    class Mistaken(Forwarder):
        def forward_once(self) -> int:
            if not self.failures:
                raise TypeError("no such thing")
            return super().forward_once()

    insert_batch(store, [opaque(START)])
    forwarder = Mistaken(store, target, idle=0.01, backoff=(0.01, 0.01))
    forwarder.log = logger()
    forwarder.start()
    wait_until(lambda: forwarder.connected, forwarder)
    forwarder.stop()
    assert forwarder.failures == 1
    assert len(rows(target, "records")) == 1


def test_several_processes_may_bring_the_central_store_up_to_date_at_once(target: Engine, cluster: Cluster) -> None:
    engines = [open_engine(cluster.url) for _ in range(4)]
    threads = [threading.Thread(target=migrate, args=(engine,)) for engine in engines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert verify(target) == []
    for engine in engines:
        engine.dispose()


def test_the_watermark_of_a_target_no_longer_fed_is_forgotten(store: Engine) -> None:
    register(store, "old")
    register(store, "new")
    unregister_others(store, "new")
    assert [row["target"] for row in rows(store, "forwarding")] == ["new"]
    unregister_others(store, None)
    assert rows(store, "forwarding") == []


def test_an_unreachable_target_fails_without_touching_the_watermark(store: Engine, tmp_path: Path) -> None:
    insert_batch(store, SOME)
    nowhere = open_engine(f"postgresql://kmstwist@/postgres?host={tmp_path}")
    forwarder = Forwarder(store, nowhere)
    with pytest.raises(Exception, match="cannot be opened") as caught:
        forwarder.forward_once()
    assert isinstance(caught.value.__cause__, OperationalError)
    assert forwarded_up_to(store, target_name(nowhere)) == 0


# -- joining, outages, other versions


def hashed(path: Path, salt: bytes) -> tuple[Engine, Privacy]:
    """A gateway's store, and what it does to its records."""
    return new_store(path), Privacy(PrivacyPolicy(Keep.HASH, machine=Keep.HASH, cmid=Keep.HASH), salt)


def test_gateways_that_share_a_salt_count_a_machine_once_and_any_of_them_forgets_it(
    target: Engine, tmp_path: Path
) -> None:
    salt_file = tmp_path / "audit.salt"
    salt = load_salt(salt_file)
    for number in range(3):
        store, privacy = hashed(tmp_path / f"gw{number}", salt)
        insert_batch(store, [privacy.apply(known(START + number * HOUR + at, f"pc{at}")) for at in range(8)])
        forward_all(Forwarder(store, target, salt=salt))
        store.dispose()
    assert len(rows(target, "machines")) == 8
    gone = forget(target, "PC3", privacy_of_central(target, salt_file))
    assert gone.records == 3
    assert len(rows(target, "machines")) == 7
    assert verify(target) == []


def test_a_gateway_with_another_salt_is_refused_with_the_cure_and_feeds_nothing(target: Engine, tmp_path: Path) -> None:
    first, privacy = hashed(tmp_path / "one", b"1" * 32)
    insert_batch(first, [privacy.apply(known(START, "pc1"))])
    forward_all(Forwarder(first, target, salt=b"1" * 32))
    second, other = hashed(tmp_path / "two", b"2" * 32)
    insert_batch(second, [other.apply(known(START, "pc1"))])
    with pytest.raises(StoreError, match=r"another salt .*; kmstwist audit salt export FILE on a gateway"):
        Forwarder(second, target, salt=b"2" * 32).forward_once()
    assert len(rows(target, "records")) == 1
    (tmp_path / "audit.salt").write_bytes(b"2" * 32)
    (tmp_path / "audit.salt").chmod(0o600)
    with pytest.raises(StoreError, match="another salt"):
        privacy_of_central(target, tmp_path / "audit.salt")
    first.dispose()
    second.dispose()


def test_another_user_or_password_does_not_send_everything_again(store: Engine, target: Engine) -> None:
    insert_batch(store, SOME)
    name = target_name(target)
    assert "kmstwist@" not in name
    assert target_name(open_engine("postgresql://other:pw@/postgres?host=/run")) == target_name(
        open_engine("postgresql://kmstwist@/postgres?host=/run&connect_timeout=3")
    )
    with writing(store) as connection:
        # As an earlier version noted it.
        old = target.url.set(username="former").render_as_string()
        connection.execute(schema.forwarding.insert().values(target=old, seq=len(SOME) - 1, at=0))
    register(store, name)
    unregister_others(store, name)
    forwarder = Forwarder(store, target)
    forward_all(forwarder)
    assert forwarder.sent == 1


def test_an_older_gateway_before_a_newer_store_waits_and_says_so(store: Engine, target: Engine) -> None:
    forwarder = Forwarder(store, target)
    insert_batch(store, [opaque(START)])
    forward_all(forwarder)
    with writing(target) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    insert_batch(store, [opaque(START + 1)])
    for _ in range(2):
        with pytest.raises(StoreError, match=r"at revision 9999, of a later kmstwist .* install that version"):
            forwarder.forward_once()
    with pytest.raises(StoreError, match="made by another version"):
        Forwarder(store, target).forward_once()
    assert len(rows(target, "records")) == 1


def test_an_outage_is_reported_repeatedly_with_what_waits(store: Engine) -> None:
    insert_batch(store, SOME)
    away = open_engine("postgresql://kmstwist:s3cret@/nowhere?host=/nonexistent")
    clock = Clock()
    forwarder = Forwarder(store, away, backoff=(0.001, 0.001), monotonic=clock.seconds)
    told: list[dict[str, Any]] = []
    observer = Observer(lambda event: told.append(event["kms_fields"]) if "kms_fields" in event else None)
    globalLogPublisher.addObserver(observer)
    try:
        forwarder.start()
        wait_until(lambda: len(told) == 1, forwarder)
        failures = forwarder.failures
        wait_until(lambda: forwarder.failures > failures + 3, forwarder)
        assert len(told) == 1
        clock.advance(WARN_EVERY)
        wait_until(lambda: len(told) == 2, forwarder)
    finally:
        forwarder.stop()
        globalLogPublisher.removeObserver(observer)
    assert (forwarder.connected, forwarder.behind) == (False, len(SOME))
    assert told[-1]["behind"] == len(SOME)
    assert "s3cret" not in str(told)
    assert "nonexistent" in forwarder.problem


def test_a_central_store_that_nothing_is_sent_to_is_looked_at(store: Engine, target: Engine, cluster: Cluster) -> None:
    """An outage is reported even if nobody activates, and does not come and go while it lasts."""
    clock = Clock()
    forwarder = Forwarder(store, target, idle=0.001, backoff=(0.001, 0.001), monotonic=clock.seconds)
    forwarder.start()
    try:
        wait_until(lambda: forwarder.connected, forwarder)
        with writing(target) as connection:
            connection.execute(text("ALTER ROLE kmstwist SET default_transaction_read_only = on"))
        target.dispose()
        clock.advance(LOOK_EVERY)
        wait_until(lambda: not forwarder.connected, forwarder)
        failures = forwarder.failures
        wait_until(lambda: forwarder.failures > failures + 3, forwarder)
        assert not forwarder.connected
        assert forwarder.problem.startswith("it is read-only at present")
    finally:
        forwarder.stop()
        plain = target.execution_options(isolation_level="AUTOCOMMIT")
        with plain.connect() as connection:
            connection.execute(text("SET default_transaction_read_only = off"))
            connection.execute(text("ALTER ROLE kmstwist RESET default_transaction_read_only"))


def test_an_answer_that_does_not_come_is_an_outage(store: Engine, target: Engine) -> None:
    clock = Clock()
    insert_batch(store, SOME)
    forwarder = Forwarder(store, target, patience=(0.0, 0.0), monotonic=clock.seconds)
    with target.connect() as holder:
        holder.execute(text("SELECT pg_advisory_lock(:key)"), {"key": ADVISORY_LOCK})
        holder.commit()
        forwarder.start()
        try:
            forwarder.watch()
            assert forwarder.problem == ""
            waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            waiting.wait_until(lambda: holder.scalar(text(waits)) == 1)
            clock.advance(STUCK)
            forwarder.watch()
            assert "it has not answered for more than 90 s" in forwarder.problem
            assert (forwarder.connected, forwarder.behind) == (False, len(SOME))
            holder.execute(text("SELECT pg_advisory_unlock_all()"))
            holder.commit()
            wait_until(lambda: forwarder.connected, forwarder)
            assert forwarder.problem == ""
        finally:
            forwarder.stop()


def test_a_lock_that_somebody_holds_is_an_outage_and_said_as_what_it_is(
    store: Engine, target: Engine, cluster: Cluster
) -> None:
    insert_batch(store, SOME)
    forwarder = Forwarder(store, target, backoff=(0.001, 0.001), patience=(0.05, 60))
    forward_all(forwarder)
    insert_batch(store, [opaque(START + DAY)])
    other = open_engine(cluster.url)
    try:
        with other.begin() as connection:
            connection.execute(text("LOCK TABLE records IN ACCESS EXCLUSIVE MODE"))
            forwarder.start()
            wait_until(lambda: forwarder.failures > 0, forwarder)
            assert (forwarder.connected, forwarder.behind) == (False, 1)
            assert forwarder.problem.startswith("somebody has its tables locked")
            with pytest.raises(DBAPIError), reading(with_patience(target, lock=0.01)) as reader:
                reader.scalar(select(func.count()).select_from(schema.records))
        wait_until(lambda: forwarder.connected and forwarder.behind == 0, forwarder)
    finally:
        forwarder.stop()
        other.dispose()
    assert len(rows(target, "records")) == len(SOME) + 1


def test_a_store_too_slow_for_a_whole_batch_gets_it_in_parts(store: Engine, target: Engine) -> None:
    forward_all(Forwarder(store, target))
    with target.begin() as connection:
        # Slow, as an overloaded one: each record takes longer than a third of what a statement may.
        body = "BEGIN PERFORM pg_sleep(0.2); RETURN NEW; END"
        connection.execute(text(f"CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS '{body}'"))
        connection.execute(text("CREATE TRIGGER slow BEFORE INSERT ON records FOR EACH ROW EXECUTE FUNCTION slow()"))
    insert_batch(store, [opaque(START + at) for at in range(4)])
    forwarder = Forwarder(store, target, batch=4, backoff=(0.001, 0.001), patience=(60, 0.5))
    forwarder.start()
    try:
        wait_until(lambda: forwarder.sent == 4, forwarder)
    finally:
        forwarder.stop()
    assert forwarder.failures > 0
    assert forwarder.problem == "" or "too slow" in forwarder.problem


def test_the_reports_work_with_a_role_that_may_only_read(store: Engine, target: Engine, cluster: Cluster) -> None:
    insert_batch(store, SOME)
    forward_all(Forwarder(store, target))
    with target.begin() as connection:
        connection.execute(text("DROP ROLE IF EXISTS reader"))
        connection.execute(text("CREATE ROLE reader LOGIN"))
        connection.execute(text("GRANT USAGE ON SCHEMA public TO reader"))
        connection.execute(text("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader"))
    url = cluster.url.replace("kmstwist@", "reader@")
    result = CliRunner().invoke(kmstwist, ["report", "activity", "--store", url, "--format", "csv"])
    assert result.exit_code == 0, result.output
    reader = open_central_reader(url)
    with reader.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(schema.records)) == len(SOME)
    with pytest.raises(DBAPIError), writing(reader) as connection:
        connection.execute(schema.records.delete())
    looked = examine(url, Path(str(store.url.database)), hashes=False)
    assert looked.problem == "this role may not write its tables"
    reader.dispose()
    with target.begin() as connection:
        connection.execute(text("DROP OWNED BY reader"))
        connection.execute(text("DROP ROLE reader"))


def test_doctor_reports_the_state_of_the_central_store(store: Engine, target: Engine, cluster: Cluster) -> None:
    insert_batch(store, SOME)
    path = Path(str(store.url.database))
    assert examine(cluster.url, path, hashes=False) == Examined(target_name(target), "", len(SOME))
    forward_all(Forwarder(store, target))
    insert_batch(store, [opaque(START + DAY)])
    assert examine(cluster.url, path.with_name("none.sqlite"), hashes=False).behind is None
    assert examine(cluster.url, path, hashes=False) == Examined(target_name(target), "", 1)
    with target.begin() as connection:
        connection.execute(text("ALTER ROLE kmstwist SET default_transaction_read_only = on"))
    assert examine(cluster.url, path, hashes=False).problem.startswith("it is read-only at present")
    with target.begin() as connection:
        connection.execute(text("ALTER ROLE kmstwist RESET default_transaction_read_only"))
    with target.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert examine(cluster.url, path, hashes=False).problem.startswith("its tables are at revision 9999, of a later")
    away = examine("postgresql://u:s3cret@/x?host=/nonexistent", path, hashes=False)
    assert "nonexistent" in away.problem
    assert "s3cret" not in str(away)
