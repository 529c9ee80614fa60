from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select

from kmstwist.audit import schema
from kmstwist.audit.engine import reading, writing
from kmstwist.audit.forget import forget
from kmstwist.audit.forward import register
from kmstwist.audit.privacy import Keep, Privacy, PrivacyPolicy
from kmstwist.audit.retention import Limits, prune, size_in_use
from kmstwist.audit.store import insert_batch, verify
from tests.audit.making import DAY, START, known, opaque, refusal, uuid

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


def test_forgetting_an_address_takes_the_records_that_name_no_machine(store: Engine) -> None:
    insert_batch(store, [opaque(START, "10.0.0.1"), known(START, "pc1", "10.0.0.1"), refusal(START, "10.0.0.1")])
    gone = forget(store, "10.0.0.1", OPEN)
    assert (gone.records, gone.machines, gone.failures) == (2, 1, 1)


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
