"""The summary tables follow from the records, whatever the records' history."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, Table, create_engine, select

from kmstwist.audit import schema
from kmstwist.audit.asking.limits import MOST
from kmstwist.audit.asking.summary_statements import table_of
from kmstwist.audit.engine import reading, writing
from kmstwist.audit.records import Record
from kmstwist.audit.rows import to_row
from kmstwist.audit.store import insert_batch
from kmstwist.audit.sums import stored
from kmstwist.audit.sums.all import SUMS
from kmstwist.audit.sums.table import Row, SummaryTable
from kmstwist.audit.upkeep.verify import verify
from tests.audit.making import HOUR, START, known, opaque, refusal, uuid


@st.composite
def records_and_facts(draw: st.DrawFn) -> list[tuple[Record, Record | None]]:
    """Opaque and readable records of few addresses and hours; for some opaque ones what an event tells of them."""
    found: list[tuple[Record, Record | None]] = []
    for at in draw(st.lists(st.integers(0, 2 * HOUR), min_size=1, max_size=12)):
        client = draw(st.sampled_from(["10.0.0.7", "10.0.0.8"]))
        hresult = draw(st.sampled_from([0, 0xC004F042]))
        if draw(st.booleans()):
            found.append((known(START + at, draw(st.sampled_from(["PC1", "pc2"])), client, hresult=hresult), None))
            continue
        record = opaque(START + at, client, hresult=hresult, upstream=draw(st.sampled_from(["kms1", "kms2"])))
        facts = replace(
            record,
            machine=draw(st.sampled_from(["PC1", "pc2", None])),
            cmid=uuid("a"),
            act_id=uuid("Office"),
            required_count=draw(st.sampled_from([5, 25])),
            count=draw(st.sampled_from([None, 10])),
        )
        found.append((record, facts if draw(st.booleans()) else None))
    return found


def summed(engine: Engine, each: SummaryTable) -> list[Row]:
    with reading(engine) as connection:
        table = table_of(each)
        order = [table.c[name] for name in each.key]
        return [dict(row) for row in connection.execute(select(table).order_by(*order)).mappings()]


@pytest.mark.long
@settings(max_examples=80, deadline=None)
@given(records_and_facts(), st.sampled_from([MOST, 0]))
def test_records_that_get_to_be_known_leave_the_sums_as_if_they_had_always_been(
    made: Sequence[tuple[Record, Record | None]], most: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        # A machine with more records than that has them read in another way.
        patch.setattr(stored, "MOST", most)
        are_as_if_they_had_always_been(made)


def are_as_if_they_had_always_been(made: Sequence[tuple[Record, Record | None]]) -> None:
    # Of two records of one millisecond either may count as the last.
    made = list({record.at: (record, facts) for record, facts in made}.values())
    engine, other = create_engine("sqlite://"), create_engine("sqlite://")
    schema.metadata.create_all(engine)
    schema.metadata.create_all(other)
    insert_batch(engine, [record for record, _ in made])
    for record, facts in made:
        if facts is not None:
            with writing(engine) as connection:
                table = schema.records
                connection.execute(table.update().where(table.c.record_id == record.record_id).values(**to_row(facts)))
                stored.replace(connection, record, facts)
    insert_batch(other, [facts or record for record, facts in made])
    for each in SUMS:
        assert summed(engine, each) == summed(other, each)
    engine.dispose()
    other.dispose()


@pytest.mark.parametrize(
    ("table", "change", "said"),
    [
        (schema.machines, {"calls": 9}, "machines: the row of pc1, .* has calls 9, and its records 2"),
        (schema.machines, {"last_success": START}, "machines: the row of pc1, .* has last_success"),
        (schema.machines, {"address": "10.9.9.9"}, "machines: the row of pc1, .* has address 10.9.9.9, and its last"),
        (schema.machine_cmids, {"last_answered": None}, "machine_cmids: the row of pc1, .* has last_answered None"),
    ],
)
def test_verify_names_the_row_and_column_that_do_not_follow_from_the_records(
    store: Engine, table: Table, change: Row, said: str
) -> None:
    insert_batch(store, [opaque(START), known(START + HOUR, "pc1"), known(START + 2 * HOUR, "pc1")])
    assert verify(store) == []
    with writing(store) as connection:
        connection.execute(table.update().where(table.c.machine == "pc1").values(change))
    (fault,) = verify(store)
    assert re.match(said, fault)


def test_verify_finds_a_machine_that_the_sums_lack(store: Engine) -> None:
    insert_batch(store, [opaque(START), known(START + HOUR, "PC1")])
    with writing(store) as connection:
        connection.execute(schema.machines.delete().where(schema.machines.c.machine == "pc1"))
    (fault,) = verify(store)
    assert fault.startswith("machines: there is no row of pc1, ")


def test_verify_names_each_row_that_is_missing_or_too_many_wherever_it_stands(store: Engine) -> None:
    names = ["a", "Z", "\u00e9", "\u65e5", "m\U0001f600", "pc1", "pc10", "pc2"]
    insert_batch(store, [opaque(START), *(known(START + HOUR + at, name) for at, name in enumerate(names))])
    assert verify(store) == []
    table = schema.machine_cmids
    with writing(store) as connection:
        connection.execute(table.delete().where(table.c.machine.in_(["a", "\u65e5", "pc2"])))
        # A value of another type, as no program of ours writes it.
        connection.exec_driver_sql("UPDATE machine_cmids SET machine = x'00ff' WHERE machine = 'pc1'")
        connection.exec_driver_sql("UPDATE machine_cmids SET machine = 'A' WHERE machine = 'm\U0001f600'")
    found = verify(store)
    missing = [
        fault.split()[6].rstrip(",") for fault in found if fault.startswith("machine_cmids: there is no row of ")
    ]
    extra = [fault for fault in found if fault.endswith(" has no record")]
    assert missing == ["a", "m\U0001f600", "pc1", "pc2", "\u65e5"]
    assert [fault.split()[4].rstrip(",") for fault in extra] == ["A", "b'\\x00\\xff'"]
    assert len(found) == len(missing) + len(extra)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE records SET at = 'x' WHERE seq = 1", "records: 1 row without a number in at"),
        ("UPDATE records SET machine = x'ff'", "records: 2 rows without a text in machine"),
        ("UPDATE records SET record_id = 'ab' WHERE seq = 1", "records: 1 row without an id in record_id"),
        ("UPDATE records SET reason = 'none' WHERE seq = 1", "records: 1 row with an unknown reason"),
        ("UPDATE machines SET calls = 'many'", "machines: 1 row without a number in calls"),
        ("UPDATE machines SET first_seen = x'00'", "machines: 1 row without a number in first_seen"),
        ("UPDATE hourly_activity SET hour = 'x'", "hourly_activity: 1 row without a number in hour"),
        ("UPDATE hourly_activity SET hour = 9000000000000000", "the hour from hour 9000000000000000 since 1970 has"),
        ("INSERT INTO facts VALUES ('forgotten', '[1]')", "facts: what it notes as"),
        ("INSERT INTO facts VALUES ('records deleted until', 'x')", "facts: what it notes as"),
    ],
)
def test_verify_names_the_column_with_values_that_it_cannot_have(store: Engine, change: str, said: str) -> None:
    insert_batch(store, [known(START + at, "pc1") for at in range(2)])
    with writing(store) as connection:
        connection.exec_driver_sql(change)
    assert any(fault.startswith(said) for fault in verify(store))


def test_two_machines_of_one_moment_are_both_sound_whichever_was_counted_last(store: Engine) -> None:
    insert_batch(store, [opaque(START), *(known(START + HOUR, "pc1", f"10.0.0.{last}") for last in range(4))])
    with writing(store) as connection:
        connection.execute(
            schema.machines.update().where(schema.machines.c.machine == "pc1").values(address="10.0.0.2")
        )
    assert verify(store) == []


def test_a_peer_that_sent_no_message_is_a_failure_and_no_machine(store: Engine) -> None:
    insert_batch(store, [refusal(START)])
    assert [len(summed(store, each)) for each in SUMS] == [0, 0, 0, 1]


def test_a_record_without_a_row_is_taken_out_of_nothing(store: Engine) -> None:
    insert_batch(store, [known(START, "pc2", "10.0.0.8")])
    before = [summed(store, each) for each in SUMS]
    gone = known(START + HOUR, "pc1")
    with writing(store) as connection:
        stored.remove(connection, gone)
        stored.replace(connection, gone, refusal(START))
    assert [summed(store, each) for each in SUMS[:3]] == before[:3]
    assert [row["client"] for row in summed(store, SUMS[3])] == [refusal(START).client]
