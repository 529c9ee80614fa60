"""Every report on a case small enough to work out by hand."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console
from sqlalchemy import Engine

from kmstwist.audit.engine import reading
from kmstwist.audit.records import Phases, Record
from kmstwist.audit.reports.all import REPORTS
from kmstwist.audit.reports.filters import QueryError
from kmstwist.audit.reports.model import Bucket, Query, Report, Urgency
from kmstwist.audit.reports.render import to_csv, to_json, to_markdown
from kmstwist.audit.reports.times import parse_when
from kmstwist.audit.store import insert_batch
from kmstwist.audit.strangers import remember
from kmstwist.cli.audit.report_table import to_table
from kmstwist.discovery.strangers import Stranger
from kmstwist.reasons import Reason
from tests.audit.making import DAY, HOUR, OFFICE, START, known, opaque, refusal, uuid

NOW = datetime(2024, 6, 1, tzinfo=UTC) + timedelta(days=200)
NOW_MS = START + 200 * DAY


def ago(days: float) -> int:
    return NOW_MS - int(days * DAY)


def ask(store: Engine, name: str, **question: Any) -> Report[Any]:
    with reading(store) as connection:
        return REPORTS[name].ask(connection, Query(now=NOW, **question))


def office(at: int, machine: str, client: str, **changes: Any) -> Record:
    values: dict[str, Any] = {"app_id": OFFICE, "product": "Office 2021", "required_count": 5, "act_id": uuid("o21")}
    return known(at, machine, client, **(values | changes))


def test_the_clock_of_these_tests_is_what_it_says() -> None:
    assert NOW.timestamp() * 1000 == NOW_MS


def test_clients_says_when_each_activation_was_renewed_and_expires(store: Engine) -> None:
    insert_batch(
        store,
        [
            known(ago(3), "pc1", "10.1.0.1"),
            known(ago(40), "pc2", "10.2.0.2"),
            known(ago(1), "pc2", "10.2.0.2", hresult=0xC004F06C),
            opaque(ago(190), "10.3.0.3"),
            known(ago(2), "pc4", "10.4.0.4", count=7),
        ],
    )
    never, gone, late, well = ask(store, "clients").rows
    assert (never.machine, never.last_success, never.expires, never.days_left) == ("pc4", None, None, None)
    assert (never.last_status, never.urgency) == (0xC004F038, Urgency.LOST)
    assert (gone.machine, gone.address, gone.days_left, gone.urgency) == ("10.3.0.3", "10.3.0.3", -10, Urgency.LOST)
    assert (gone.application, gone.product) == ("", "(not readable)")
    assert (late.machine, late.days_left, late.last_status, late.calls) == ("pc2", 140, 0xC004F06C, 2)
    assert late.last_seen == NOW - timedelta(days=1)
    assert late.urgency is Urgency.SOON
    assert (well.machine, well.application, well.product) == ("pc1", "Windows", "Windows 10 Enterprise")
    assert well.last_success == NOW - timedelta(days=3)
    assert well.renewal_due == NOW + timedelta(days=4)
    assert well.expires == NOW + timedelta(days=177)
    assert (well.days_left, well.last_status, well.urgency) == (177, 0, Urgency.GOOD)


def test_windows_and_office_on_one_machine_are_two_activations(store: Engine) -> None:
    insert_batch(store, [known(ago(3), "pc1"), office(ago(50), "pc1", "10.0.0.7")])
    assert [(row.application, row.days_left) for row in ask(store, "clients").rows] == [
        ("Office", 130),
        ("Windows", 177),
    ]


def visio(at: int, machine: str, client: str, **changes: Any) -> Record:
    return office(at, machine, client, **({"product": "Visio 2021", "act_id": uuid("v21")} | changes))


def test_each_office_product_of_a_machine_is_an_activation_of_its_own(store: Engine) -> None:
    insert_batch(store, [visio(ago(170), "pc1", "10.1.0.1"), office(ago(160), "pc1", "10.1.0.1")])
    insert_batch(store, [visio(ago(1), "pc1", "10.1.0.1", hresult=0xC004F042), office(ago(1), "pc1", "10.1.0.1")])
    insert_batch(store, [office(ago(2), "pc2", "10.1.0.2")])
    insert_batch(store, [office(ago(2), "pc2", "10.1.0.2", product="Project 2021", act_id=uuid("p21"))])
    assert [(row.machine, row.product, row.days_left) for row in ask(store, "expiring").rows] == [
        ("pc1", "Visio 2021", 10)
    ]
    assert [(row.product, row.machines) for row in ask(store, "products").rows] == [
        ("Office 2021", 2),
        ("Project 2021", 1),
        ("Visio 2021", 1),
    ]
    assert {(row.network, row.product, row.machines) for row in ask(store, "networks").rows} == {
        ("10.1.0.0/24", "Office 2021", 2),
        ("10.1.0.0/24", "Project 2021", 1),
        ("10.1.0.0/24", "Visio 2021", 1),
    }
    # The KMS host counts a machine's Office products as one client.
    (five,) = ask(store, "count").rows
    assert (five.clients, five.count) == (2, 2)
    assert ask(store, "duplicates").rows == []


def test_a_machine_has_one_windows_and_after_an_upgrade_it_is_the_new_one(store: Engine) -> None:
    insert_batch(store, [known(ago(100), "pc1")])
    upgraded = {"product": "Windows Server 2025", "act_id": uuid("s25")}
    insert_batch(store, [known(ago(1), "pc1", **upgraded)])
    assert [(row.product, row.days_left) for row in ask(store, "clients").rows] == [("Windows Server 2025", 179)]


def test_without_cmids_a_machine_counts_once_and_by_its_last_call(store: Engine) -> None:
    insert_batch(store, [visio(ago(1), "pc1", "10.1.0.1", cmid=None), office(ago(20), "pc1", "10.1.0.1", cmid=None)])
    insert_batch(store, [office(ago(1), "pc2", "10.1.0.2", cmid=None), visio(ago(20), "pc2", "10.1.0.2", cmid=None)])
    (unread,) = ask(store, "count").rows
    assert (unread.clients, unread.quiet) == (2, 0)


def test_expiring_finds_those_within_the_days_and_not_those_past_them(store: Engine) -> None:
    insert_batch(store, [known(ago(days), f"pc{days}") for days in (149, 150, 170, 180, 181)])
    assert [(row.machine, row.days_left) for row in ask(store, "expiring").rows] == [
        ("pc180", 0),
        ("pc170", 10),
        ("pc150", 30),
    ]
    assert [row.machine for row in ask(store, "expiring", days=10).rows] == ["pc180", "pc170"]


def test_a_machine_that_fails_to_renew_is_expiring_but_not_silent(store: Engine) -> None:
    insert_batch(store, [known(ago(160), "pc1"), known(ago(0.5), "pc1", hresult=0xC004F06C)])
    assert [row.machine for row in ask(store, "expiring").rows] == ["pc1"]
    assert ask(store, "silent").rows == []


def test_silent_finds_those_that_stopped_calling(store: Engine) -> None:
    insert_batch(store, [known(ago(days), f"pc{days}") for days in (13, 15, 60)])
    oldest, newer = ask(store, "silent").rows
    assert (oldest.machine, oldest.days_silent, oldest.days_left) == ("pc60", 60, 120)
    assert (newer.machine, newer.days_silent) == ("pc15", 15)
    assert [row.machine for row in ask(store, "silent", days=30).rows] == ["pc60"]


def test_duplicates_finds_shared_and_changed_cmids(store: Engine) -> None:
    clone = uuid("image")
    insert_batch(
        store,
        [
            known(ago(3), "clone1", "10.0.0.1", cmid=clone),
            known(ago(2), "clone2", "10.0.0.2", cmid=clone),
            known(ago(1), "clone3", "10.0.0.3", cmid=clone),
            known(ago(9), "reborn", cmid=uuid("before")),
            known(ago(8), "reborn", cmid=uuid("after")),
            known(ago(8), "plain"),
            office(ago(8), "plain", "10.0.0.7", cmid=uuid("plain office")),
        ],
    )
    shared, changed = ask(store, "duplicates").rows
    assert (shared.finding, shared.subject, shared.number) == ("shared CMID", clone, 3)
    assert (shared.others, shared.last_seen) == ("clone3, clone2, clone1", NOW - timedelta(days=1))
    assert (changed.finding, changed.subject, changed.number) == ("changed CMID", "reborn", 2)
    assert changed.others == f"{uuid('after')}, {uuid('before')}"
    assert [row.subject for row in ask(store, "duplicates", machine="clone2").rows] == [clone]


def test_failures_adds_up_by_status_and_network_and_explains_each(store: Engine) -> None:
    insert_batch(
        store,
        [
            opaque(ago(3), "10.1.0.1", hresult=0xC004F042),
            opaque(ago(2), "10.1.0.2", hresult=0xC004F042),
            opaque(ago(1), "10.1.0.2", hresult=0xC004F042),
            opaque(ago(1), "10.2.0.1", hresult=0xC004F042),
            opaque(ago(1), "10.2.0.1", hresult=None, fault=0x6BA, reason=Reason.UPSTREAM_REFUSED),
            known(ago(1), "pc1", "10.3.0.1", count=4),
            opaque(ago(1), "10.9.0.1"),
        ],
    )
    rows = ask(store, "failures").rows
    assert [(row.status, row.network, row.calls, row.clients) for row in rows] == [
        (0xC004F042, "10.1.0.0/24", 3, 2),
        (0xC004F038, "10.3.0.0/24", 1, 1),
        (0x6BA, "10.2.0.0/24", 1, 1),
        (0xC004F042, "10.2.0.0/24", 1, 1),
    ]
    # If a host's answer is the failure, it is the only reason.
    assert [row.reason for row in rows] == ["", "", "upstream-refused", ""]
    assert (rows[0].first, rows[0].last) == (NOW - timedelta(days=3), NOW - timedelta(days=1))
    assert "cannot be used" in rows[0].meaning
    assert "right host" in rows[0].cure
    assert "RPC server is unavailable" in rows[2].meaning


def test_machines_that_share_an_address_have_failures_of_their_own(store: Engine) -> None:
    clock = {"hresult": 0xC004F06C, "reason": Reason.LAB_CLOCK, "upstream": None}
    insert_batch(
        store,
        [
            known(ago(1), "pc1", "10.0.0.1", **clock),
            known(ago(1) + 1, "pc1", "10.0.0.1", **clock),
            known(ago(1) + 2, "pc2", "10.0.0.1", **clock),
            opaque(ago(1) + 3, "10.0.0.1", **clock),
        ],
    )
    insert_batch(store, [known(ago(1) + 4, "pc2", "10.0.0.1", **clock)])
    calls = {name: [row.calls for row in ask(store, "failures", machine=name).rows] for name in ("pc1", "pc2", "pc3")}
    assert calls == {"pc1": [2], "pc2": [2], "pc3": []}
    assert [row.calls for row in ask(store, "failures", machine="10.0.0.1").rows] == [5]
    assert [(row.machine, row.calls) for row in ask(store, "refused").rows] == [("pc2", 2), ("", 1), ("pc1", 2)]


def test_refused_says_who_and_why(store: Engine) -> None:
    insert_batch(
        store,
        [
            refusal(ago(5), "192.0.2.9"),
            refusal(ago(4), "192.0.2.9"),
            refusal(ago(3), "192.0.2.9", Reason.RPC_AUTHENTICATION, fault=0x5),
            known(ago(2), "pc1", "10.0.0.1", hresult=0xC004F06C, reason=Reason.LAB_CLOCK, upstream=None),
            opaque(ago(1), "10.0.0.2", hresult=None, fault=0x6BA, reason=Reason.UPSTREAM_REFUSED),
        ],
    )
    rows = ask(store, "refused").rows
    assert [(row.client, row.machine, row.reason, row.calls) for row in rows] == [
        ("10.0.0.1", "pc1", "lab-clock", 1),
        ("192.0.2.9", "", "rpc-authentication", 1),
        ("192.0.2.9", "", "rpc-not-rpc", 2),
    ]
    assert rows[2].meaning.startswith("the first bytes are not a DCE/RPC PDU")
    assert (rows[2].first, rows[2].last) == (NOW - timedelta(days=5), NOW - timedelta(days=4))


def test_activity_adds_up_by_hour_day_upstream_and_product(store: Engine) -> None:
    insert_batch(
        store,
        [
            known(START, "pc1", phases=Phases(answer=10.0)),
            opaque(START + HOUR, upstream="kms2", phases=Phases(answer=30.0)),
            opaque(START + HOUR + 1, upstream="kms2", hresult=0xC004F042),
            opaque(START + DAY),
        ],
    )

    def seen(by: Bucket) -> list[tuple[str, int, int, int]]:
        return [(row.bucket, row.calls, row.granted, row.failed) for row in ask(store, "activity", by=by).rows]

    # The latest first: what a long table leaves out is the oldest.
    assert seen(Bucket.HOUR) == [
        ("2024-06-02 00:00", 1, 1, 0),
        ("2024-06-01 01:00", 2, 1, 1),
        ("2024-06-01 00:00", 1, 1, 0),
    ]
    assert seen(Bucket.DAY) == [("2024-06-02", 1, 1, 0), ("2024-06-01", 3, 2, 1)]
    assert seen(Bucket.UPSTREAM) == [("kms1", 2, 2, 0), ("kms2", 2, 1, 1)]
    assert seen(Bucket.PRODUCT) == [("(not readable)", 3, 2, 1), ("Windows 10 Enterprise", 1, 1, 0)]
    first = ask(store, "activity").rows[1]
    assert (first.answer_ms, first.bytes_in, first.bytes_out) == (20.0, 780, 540)
    assert first.share == pytest.approx(2 / 3)
    since = datetime(2024, 6, 1, 1, tzinfo=UTC)
    until = datetime(2024, 6, 2, tzinfo=UTC)
    assert [row.calls for row in ask(store, "activity", since=since, until=until).rows] == [2]
    assert [row.calls for row in ask(store, "activity", upstream="KMS2").rows] == [2]


def test_count_forecasts_who_leaves_when_nobody_new_comes(store: Engine) -> None:
    renewing = [office(ago(1), f"on{number}", "10.0.0.7") for number in range(4)]
    quiet = [office(ago(27), "q1", "10.0.0.7"), office(ago(20), "q2", "10.0.0.7"), office(ago(15), "q3", "10.0.0.7")]
    gone = [office(ago(30), "gone", "10.0.0.7")]
    shared = [known(ago(1), name, cmid=uuid("one")) for name in ("w1", "w2")]
    insert_batch(store, [*renewing, *quiet, *gone, *shared, opaque(ago(2), "10.9.9.9")])
    windows, five, unknown = ask(store, "count").rows
    assert (windows.needed, windows.clients, windows.reached, windows.urgency) == (25, 1, False, Urgency.LOST)
    assert (five.needed, five.clients, five.reached, five.quiet) == (5, 7, True, 3)
    # q1 is forgotten in 3 days, q2 in 10, q3 in 15: with q3 the class falls from 5 to 4.
    assert (five.in_7_days, five.in_14_days, five.in_30_days) == (6, 5, 4)
    assert five.falls_below == NOW + timedelta(days=15)
    assert five.urgency is Urgency.URGENT
    assert (unknown.needed, unknown.clients, unknown.reached, unknown.falls_below) == (None, 1, None, None)


def test_windows_clients_and_servers_make_one_count_and_office_another(store: Engine) -> None:
    def server(at: int, name: str) -> Record:
        return known(at, name, "10.2.0.1", product="Windows Server 2022", required_count=5, act_id=uuid("s22"))

    insert_batch(store, [known(ago(1), f"pc{number}") for number in range(20)])
    insert_batch(store, [server(ago(20 if number < 2 else 1), f"srv{number}") for number in range(6)])
    insert_batch(store, [office(ago(1), f"pc{number}", "10.0.0.7") for number in range(4)])
    found = [
        (row.application, row.needed, row.clients, row.quiet, row.count, row.reached, row.in_30_days)
        for row in ask(store, "count").rows
    ]
    assert found == [
        ("Windows", 25, 20, 0, 26, True, 24),
        ("Office", 5, 4, 0, 4, False, 4),
        ("Windows", 5, 6, 2, 26, True, 24),
    ]
    clients, _, servers = ask(store, "count").rows
    # The servers that fell silent 20 days ago leave in 10: then 24 are left, too few for the clients.
    assert clients.falls_below == NOW + timedelta(days=10)
    assert servers.falls_below is None


def test_events_that_do_not_tell_the_application_leave_open_what_they_may_decide(store: Engine) -> None:
    def imported(name: str, needed: int) -> Record:
        return known(
            ago(1), name, version=6, app_id=None, product=None, required_count=needed, act_id=uuid(str(needed))
        )

    insert_batch(store, [imported(f"pc{number}", 25) for number in range(22)])
    insert_batch(store, [imported(f"five{number}", 5) for number in range(2)])
    windows, five = ask(store, "count").rows
    assert (windows.application, windows.count, windows.reached) == ("Windows", 22, False)
    assert (five.application, five.clients, five.reached) == ("", 2, False)
    insert_batch(store, [imported("five2", 5)])
    windows, five = ask(store, "count").rows
    assert (windows.count, windows.reached, windows.urgency) == (22, None, Urgency.NONE)


def test_clients_whose_requests_could_not_be_read_leave_open_what_they_may_decide(store: Engine) -> None:
    insert_batch(store, [known(ago(1), f"pc{number}") for number in range(22)])
    insert_batch(store, [opaque(ago(1), f"10.9.0.{number}") for number in range(2)])
    windows, _ = ask(store, "count").rows
    assert (windows.count, windows.reached) == (22, False)
    insert_batch(store, [opaque(ago(1), "10.9.0.9")])
    windows, unread = ask(store, "count").rows
    assert (windows.count, windows.reached, windows.urgency) == (22, None, Urgency.NONE)
    assert (unread.clients, unread.reached) == (3, None)


def test_clients_that_no_host_saw_are_not_counted(store: Engine) -> None:
    refused = {"reason": Reason.ADMISSION_NETWORK, "fault": 0x5, "hresult": None, "upstream": None}
    unreached = {"reason": Reason.UPSTREAM_REFUSED, "fault": 0x6BA, "hresult": None}
    told = {"reason": Reason.UPSTREAM_STATUS, "hresult": 0xC004F042}
    insert_batch(
        store,
        [
            office(ago(1), "refused", "10.0.0.1", **refused),
            office(ago(1), "unreached", "10.0.0.2", **unreached),
            # The host gave it a status, so it saw it.
            office(ago(1), "told", "10.0.0.3", **told),
            office(ago(2), "late", "10.0.0.4"),
            office(ago(1), "late", "10.0.0.4", **unreached),
            office(ago(40), "forgotten", "10.0.0.5"),
            office(ago(20), "quiet", "10.0.0.6"),
            opaque(ago(1), "10.0.0.7", **refused),
            opaque(ago(1), "10.0.0.8"),
            opaque(ago(28), "10.0.0.9"),
        ],
    )
    # Known already, and in vain since.
    insert_batch(
        store,
        [
            office(ago(1), "forgotten", "10.0.0.5", **unreached),
            office(ago(1), "quiet", "10.0.0.6", **refused),
            opaque(ago(1), "10.0.0.9", **refused),
        ],
    )
    five, unread = ask(store, "count").rows
    assert (five.application, five.clients, five.quiet, five.count) == ("Office", 3, 1, 3)
    assert (five.in_7_days, five.in_14_days) == (3, 2)
    assert (unread.application, unread.clients, unread.quiet, unread.in_7_days) == ("", 2, 1, 1)


def test_a_class_that_goes_on_renewing_never_falls_below(store: Engine) -> None:
    insert_batch(store, [office(ago(1), f"pc{number}", "10.0.0.7") for number in range(5)])
    insert_batch(store, [office(ago(20), "quiet", "10.0.0.7")])
    (five,) = ask(store, "count").rows
    assert (five.clients, five.in_30_days, five.falls_below, five.urgency) == (6, 5, None, Urgency.GOOD)


def test_products_and_networks_count_machines(store: Engine) -> None:
    insert_batch(
        store,
        [
            known(ago(1), "pc1", "10.1.0.1"),
            known(ago(50), "pc2", "10.1.0.2", virtual_machine=True),
            known(ago(1), "pc3", "10.2.0.3", virtual_machine=True),
            office(ago(1), "pc1", "10.1.0.1"),
            opaque(ago(1), "10.2.0.9"),
        ],
    )
    assert [
        (row.product, row.application, row.machines, row.active, row.virtual, row.networks)
        for row in ask(store, "products").rows
    ] == [
        ("Windows 10 Enterprise", "Windows", 3, 2, 2, 2),
        ("(not readable)", "", 1, 1, 0, 1),
        ("Office 2021", "Office", 1, 1, 0, 1),
    ]
    assert [(row.network, row.product, row.machines, row.active) for row in ask(store, "networks").rows] == [
        ("10.1.0.0/24", "Windows 10 Enterprise", 2, 1),
        ("10.1.0.0/24", "Office 2021", 1, 1),
        ("10.2.0.0/24", "(not readable)", 1, 1),
        ("10.2.0.0/24", "Windows 10 Enterprise", 1, 1),
    ]


@pytest.mark.parametrize(
    ("question", "machines"),
    [
        ({"machine": "PC1*"}, {"pc1", "pc10"}),
        ({"machine": "pc_"}, set()),
        ({"machine": "10.2.0.2"}, {"pc2"}),
        ({"network": "10.1.0.0/16"}, {"pc1", "pc10"}),
        ({"network": "2001:db8::/32"}, {"v6"}),
        ({"product": "office*"}, {"pc2"}),
        ({"upstream": "kms9"}, {"v6"}),
        ({"since": NOW - timedelta(days=2)}, {"pc1", "v6"}),
        ({"until": NOW - timedelta(days=2)}, {"pc2", "pc10"}),
    ],
)
def test_filters_narrow_a_report(store: Engine, question: dict[str, Any], machines: set[str]) -> None:
    insert_batch(
        store,
        [
            known(ago(1), "pc1", "10.1.0.1"),
            known(ago(3), "pc10", "10.1.9.1"),
            office(ago(4), "pc2", "10.2.0.2"),
            known(ago(1), "v6", "2001:db8::1", upstream="kms9"),
        ],
    )
    assert {row.machine for row in ask(store, "clients", **question).rows} == machines


def test_an_invalid_network_is_refused(store: Engine) -> None:
    with pytest.raises(QueryError, match=r"write for example 10"):
        ask(store, "clients", network="10.1")


@pytest.mark.parametrize("name", ["clients", "failures"])
@pytest.mark.parametrize(
    ("network", "around"),
    [("10.1.0.1", "10.1.0.0/24"), ("10.1.0.0/28", "10.1.0.0/24"), ("2001:db8::1", "2001:db8::/64")],
)
def test_a_part_of_a_network_that_is_counted_as_one_is_refused(
    store: Engine, name: str, network: str, around: str
) -> None:
    calls = [known(ago(1), "pc1", "10.1.0.1", hresult=5), known(ago(1), "v6", "2001:db8::1", hresult=5)]
    insert_batch(store, calls)
    with pytest.raises(QueryError, match=f"name {around}"):
        ask(store, name, network=network)
    assert len(ask(store, name, network=around).rows) == 1
    assert ask(store, name, network="10.9.0.0/28").rows == []


@pytest.mark.parametrize("name", list(REPORTS))
def test_an_empty_store_gives_an_empty_report_in_every_format(store: Engine, name: str) -> None:
    report = ask(store, name)
    assert report.rows == []
    assert json.loads(to_json(report))["rows"] == []
    assert to_csv(report).count("\r\n") == 1
    assert to_markdown(report).startswith(f"## {report.title}")
    console = Console(file=io.StringIO(), width=200)
    console.print(to_table(report))
    assert "nothing to report" in console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", list(REPORTS))
def test_every_format_has_the_same_rows(store: Engine, name: str) -> None:
    insert_batch(
        store,
        [
            known(ago(160), "pc1", cmid=uuid("x")),
            known(ago(160), "pc2", "10.1.1.1", cmid=uuid("x"), hresult=0xC004F042),
            known(ago(2), "pc3"),
            refusal(ago(2)),
        ],
    )
    remember(store, "gw1", "corp.test", [Stranger("corp.test", "rogue.test", 1688, 0, 0)], ago(2))
    report = ask(store, name)
    assert report.rows
    found = json.loads(to_json(report))
    assert [each["name"] for each in found["columns"]] == [each.name for each in report.columns]
    table = list(csv.DictReader(io.StringIO(to_csv(report))))
    assert len(table) == len(found["rows"]) == len(report.rows)
    assert sum(line.startswith("| ") for line in to_markdown(report).splitlines()) == len(report.rows) + 2
    for line, row in zip(table, found["rows"], strict=True):
        for column in report.columns:
            assert line[column.name] == ("" if row[column.name] is None else str(row[column.name]))


def test_names_that_clients_give_themselves_do_no_harm(store: Engine) -> None:
    insert_batch(
        store, [known(ago(1), "=cmd|' /C calc'!A0", cmid=uuid("x")), known(ago(1), "[red]|`x`", cmid=uuid("y"))]
    )
    report = ask(store, "clients")
    assert "\r\n'=cmd" in to_csv(report)
    assert r"\[red\]\|\`x\`" in to_markdown(report)
    console = Console(file=io.StringIO(), width=300)
    console.print(to_table(report))
    assert "[red]|`x`" in console.file.getvalue()  # type: ignore[attr-defined]


def printed(report: Report[Any], width: int) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    console.print(to_table(report, width=width))
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_a_name_gives_a_terminal_no_orders_and_hides_nothing(store: Engine) -> None:
    insert_batch(
        store,
        [
            known(ago(1), "a\x1b[2Jb", cmid=uuid("x")),
            known(ago(2), "c\u202eexe.d", cmid=uuid("y")),
            known(ago(3), "שרת", cmid=uuid("z")),
        ],
    )
    report = ask(store, "clients")
    for shown in (printed(report, 240), printed(report, 60), to_markdown(report).replace("\\\\", "\\")):
        assert "\x1b" not in shown
        assert "a\\x1b" in shown
        assert "\u202e" not in shown
        assert "c\\u202eexe.d" in shown
        assert "שרת" in shown
    assert "\x1b" not in to_csv(report)
    assert "a\\x1b[2jb" in to_csv(report)


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20"])
def test_no_name_is_a_formula_in_a_spreadsheet(store: Engine, sign: str) -> None:
    insert_batch(store, [known(ago(1), f"{sign}1")])
    (row,) = csv.DictReader(io.StringIO(to_csv(ask(store, "clients")), newline=""))
    assert row["machine"] == f"'{sign}1"


@pytest.mark.parametrize("name", [";=1", "; =1", "a;=1", "a\t=1", "a;b;@x", "\t=1"])
def test_no_name_is_a_formula_where_a_cell_ends_at_a_semicolon_or_a_tab(store: Engine, name: str) -> None:
    insert_batch(store, [known(ago(1), name)])
    text = to_csv(ask(store, "clients"))
    (row,) = csv.DictReader(io.StringIO(text, newline=""))
    for cell in re.split("[;\t]", row["machine"]):
        assert not re.match(r" *[=@]", cell)
    assert row["machine"].replace("'", "") == name


def test_a_line_break_in_a_name_stays_within_its_row(store: Engine) -> None:
    insert_batch(store, [known(ago(1), 'new\nline,"x"|y')])
    report = ask(store, "clients")
    (row,) = csv.DictReader(io.StringIO(to_csv(report), newline=""))
    assert row["machine"] == 'new\nline,"x"|y'
    assert sum("line" in line for line in to_markdown(report).splitlines()) == 1
    assert r'new\\nline,"x"\|y' in to_markdown(report)


def test_markdown_says_the_zone_of_its_times(store: Engine) -> None:
    insert_batch(store, [known(ago(1), "pc1")])
    assert to_markdown(ask(store, "clients")).endswith("\n\nTimes are in UTC.\n")


@pytest.mark.parametrize("name", list(REPORTS))
@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 200])
def test_nothing_is_cut_off_on_a_terminal_of_any_width(store: Engine, name: str, width: int) -> None:
    insert_batch(
        store,
        [
            known(ago(151), "workstation-0042.corp.example.com", cmid=uuid("x")),
            known(ago(20), "workstation-0043.corp.example.com", "10.1.1.1", cmid=uuid("x"), hresult=0xC004F042),
            known(ago(2), "pc3"),
            refusal(ago(2), "2001:db8:1234:5678::abcd"),
        ],
    )
    shown = printed(ask(store, name), width)
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= width


def test_a_report_too_wide_for_the_terminal_is_shown_in_paragraphs(store: Engine) -> None:
    insert_batch(store, [known(ago(1), "pc1", hresult=0xC004F042), known(ago(2), "pc2", hresult=0xC004F06C)])
    lines = [" ".join(line.split()) for line in printed(ask(store, "failures"), 60).splitlines()]
    assert lines[:6] == [
        "Failures by status and network",
        "",
        "Status 0xC004F042",
        "Network 10.0.0.0/24",
        "Calls 1",
        "Clients 1",
    ]
    assert lines.count("Calls 1") == 2


def test_a_long_table_says_how_much_it_leaves_out(store: Engine) -> None:
    insert_batch(store, [known(ago(1), f"workstation{number}") for number in range(5)])
    report = ask(store, "clients")
    console = Console(file=io.StringIO(), width=240)
    console.print(to_table(report, limit=2))
    assert console.file.getvalue().count("workstation") == 2  # type: ignore[attr-defined]
    assert to_table(report, limit=2).caption == "times are in UTC; rows left out: 3, --limit 0 shows all"
    assert to_table(replace(report, rows=report.rows[:2]), limit=2).caption == "times are in UTC"


def test_a_narrow_table_spares_columns_and_says_so_but_never_cuts_a_name(store: Engine) -> None:
    insert_batch(store, [known(ago(3), "workstation-0042.corp.example.com")])
    report = ask(store, "clients")
    wide, narrow = to_table(report, width=240), to_table(report, width=100)
    narrowest = to_table(report, width=84)
    assert [column.header for column in narrowest.columns] == [
        "Machine",
        "App",
        "Expires",
        "Days\nleft",
        "Last call",
    ]
    # There is nothing in the column of notes.
    assert len(wide.columns) == len(report.columns) - 1
    assert [column.header for column in narrow.columns] == [
        "Machine",
        "Address",
        "App",
        "Expires",
        "Days left",
        "Last call",
    ]
    assert str(narrow.caption).rpartition("columns left out because the terminal is narrow: ")[2].count(", ") == 4
    console = Console(file=io.StringIO(), width=100)
    console.print(narrow)
    assert "workstation-0042.corp.example.com" in console.file.getvalue()  # type: ignore[attr-defined]


def test_a_renewal_under_the_address_of_a_machine_known_by_name_is_noted_on_both_rows(store: Engine) -> None:
    insert_batch(
        store,
        [
            known(ago(160), "pc1", "10.1.0.1"),
            opaque(ago(2), "10.1.0.1"),
            # Called before the machine was named.
            opaque(ago(9), "10.1.0.2"),
            known(ago(3), "pc2", "10.1.0.2"),
            # Two machines had the address: it may be either.
            known(ago(30), "pc3", "10.1.0.3"),
            known(ago(20), "pc4", "10.1.0.3"),
            opaque(ago(1), "10.1.0.3"),
        ],
    )
    report = ask(store, "clients")
    since = f"10.1.0.1 called on {(NOW - timedelta(days=2)):%Y-%m-%d}, without a name"
    assert {row.machine: row.note for row in report.rows if row.note} == {"pc1": since, "10.1.0.1": "probably pc1"}
    said = "rows with a note may be one machine; import the KMS host's events to know"
    assert report.note == said
    for name in ("expiring", "silent"):
        assert [row.note for row in ask(store, name).rows if row.machine == "pc1"] == [since]
    assert str(to_table(report, width=90).caption).endswith(said)
    assert to_markdown(report).endswith(
        "\n\nTimes are in UTC. Rows with a note may be one machine; import the KMS host's events to know.\n"
    )
    assert json.loads(to_json(report))["note"] == said
    counted = "of those not readable, 1 may be machines that are counted by name as well; " + said.partition("; ")[2]
    for name in ("count", "products", "networks"):
        assert ask(store, name).note == counted
    assert ask(store, "products", machine="10.1.0.3").note == ""


def test_without_such_renewals_there_is_no_note(store: Engine) -> None:
    insert_batch(store, [known(ago(160), "pc1", "10.1.0.1"), opaque(ago(20), "10.1.0.2")])
    for name in ("clients", "expiring", "silent", "count", "products", "networks"):
        report = ask(store, name)
        assert report.note == ""
        assert report.rows
        assert not any(getattr(row, "note", "") for row in report.rows)


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("7d", NOW - timedelta(days=7)),
        ("90m", NOW - timedelta(minutes=90)),
        ("2w", NOW - timedelta(weeks=2)),
        ("2024-06-01", datetime(2024, 6, 1, tzinfo=UTC)),
        ("2024-06-01T13:30", datetime(2024, 6, 1, 13, 30, tzinfo=UTC)),
        ("2024-06-01T13:30+02:00", datetime(2024, 6, 1, 11, 30, tzinfo=UTC)),
    ],
)
def test_times_are_read_as_people_write_them(text: str, when: datetime) -> None:
    assert parse_when(text, NOW) == when


@pytest.mark.parametrize("text", ["yesterday", "7 days", "2024-13-01", "999999w"])
def test_a_text_that_is_not_a_time_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a time|too long ago"):
        parse_when(text, NOW)


def digest(store: Engine, **question: Any) -> list[tuple[str, str, int | None]]:
    return [(row.about, row.subject, row.calls) for row in ask(store, "digest", **question).rows]


def test_the_digest_has_who_expires_also_who_did_in_these_days(store: Engine) -> None:
    ages = {"lapsed-before": 188, "lapsed-since": 186, "soon": 151, "well": 149}
    made = [known(ago(age), name, f"10.0.0.{age}") for name, age in ages.items()]
    # They called since, in vain: none of them is silent.
    vain = {"hresult": 0xC004F042, "reason": Reason.UPSTREAM_STATUS}
    made += [known(ago(1), name, f"10.0.0.{age}", **vain) for name, age in ages.items()]
    insert_batch(store, made)
    assert digest(store) == [
        ("expires", "lapsed-since", None),
        ("expires", "soon", None),
        ("refused", "upstream-status 0xC004F042", 4),
    ]
    assert ("expires", "lapsed-before", None) in digest(store, days=9)


def test_the_digest_has_who_fell_silent_and_who_is_new_in_these_days(store: Engine) -> None:
    insert_batch(
        store,
        [
            known(ago(22), "silent-before"),
            known(ago(20), "silent-since"),
            known(ago(13), "quiet"),
            known(ago(8), "old"),
            office(ago(2), "old", "10.0.0.7"),
            known(ago(6), "new"),
        ],
    )
    assert digest(store) == [("silent", "silent-since", None), ("new", "new", None)]
    assert digest(store, days=3) == []
    assert ("silent", "silent-before", None) in digest(store, days=9)


def test_the_digest_adds_up_the_refusals_of_a_cause_over_networks(store: Engine) -> None:
    made = [refusal(ago(number), f"192.0.{number}.9", Reason.ADMISSION_NETWORK) for number in range(1, 4)]
    few = known(ago(20), "pc", count=3)
    insert_batch(store, [*made, refusal(ago(1)), refusal(ago(8), "192.0.2.77"), replace(few, at=ago(0.5))])
    found = [each for each in digest(store) if each[0] == "refused"]
    assert found == [
        ("refused", "admission-network", 3),
        ("refused", "rpc-not-rpc", 1),
        ("refused", "0xC004F038", 1),
    ]
    most = next(row for row in ask(store, "digest").rows if row.about == "refused")
    assert (most.clients, bool(most.cure)) == (3, True)
