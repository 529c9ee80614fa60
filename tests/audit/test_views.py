"""What the status site asks the audit: machines and calls by every question, refusals, shares, the first look."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, Engine

from kmstwist.audit.engine import reading
from kmstwist.audit.reports.filters import NOT_READABLE, QueryError
from kmstwist.audit.reports.model import Urgency
from kmstwist.audit.store import insert_batch
from kmstwist.audit.sums.networks import UNKNOWN_NETWORK
from kmstwist.audit.views.activity import By, shares
from kmstwist.audit.views.calls import Became, Which, latest_calls, machine_calls, newest, status_of
from kmstwist.audit.views.hints import reading_hints
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
from kmstwist.audit.views.refusals import meaning_of, met, refusals
from kmstwist.reasons import Reason
from tests.audit.making import DAY, HOUR, OFFICE, START, known, new_store, opaque, refusal, uuid

NOW_MS = START + 200 * DAY
NOW = datetime.fromtimestamp(NOW_MS / 1000, UTC)
CLOCK, TOO_FEW = 0xC004F06C, 0xC004F038

MADE = [
    known(NOW_MS - 190 * DAY, "old.corp", "10.0.1.1"),
    known(NOW_MS - 170 * DAY, "soon.corp", "10.0.1.2", license_status=2),
    known(NOW_MS - 3 * DAY, "fine.corp", "10.0.1.3", upstream="kms2", cmid=uuid("clone")),
    known(NOW_MS - 2 * DAY, "fine.corp", "10.0.1.3", hresult=CLOCK, upstream="kms2"),
    known(NOW_MS - 2 * DAY + HOUR, "few.corp", "2001:db8::7", count=3),
    known(NOW_MS - 2 * DAY + 2 * HOUR, "office.corp", "10.0.2.5", app_id=OFFICE, act_id=uuid("o21"), product=None),
    opaque(NOW_MS - DAY, "10.0.2.6"),
    opaque(NOW_MS - DAY + HOUR, "10.0.2.7", hresult=None, fault=5, reason=Reason.OK, bytes_out=32),
    opaque(NOW_MS - DAY + 2 * HOUR, "h:00112233", reason=Reason.UPSTREAM_TIMEOUT, hresult=None, upstream=None),
    refusal(NOW_MS - DAY + 3 * HOUR, "10.9.9.9", Reason.ADMISSION_NETWORK),
]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = new_store(tmp_path_factory.mktemp("views"))
    insert_batch(engine, MADE)
    yield engine
    engine.dispose()


@pytest.fixture
def connection(filled: Engine) -> Iterator[Connection]:
    with reading(filled) as opened:
        yield opened


def names(rows: list[MachineRow]) -> list[str]:
    return [row.machine for row in rows]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"state": State.EXPIRED}, {"old.corp"}),
        ({"state": State.EXPIRING}, {"soon.corp"}),
        ({"state": State.EXPIRING, "days": 1}, set()),
        ({"state": State.SILENT, "days": 180}, {"old.corp"}),
        ({"state": State.SILENT}, {"old.corp", "soon.corp"}),
        ({"state": State.UNNAMED}, {"10.0.2.6", "10.0.2.7", "h:00112233"}),
        ({"search": "FINE"}, {"fine.corp"}),
        ({"search": "*.corp"}, {"old.corp", "soon.corp", "fine.corp", "few.corp", "office.corp"}),
        ({"search": uuid("clone")}, set()),
        ({"network": "10.0.1.0/24"}, {"old.corp", "soon.corp", "fine.corp"}),
        ({"network": "10.0.0.0/15", "host": "kms2"}, {"fine.corp"}),
        ({"network": "2001:db8::/32"}, {"few.corp"}),
        ({"network": UNKNOWN_NETWORK}, {"h:00112233"}),
        ({"product": NOT_READABLE}, {"10.0.2.6", "10.0.2.7", "h:00112233"}),
        ({"product": "Windows 10 Enterprise", "state": State.EXPIRED}, {"old.corp"}),
        ({"code": "0xC004F06C"}, {"fine.corp"}),
        ({"code": Reason.UPSTREAM_TIMEOUT}, {"h:00112233"}),
    ],
)
def test_machines_are_found_by_each_question(connection: Connection, asked: dict[str, object], found: set[str]) -> None:
    wanted = Wanted(NOW, **asked)  # type: ignore[arg-type]
    assert set(names(list_machines(connection, wanted, 100))) == found
    assert count_machines(connection, wanted) == len(found)


def test_an_invalid_network_is_reported_with_the_cure(connection: Connection) -> None:
    with pytest.raises(QueryError, match=r"'10\.0\.0' is not a network; write for example"):
        list_machines(connection, Wanted(NOW, network="10.0.0"), 10)


def test_those_that_never_were_activated_are_those_without_a_success(connection: Connection) -> None:
    never = list_machines(connection, Wanted(NOW, state=State.NEVER), 100)
    assert all(row.days_left is None and row.last_success is None and not row.activated for row in never)
    failing = list_machines(connection, Wanted(NOW, state=State.FAILING), 100)
    assert set(names(never)) < set(names(failing))
    assert "fine.corp" in names(failing)


@pytest.mark.parametrize("order", list(Order))
def test_a_list_in_each_order_has_every_machine_and_backwards_the_same(connection: Connection, order: Order) -> None:
    forward = names(list_machines(connection, Wanted(NOW, order=order), 100))
    backward = names(list_machines(connection, Wanted(NOW, order=order, falling=True), 100))
    assert sorted(forward) == sorted(backward)
    assert forward != backward
    pages = [names(list_machines(connection, Wanted(NOW, order=order), 3, at)) for at in range(0, len(forward), 3)]
    assert [name for page in pages for name in page] == forward


@pytest.mark.parametrize("order", list(Order))
def test_a_page_near_the_end_is_the_same_found_from_either_end(connection: Connection, order: Order) -> None:
    wanted = Wanted(NOW, order=order)
    total = count_machines(connection, wanted)
    for offset in range(0, total + 1, 2):
        page = list_machines(connection, wanted, 3, offset)
        assert list_machines(connection, wanted, 3, offset, total=total) == page


def test_reading_all_in_pieces_brings_each_machine_once(connection: Connection) -> None:
    found, after = next_machines(connection, Wanted(NOW), 2)
    while after:
        rows, after = next_machines(connection, Wanted(NOW), 2, after)
        found += rows
    assert sorted(names(found)) == sorted(names(list_machines(connection, Wanted(NOW), 100)))


def test_a_row_shows_what_its_last_call_ended_with(connection: Connection) -> None:
    rows = {row.machine: row for row in list_machines(connection, Wanted(NOW), 100)}
    assert (rows["fine.corp"].code, rows["fine.corp"].days_left) == ("0xC004F06C", 177)
    assert rows["old.corp"].code == ""
    assert (rows["old.corp"].days_left, rows["old.corp"].urgency) == (-10, Urgency.LOST)
    assert rows["10.0.2.7"].code == "0x00000005"
    assert rows["h:00112233"].code == "upstream-timeout"
    assert [row.code for row in machine_rows(connection, "fine.corp", NOW)] == ["0xC004F06C"]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"machine": "FINE.corp"}, ["fine.corp", "fine.corp"]),
        ({"machine": "10.0.2.6"}, ["10.0.2.6"]),
        ({"host": "kms2", "only_failed": True}, ["fine.corp"]),
        ({"product": "Windows 10 Enterprise", "until": NOW - timedelta(days=100)}, ["soon.corp", "old.corp"]),
        ({"since": NOW - timedelta(days=1), "until": NOW - timedelta(hours=22)}, ["10.0.2.7", "10.0.2.6"]),
        ({"code": "0xC004F038"}, ["few.corp"]),
        ({"code": "C004F06C"}, ["fine.corp"]),
        ({"code": "0x5"}, ["10.0.2.7"]),
        ({"code": "admission-network"}, ["10.9.9.9"]),
        ({"only_failed": True}, ["10.9.9.9", "h:00112233", "10.0.2.7", "few.corp", "fine.corp"]),
    ],
)
def test_calls_are_found_by_each_question(connection: Connection, asked: dict[str, object], found: list[str]) -> None:
    which = Which(**asked)  # type: ignore[arg-type]
    assert [row.machine for row in latest_calls(connection, which, 100)] == found


def test_a_call_s_outcome_is_a_word_a_code_and_how_good_it_is(connection: Connection) -> None:
    rows = {(row.machine, row.code): row for row in latest_calls(connection, Which(), 100)}
    became = {key: (row.became, row.urgency) for key, row in rows.items()}
    assert became == {
        ("old.corp", ""): (Became.RENEWED, Urgency.GOOD),
        ("soon.corp", ""): (Became.ACTIVATED, Urgency.GOOD),
        ("fine.corp", ""): (Became.RENEWED, Urgency.GOOD),
        ("fine.corp", "0xC004F06C"): (Became.REFUSED, Urgency.URGENT),
        ("few.corp", "0xC004F038"): (Became.TOO_FEW, Urgency.SOON),
        ("office.corp", ""): (Became.RENEWED, Urgency.GOOD),
        ("10.0.2.6", ""): (Became.ANSWERED, Urgency.GOOD),
        ("10.0.2.7", "0x00000005"): (Became.FAILED, Urgency.URGENT),
        ("h:00112233", "upstream-timeout"): (Became.FAILED, Urgency.URGENT),
        ("10.9.9.9", "admission-network"): (Became.REFUSED, Urgency.URGENT),
    }


def test_a_page_of_calls_begins_before_the_last_one_shown(connection: Connection) -> None:
    first = latest_calls(connection, Which(), 4)
    second = latest_calls(connection, Which(), 4, before=first[-1].seq)
    assert newest(first) > first[-1].seq > newest(second)
    assert newest([]) == 0


@pytest.mark.parametrize(
    ("code", "status"),
    [("0xC004F038", TOO_FEW), ("c004f038", TOO_FEW), ("0x5", 5), ("rpc-none", None), ("0x1C004F038", None)],
)
def test_a_code_is_a_status_or_a_reason(code: str, status: int | None) -> None:
    assert status_of(code) == status


def test_refusals_are_counted_by_code_with_what_each_means(connection: Connection) -> None:
    rows = {row.code: row for row in refusals(connection, None, None)}
    assert rows.keys() == {"0xC004F06C", "0xC004F038", "0x00000005", "upstream-timeout", "admission-network"}
    assert rows["upstream-timeout"].meaning.endswith(".")
    within = refusals(connection, NOW - timedelta(days=1), NOW)
    assert {row.code for row in within} == {"0x00000005", "upstream-timeout", "admission-network"}
    assert {row.urgency for row in within} == {Urgency.SOON}


@pytest.mark.parametrize(
    ("code", "machine"), [("0xC004F06C", "fine.corp"), ("admission-network", "10.9.9.9"), ("0x00000005", "10.0.2.7")]
)
def test_the_machines_that_a_code_met_are_listed(connection: Connection, code: str, machine: str) -> None:
    number, rows = met(connection, code, None, None, 10)
    assert (number, [row.machine for row in rows]) == (1, [machine])
    assert met(connection, code, NOW, None, 10) == (0, [])


def test_an_unknown_code_has_no_meaning() -> None:
    assert meaning_of("0x12345678").meaning == meaning_of("reason-of-tomorrow").meaning == ""


@pytest.mark.parametrize(
    ("by", "name", "granted", "refused"),
    [
        (By.HOST, "kms2", 1, 1),
        (By.HOST, "(none)", 0, 1),
        (By.GATEWAY, "gw1", 3, 4),
        (By.PRODUCT, "Windows 10 Enterprise", 1, 2),
        (By.PRODUCT, NOT_READABLE, 2, 2),
        (By.NETWORK, "10.0.1.0/24", 1, 1),
        (By.NETWORK, UNKNOWN_NETWORK, 0, 1),
    ],
)
def test_the_calls_of_a_time_are_shared_out(
    connection: Connection, by: By, name: str, granted: int, refused: int
) -> None:
    rows = {row.name: row for row in shares(connection, by, NOW - timedelta(days=4), NOW)}
    assert (rows[name].granted, rows[name].refused) == (granted, refused)
    assert sum(row.share for row in rows.values()) == pytest.approx(1.0)
    nothing = shares(connection, by, NOW + timedelta(days=1), NOW + timedelta(days=2))
    assert nothing == []


def test_a_machine_s_page_has_its_calls_and_no_others_the_latest_first(connection: Connection) -> None:
    assert [row.code for row in machine_calls(connection, "fine.corp", 10)] == ["0xC004F06C", ""]
    assert [row.code for row in machine_calls(connection, "fine.corp", 10, NOW - timedelta(days=2, hours=12))] == [""]
    assert [row.machine for row in machine_calls(connection, "10.0.2.6", 10)] == ["10.0.2.6"]


def test_a_first_look_at_the_reports_explains_missing_names(connection: Connection, store: Engine) -> None:
    told = list(reading_hints(connection))
    assert [line.split(" ")[:4] for line in told] == [["3", "addresses", "have", "no"], ["1", "product", "has", "no"]]
    insert_batch(store, [opaque(NOW_MS), known(NOW_MS, "a", act_id=uuid("x"), product=None)])
    insert_batch(store, [known(NOW_MS, "b", act_id=uuid("y"), product=None)])
    with reading(store) as opened:
        assert [line[:12] for line in reading_hints(opened)] == ["1 address ha", "2 products h"]
