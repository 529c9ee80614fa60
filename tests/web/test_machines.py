"""The machines' views on a small store: the outcome of a last call, even if no status says it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Engine

from kmstwist.audit.engine import reading
from kmstwist.audit.schema import records
from kmstwist.audit.store import insert_batch
from kmstwist.audit.views.machines import (
    MachineRow,
    Order,
    State,
    Wanted,
    count_machines,
    list_machines,
    machine_rows,
    next_machines,
)
from kmstwist.reasons import Reason
from kmstwist.web.views import machines as views
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
            # No host answered it later, so no status shows the outcome of its last call.
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


def test_a_last_call_without_a_status_is_described_by_its_reason(store: Engine) -> None:
    assert (row_of(store, "good").code, row_of(store, "good").activated) == ("", True)
    assert (row_of(store, "lost").code, row_of(store, "lost").activated) == (TIMEOUT, False)
    assert row_of(store, "also-lost").code == Reason.UPSTREAM_REFUSED
    assert row_of(store, "late").code == "0xC004F06C"
    assert row_of(store, "10.0.0.10").code == TIMEOUT
    with store.connect() as connection:
        pieces, _ = next_machines(connection, Wanted(NOW), 10)
    assert {row.machine: row.code for row in pieces}["lost"] == TIMEOUT


def test_failing_machines_are_found_with_and_without_a_status(store: Engine) -> None:
    assert names(store, state=State.FAILING) == {"lost", "also-lost", "late", "10.0.0.10"}
    assert names(store, code=str(TIMEOUT)) == {"lost", "10.0.0.10"}
    assert names(store, code="0xC004F06C") == {"late"}


def test_without_its_record_a_call_shows_only_what_is_known(store: Engine) -> None:
    with store.begin() as connection:
        connection.execute(records.delete())
    assert (row_of(store, "lost").code, row_of(store, "lost").activated) == ("", False)


def test_a_timeline_in_pieces_has_each_call_once_also_those_of_one_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More calls at one moment than a piece has, and pieces that end within one moment."""
    monkeypatch.setattr(views, "PIECE", 3)
    monkeypatch.setattr(views, "TIMELINE", 3)
    engine = new_store(tmp_path)
    times = [START, *[START + 1] * 8, *[START + 2] * 2, START + 3, *[START + HOUR] * 2]
    insert_batch(engine, [known(at, "busy", "10.0.0.8") for at in times])
    view = next(one for one in views.VIEWS if one.name == "machine")
    assert view.pieces is not None
    with engine.connect() as connection:
        asking: Any = SimpleNamespace(connection=connection, now=NOW)
        found: list[Any] = []
        sizes: list[int] = []
        after: Sequence[str] = ()
        while not sizes or after:
            rows, after = view.pieces(asking, views.MachineQuestion(name="BUSY"), after)
            sizes.append(len(rows))
            found += rows
        assert max(sizes) == 3
        assert sorted(row.seq for row in found) == list(range(1, len(times) + 1))
        assert [row.at for row in found] == sorted((row.at for row in found), reverse=True)
        # A page ends between two moments, so that the next one begins with a whole one.
        page = views.machine(asking, views.MachineQuestion(name="busy"))
        assert [row.at for row in page.timeline] == [row.at for row in found[:3]]
        later = views.machine(asking, views.MachineQuestion(name="busy", before=found[3].at))
        assert len({row.at for row in later.timeline}) == 1
    engine.dispose()


def test_a_page_is_the_same_whether_it_is_found_from_the_beginning_or_the_end(store: Engine) -> None:
    for falling in (False, True):
        wanted = Wanted(NOW, order=Order.CALLS, falling=falling)
        with reading(store) as connection:
            total = count_machines(connection, wanted)
            for offset in range(total + 2):
                page = list_machines(connection, wanted, 2, offset)
                assert list_machines(connection, wanted, 2, offset, total=total) == page
