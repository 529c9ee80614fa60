"""The server's own way to insert leaves the same in the store as the general way."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, create_engine, select
from sqlalchemy.exc import IntegrityError, OperationalError

from kmstwist.audit import schema
from kmstwist.audit.engine import open_engine, reading
from kmstwist.audit.inserting import commit_batch, statements_for
from kmstwist.audit.migrate import migrate
from kmstwist.audit.records import Record
from kmstwist.audit.store import insert_batch, is_data_fault, read_records
from kmstwist.audit.sums.machines import MACHINES
from tests.audit.making import HOUR, START, known, opaque, refusal
from tests.audit.test_sums import records_and_facts

_FIELDS: dict[str, Any] = {
    "peer": "192.0.2.1",
    "fault": 5,
    "machine": "pc9",
    "cmid": "c",
    "app_id": "a",
    "act_id": "b",
    "product": "p",
    "license_status": 1,
    "virtual_machine": True,
    "minutes_left": 3,
    "required_count": 25,
    "count": 50,
}


def contents(engine: Engine) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables."""
    with reading(engine) as connection:
        return {
            table.name: sorted((tuple(row) for row in connection.execute(select(table))), key=repr)
            for table in schema.metadata.sorted_tables
        }


def both_ways(*batches: Sequence[Record]) -> list[dict[str, list[tuple[Any, ...]]]]:
    """The contents of two stores that were given the same batches, one in each way."""
    found = []
    for insert in (insert_batch, commit_batch):
        engine = create_engine("sqlite://")
        schema.metadata.create_all(engine)
        for batch in batches:
            assert insert(engine, batch) == len(batch)
        found.append(contents(engine))
        engine.dispose()
    return found


@pytest.mark.long
@settings(max_examples=60, deadline=None)
@given(records_and_facts(), st.integers(0, 12))
def test_both_ways_store_the_same(made: Sequence[tuple[Record, Record | None]], cut: int) -> None:
    batch = [facts or record for record, facts in made]
    parts = [part for part in (batch[:cut], batch[cut:]) if part]
    common, own = both_ways(*parts)
    assert common == own


@pytest.mark.parametrize("name", _FIELDS)
def test_a_value_that_few_records_have_is_stored(name: str) -> None:
    record = dataclasses.replace(opaque(START), **{name: _FIELDS[name]})
    common, own = both_ways([opaque(START - 1), record, refusal(START + 1)])
    assert common == own
    assert any(_FIELDS[name] in row for row in own["records"])


def test_a_machine_that_moves_to_another_network_is_found_there_and_nothing_is_counted_twice() -> None:
    earlier = [known(START + at, f"pc{at}", f"10.0.0.{at}") for at in range(5)]
    # One moves, one is reported late from where it was before, one is new; the others stay.
    later = [known(START + HOUR + at, f"pc{at}", f"10.0.0.{at}") for at in (0, 2, 5)]
    moved, late = known(START + HOUR, "pc1", "192.0.2.1"), known(START - HOUR, "pc3", "192.0.2.3")
    common, own = both_ways(earlier, [*later, moved, late], [known(START + 2 * HOUR, "pc1", "192.0.2.1")])
    assert common == own
    columns = [column.name for column in schema.machines.c]
    found = {row[0]: dict(zip(columns, row, strict=True)) for row in own["machines"]}
    assert {name: (row["network"], row["calls"]) for name, row in found.items()} == {
        "pc0": ("10.0.0.0/24", 2),
        "pc1": ("192.0.2.0/24", 3),
        "pc2": ("10.0.0.0/24", 2),
        "pc3": ("10.0.0.0/24", 2),
        "pc4": ("10.0.0.0/24", 1),
        "pc5": ("10.0.0.0/24", 1),
    }


def test_the_index_of_networks_is_written_only_where_a_machine_moves(tmp_path: Path) -> None:
    engine = open_engine(str(tmp_path / "a.sqlite"))
    migrate(engine)
    (common,) = statements_for([opaque(START)], [], [MACHINES])
    assert common.rest is not None

    def takes_out_of_an_index(text: str) -> bool:
        with reading(engine) as connection:
            explained = connection.exec_driver_sql(f"EXPLAIN {text}", common.parameters)
            return "IdxDelete" in {row.opcode for row in explained}

    assert takes_out_of_an_index(common.rest)
    assert not takes_out_of_an_index(common.text)
    engine.dispose()


def test_records_stand_in_the_order_in_which_they_came(tmp_path: Path) -> None:
    engine = open_engine(str(tmp_path / "a.sqlite"))
    migrate(engine)
    batch = [
        known(START + at, f"pc{at}") if at % 3 else opaque(START + at, f"10.0.0.{at}") for at in (5, 3, 9, 1, 4, 7)
    ]
    commit_batch(engine, batch)
    with reading(engine) as connection:
        assert [record for _, record in read_records(connection)] == batch
    engine.dispose()


def test_a_batch_that_fails_leaves_nothing_and_the_next_is_stored(tmp_path: Path) -> None:
    engine = open_engine(str(tmp_path / "a.sqlite"))
    migrate(engine)
    twice = opaque(START)
    before = contents(engine)
    with pytest.raises(IntegrityError) as caught:
        commit_batch(engine, [opaque(START + HOUR), twice, twice])
    assert is_data_fault(caught.value)
    assert contents(engine) == before
    with pytest.raises(OverflowError):
        commit_batch(engine, [dataclasses.replace(opaque(START), hresult=1 << 70)])
    assert commit_batch(engine, [twice]) == 1
    assert len(contents(engine)["records"]) == 1
    engine.dispose()


def test_a_store_that_another_has_locked_is_told_as_the_common_way_tells_it(tmp_path: Path) -> None:
    engine = open_engine(str(tmp_path / "a.sqlite"), busy_timeout=0.0)
    migrate(engine)
    other = open_engine(str(tmp_path / "a.sqlite"))
    locking = other.raw_connection()
    locking.cursor().execute("BEGIN IMMEDIATE")
    for insert in (insert_batch, commit_batch):
        with pytest.raises(OperationalError, match="locked"):
            insert(engine, [opaque(START)])
    locking.close()
    assert commit_batch(engine, [opaque(START)]) == 1
    other.dispose()
    engine.dispose()
