"""One address's and one machine's records: found by an index, and those that a search of all records finds."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import ColumnElement, Connection, Engine, bindparam, event, select

from kmstwist.audit import schema
from kmstwist.audit.asking import found
from kmstwist.audit.asking.found import from_address, narrowed, of_machine, recorded_at
from kmstwist.audit.asking.limits import A_NAME, AN_ADDRESS, IN_THE_HOUR, MOST, places_of, standing_records
from kmstwist.audit.asking.plain_sqlite import all_texts
from kmstwist.audit.engine import reading, writing
from kmstwist.audit.migrate import migrate
from kmstwist.audit.plain.revision import MIGRATIONS
from kmstwist.audit.records import Record
from kmstwist.audit.rows import to_row
from kmstwist.audit.schema import BLOCK
from kmstwist.audit.store import insert_batch
from kmstwist.audit.views.calls import Which, latest_calls, machine_calls
from kmstwist.audit.views.machines import Wanted, list_machines, machine_rows
from kmstwist.reasons import Reason
from tests.audit.making import START, driver_of, known, new_store, opaque, refusal

NOW = datetime.fromtimestamp(START / 1000 + 100, UTC)
#: Where records may stand: at both ends of blocks, and with blocks without a record between them.
PLACES = (1, 2, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK - 1, 5 * BLOCK, 5 * BLOCK + 7)
NAMES = ("pc", "PC", "k", "K", "\N{KELVIN SIGN}", "kk", "K\N{KELVIN SIGN}", "ä", "Ä", "kÄ", "KÄ", None)
ADDRESSES = ("10.0.0.1", "10.0.0.10", "fe80::1", "")


@st.composite
def stored(draw: st.DrawFn) -> dict[int, Record]:
    """Records, by where they stand."""
    made = {}
    for seq in sorted(draw(st.sets(st.sampled_from(PLACES)))):
        at = START + draw(st.integers(0, 3))
        name, client = draw(st.sampled_from(NAMES)), draw(st.sampled_from(ADDRESSES))
        made[seq] = opaque(at, client) if name is None else known(at, name, client)
    return made


@contextmanager
def holding(records: dict[int, Record]) -> Iterator[Connection]:
    with tempfile.TemporaryDirectory() as folder:
        engine = new_store(Path(folder))
        with writing(engine) as connection:
            for seq, record in records.items():
                connection.execute(schema.records.insert().values(seq=seq, **to_row(record)))
        with reading(engine) as connection:
            yield connection
        engine.dispose()


def seqs(connection: Connection, condition: ColumnElement[bool]) -> set[int]:
    return set(connection.scalars(select(schema.records.c.seq).where(condition)))


@settings(max_examples=50, deadline=None)
@given(stored(), st.sampled_from([MOST, 1]))
def test_the_records_that_are_found_are_those_of_a_search_of_all(records: dict[int, Record], most: int) -> None:
    with holding(records) as connection, pytest.MonkeyPatch.context() as patch:
        patch.setattr(found, "MOST", most)
        for address in ADDRESSES:
            wanted = {seq for seq, record in records.items() if (record.client, record.machine) == (address, None)}
            for condition in (from_address(address), from_address(address).plain):
                assert seqs(connection, condition) == wanted
                assert seqs(connection, ~condition) == records.keys() - wanted
            assert seqs(connection, narrowed(connection, from_address(address))) == wanted
            assert len(seqs(connection, from_address(address, most=1))) == min(1, len(wanted))
        for name in {name.lower() for name in NAMES if name is not None}:
            wanted = {seq for seq, record in records.items() if (record.machine or "").lower() == name}
            shown = [row.machine for row in machine_calls(connection, name, 100)]
            assert shown == [name] * len(wanted)
            assert {row.seq for row in latest_calls(connection, Which(machine=name), 100)} == wanted
        for at in range(START - 1, START + 5):
            wanted = {seq for seq, record in records.items() if record.at == at}
            assert seqs(connection, recorded_at(at)) == wanted


def test_the_values_may_be_given_later() -> None:
    records = {1: known(START, "PC", "10.0.0.1"), BLOCK: opaque(START, "10.0.0.1"), BLOCK + 1: known(START, "k", "")}
    either = of_machine(bindparam("a"), bindparam("b")) | from_address(bindparam("clients", expanding=True))
    with holding(records) as connection:
        statement = select(schema.records.c.seq).where(either).order_by(schema.records.c.seq.desc())
        for _ in range(2):
            values: dict[str, object] = {"a": "pc", "b": "k", "clients": ["10.0.0.1", "10.0.0.2"]}
            assert connection.scalars(statement, values).all() == [BLOCK + 1, BLOCK, 1]
            assert connection.scalars(statement, values | {"a": "k", "clients": []}).all() == [BLOCK + 1]


@contextmanager
def plans(engine: Engine) -> Iterator[dict[str, list[str]]]:
    """How SQLite executes what is executed meanwhile."""
    asked: list[tuple[str, Any]] = []

    def note(_connection: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        asked.append((statement, parameters))

    planned: dict[str, list[str]] = {}
    event.listen(engine, "before_cursor_execute", note)
    yield planned
    event.remove(engine, "before_cursor_execute", note)
    with reading(engine) as connection:
        for statement, parameters in asked:
            if "FROM records" in statement and "FROM machines" not in statement:
                explained = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
                planned[statement] = [str(row.detail) for row in explained]


@pytest.mark.parametrize("most", [MOST, 0], ids=["few", "many"])
@pytest.mark.parametrize("name", ["pc1", "k", "kk"])
def test_the_indexes_lead_to_one_machine_s_calls(
    store: Engine, name: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(found, "MOST", most)
    refused = refusal(START + 2, "10.0.0.7", Reason.UPSTREAM_TIMEOUT, version=6)
    insert_batch(store, [known(START, "PC1", "10.0.0.7"), opaque(START + 1, "10.0.0.7"), refused])
    with plans(store) as planned, reading(store) as connection:
        assert len(machine_calls(connection, "10.0.0.7", 5)) == 2
        assert len(machine_calls(connection, "10.0.0.7", 5, datetime.fromtimestamp(START / 1000, UTC))) == 0
        assert len(machine_calls(connection, name, 5, NOW)) == (name == "pc1")
        for which in (Which(), Which(since=datetime.fromtimestamp(0, UTC)), Which(until=NOW)):
            assert len(latest_calls(connection, replace(which, machine="10.0.0.7"), 5)) == 2
            assert len(latest_calls(connection, replace(which, machine=name), 5, 1000)) == (name == "pc1")
        [row] = machine_rows(connection, "10.0.0.7", NOW)
        assert row.code == Reason.UPSTREAM_TIMEOUT
        rows = list_machines(connection, Wanted(now=NOW, code=Reason.UPSTREAM_TIMEOUT), 5)
        assert [row.machine for row in rows] == ["10.0.0.7"]
    for index in ("ix_records_block_client", "ix_records_block_machine", "ix_records_record_id"):
        assert index in str(planned)
    for statement, plan in planned.items():
        if "blocks" in statement or most:
            assert not any(each.startswith(("SCAN records", "SCAN found")) for each in plan), (statement, plan)
        elif "records.client IN" in statement or "lower(records.machine) IN" in statement:
            # In an order that an index has, so that it stops at the page's last call.
            assert not any("ORDER BY" in each for each in plan), (statement, plan)


STANDING = [
    standing_records(whose + when, newest_first=newest_first)
    for whose in (A_NAME, AN_ADDRESS)
    for when in ("", IN_THE_HOUR)
    for newest_first in (True, False)
]


FORGETTING = ["places of records with names", "places of records without a name from addresses"]


@pytest.mark.parametrize("name", [*STANDING, *filter(None, map(places_of, (A_NAME, AN_ADDRESS))), *FORGETTING])
def test_the_sums_and_forgetting_search_by_an_index_and_in_its_order(store: Engine, name: str) -> None:
    text = re.sub(r"__\[POSTCOMPILE_\w+\]", ":one, :other", all_texts()[name])
    values = dict.fromkeys(re.findall(r":(\w+)", text), "")
    with reading(store) as connection:
        driver = driver_of(connection)
        plan = [detail for *_, detail in driver.execute(f"EXPLAIN QUERY PLAN {text}", values)]
    assert any("USING INDEX ix_records" in each or "USING COVERING INDEX ix_records" in each for each in plan), plan
    assert not any(each == "SCAN records" for each in plan), plan
    assert not any("ORDER BY" in each for each in plan), plan


def test_an_older_store_is_upgraded_with_its_records_and_can_go_back(tmp_path: Path) -> None:
    engine, new = new_store(tmp_path), new_store(tmp_path, "new.sqlite")
    insert_batch(engine, [known(START, "PC1", "10.0.0.7"), opaque(START + 1, "10.0.0.7")])
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0004")
        connection.commit()
    assert {"ix_records_client_at", "ix_records_machine"} <= indexes(engine).keys()
    migrate(engine)
    assert indexes(engine) == indexes(new)
    with reading(engine) as connection:
        assert [row.machine for row in machine_calls(connection, "pc1", 5)] == ["pc1"]
        assert [row.machine for row in machine_calls(connection, "10.0.0.7", 5)] == ["10.0.0.7"]
    new.dispose()


def indexes(engine: Engine) -> dict[str, str]:
    """The statements that make the indexes, by name."""
    with engine.connect() as connection:
        made = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql != ''")
        return {row.name: row.sql for row in made}
