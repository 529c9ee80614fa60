"""The site's totals: worked out by hand, and compared with the reports that count one by one."""

from __future__ import annotations

import tempfile
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from kmstwist.audit.engine import reading
from kmstwist.audit.records import Record
from kmstwist.audit.reports.all import REPORTS
from kmstwist.audit.reports.count import CountRow
from kmstwist.audit.reports.machines import ClientRow, SilentRow
from kmstwist.audit.reports.model import Query
from kmstwist.audit.store import insert_batch
from kmstwist.audit.views.totals import Clients, Count, Success, Totals, totals
from kmstwist.reasons import Reason
from tests.audit.making import DAY, HOUR, OFFICE, START, known, new_store, opaque, refusal
from tests.kinds import of_kind

NOW_MS = START + 200 * DAY
NOW = datetime.fromtimestamp(NOW_MS / 1000, UTC)


def count(store: Engine) -> Totals:
    with reading(store) as connection:
        return totals(connection, NOW)


def test_an_empty_store_has_nothing_to_tell(store: Engine) -> None:
    assert count(store) == Totals(NOW.timestamp(), [], [], [])


def test_each_client_is_in_one_state(store: Engine) -> None:
    ages = {"fresh": 1, "thirty": 150, "twenty": 160, "three": 177, "lapsed": 181}
    refused = known(NOW_MS - DAY, "refused", "10.0.0.9", hresult=0xC004F042)
    insert_batch(store, [*(known(NOW_MS - age * DAY, name) for name, age in ages.items()), refused])
    states = {"activated": 1, "expiring": 3, "expired": 1, "never": 1}
    assert count(store).clients == [Clients("Windows", states, {7: 1, 30: 3}, 4)]


def test_an_unreadable_client_has_an_unknown_application(store: Engine) -> None:
    insert_batch(store, [opaque(NOW_MS - DAY), refusal(NOW_MS - HOUR)])
    found = count(store)
    assert [each.application for each in found.clients] == ["unknown"]
    assert found.counts == []


def test_the_count_says_how_much_it_may_be(store: Engine) -> None:
    made = [known(NOW_MS - DAY, f"pc-{number}", f"10.0.0.{number}") for number in range(3)]
    made += [known(NOW_MS - 20 * DAY, f"old-{number}", f"10.0.1.{number}") for number in range(2)]
    made += [
        opaque(NOW_MS - DAY, "10.0.2.1"),
        opaque(NOW_MS - 25 * DAY, "10.0.2.2"),
        opaque(NOW_MS - 31 * DAY, "10.0.2.3"),
    ]
    made += [known(NOW_MS - DAY, "office", "10.0.3.1", app_id=OFFICE, required_count=5)]
    insert_batch(store, made)
    assert count(store).counts == [Count("Windows", 25, 5, 7, 4), Count("Office", 5, 1, 3, 2)]


def test_a_client_cannot_add_series_by_what_it_claims_to_need(store: Engine) -> None:
    insert_batch(store, [known(NOW_MS - DAY, f"pc-{need}", required_count=need) for need in range(100)])
    assert [(each.application, each.needed, each.least) for each in count(store).counts] == [
        ("Windows", 25, 100),
        ("Windows", 5, 100),
    ]


def test_the_last_success_is_given_by_host_and_product(store: Engine) -> None:
    insert_batch(
        store,
        [
            opaque(NOW_MS - 3 * HOUR),
            opaque(NOW_MS - 2 * HOUR),
            opaque(NOW_MS - HOUR, hresult=0xC004F042),
            known(NOW_MS - 5 * HOUR, "pc", upstream=None),
            known(NOW_MS - 181 * DAY, "pc", upstream="long-ago"),
            refusal(NOW_MS, reason=Reason.ADMISSION_NETWORK),
        ],
    )
    assert count(store).successes == [
        Success("kms1", "", (NOW_MS - 2 * HOUR) // 1000),
        Success("", "Windows 10 Enterprise", (NOW_MS - 5 * HOUR) // 1000),
    ]


@st.composite
def records(draw: st.DrawFn) -> Record:
    machine = f"pc-{draw(st.integers(0, 6))}"
    at = NOW_MS - draw(st.integers(0, 190 * 24)) * HOUR
    granted = draw(st.sampled_from([0, 0, 0, 0xC004F042]))
    match draw(st.sampled_from(["windows", "server", "office", "opaque"])):
        case "windows":
            return known(at, machine, hresult=granted)
        case "server":
            return known(at, machine, hresult=granted, required_count=5)
        case "office":
            return known(at, machine, hresult=granted, app_id=OFFICE, required_count=5, product="Office")
        case _:
            return opaque(at, f"10.0.0.{draw(st.integers(1, 4))}", hresult=granted)


@pytest.mark.long
@given(st.lists(records(), max_size=25))
def test_the_numbers_are_those_of_the_reports(made: list[Record]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = new_store(Path(folder))
        try:
            insert_batch(store, made)
            found = count(store)
            with reading(store) as connection:
                asked: dict[str, Any] = {
                    name: REPORTS[name].ask(connection, Query(now=NOW)).rows for name in ("clients", "silent", "count")
                }
        finally:
            store.dispose()
    states: Counter[tuple[str, str]] = Counter()
    for row in of_kind(ClientRow, asked["clients"]):
        left = row.days_left
        state = "never" if left is None else "expired" if left < 0 else "expiring" if left <= 30 else "activated"
        # Exactly 30 days and some hours are more than 30 days.
        if state == "expiring" and row.expires is not None and (row.expires - NOW).total_seconds() > 30 * 86_400:
            state = "activated"
        states[row.application or "unknown", state] += 1
    told = {(each.application, state): n for each in found.clients for state, n in each.states.items() if n}
    assert told == dict(states)
    silent = Counter(row.application or "unknown" for row in of_kind(SilentRow, asked["silent"]))
    assert {each.application: each.silent for each in found.clients if each.silent} == dict(silent)
    reported = {(row.application, row.needed): row.count for row in of_kind(CountRow, asked["count"]) if row.needed}
    assert {(each.application, each.needed): each.least for each in found.counts} == reported
    for each in found.counts:
        assert each.least <= each.most >= each.later
