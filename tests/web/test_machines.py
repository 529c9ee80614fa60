"""The machines' views on a small store: what a last call came to, also where no status says it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine

from kmstwist.audit.schema import records
from kmstwist.audit.store import insert_batch
from kmstwist.audit.views.machines import MachineRow, State, Wanted, list_machines, machine_rows, next_machines
from kmstwist.reasons import Reason
from tests.audit.making import DAY, HOUR, START, known, new_store, opaque

NOW = datetime.fromtimestamp((START + DAY) / 1000, UTC)
TIMEOUT = Reason.UPSTREAM_TIMEOUT


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Engine]:
    engine = new_store(tmp_path)
    nothing = {"hresult": None, "upstream": None, "reason": TIMEOUT}
    insert_batch(
        engine,
        [
            known(START, "good"),
            known(START, "lost"),
            # No host answered it later, so no status says what became of its last call.
            known(START + HOUR, "lost", "10.0.0.8", **nothing),
            known(START + HOUR, "late", "10.0.0.9", hresult=0xC004F06C),
            opaque(START + HOUR, "10.0.0.10", **nothing),
            # Two machines behind one address in the same moment.
            known(START + HOUR, "also-lost", "10.0.0.8", **nothing | {"reason": Reason.UPSTREAM_REFUSED}),
        ],
    )
    yield engine
    engine.dispose()


def names(store: Engine, **wanted: object) -> set[str]:
    with store.connect() as connection:
        return {row.machine for row in list_machines(connection, Wanted(NOW, **wanted), 50)}  # type: ignore[arg-type]


def row_of(store: Engine, machine: str) -> MachineRow:
    with store.connect() as connection:
        (row,) = machine_rows(connection, machine, NOW)
    return row


def test_a_last_call_without_a_status_is_told_by_its_reason(store: Engine) -> None:
    assert (row_of(store, "good").code, row_of(store, "good").activated) == ("", True)
    assert (row_of(store, "lost").code, row_of(store, "lost").activated) == (TIMEOUT, False)
    assert row_of(store, "also-lost").code == Reason.UPSTREAM_REFUSED
    assert row_of(store, "late").code == "0xC004F06C"
    assert row_of(store, "10.0.0.10").code == TIMEOUT
    with store.connect() as connection:
        pieces, _ = next_machines(connection, Wanted(NOW), 10)
    assert {row.machine: row.code for row in pieces}["lost"] == TIMEOUT


def test_failing_ones_are_found_with_a_status_and_without(store: Engine) -> None:
    assert names(store, state=State.FAILING) == {"lost", "also-lost", "late", "10.0.0.10"}
    assert names(store, code=str(TIMEOUT)) == {"lost", "10.0.0.10"}
    assert names(store, code="0xC004F06C") == {"late"}


def test_where_the_record_is_gone_nothing_is_said_that_is_not_known(store: Engine) -> None:
    with store.begin() as connection:
        connection.execute(records.delete())
    assert (row_of(store, "lost").code, row_of(store, "lost").activated) == ("", False)
