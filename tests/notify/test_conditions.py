"""The conditions that follow from a snapshot and a count, and their texts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from kmstwist.audit.reports.digest import About, DigestRow
from kmstwist.audit.reports.model import Report
from kmstwist.audit.views.totals import Count, Success, Totals
from kmstwist.notify.conditions import Condition, Key, of_server, of_totals, server_looked
from kmstwist.notify.ledger import Ledger
from kmstwist.notify.messages import LISTED, LONGEST, about_changes, about_expiring, about_week
from kmstwist.notify.settings import NotifySettings, Topic
from kmstwist.telemetry.counters import Snapshot, UpstreamState

UP, DOWN = UpstreamState("kms1", "up"), UpstreamState("kms1", "down", "connection refused")
OTHER_DOWN = UpstreamState("kms2", "down", "timed out")
NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


def snapshot(*upstreams: UpstreamState, **changes: object) -> Snapshot:
    made = Snapshot("gateway", 0.0, upstreams=list(upstreams))
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def keys(of: Snapshot) -> dict[Key, Topic]:
    return {each.key: each.topic for each in of_server(of)}


def test_a_healthy_server_reports_nothing() -> None:
    assert keys(snapshot(UP)) == {}


def test_each_thing_has_a_topic_that_can_be_asked_for() -> None:
    ill = snapshot(
        UP,
        OTHER_DOWN,
        paused=True,
        audit={"failing": 1, "waiting": 3},
        central={"postgresql://db/x": "refused"},
        published={"corp.test": "refused"},
        strangers={"corp.test": ["rogue:1688"]},
    )
    assert keys(ill) == {
        Key("server"): Topic.STATE,
        Key("host", "kms2"): Topic.HOSTS,
        Key("audit"): Topic.AUDIT,
        Key("central store"): Topic.AUDIT,
        Key("record in", "corp.test"): Topic.STATE,
        Key("stranger", "corp.test", "rogue:1688"): Topic.STRANGERS,
    }
    assert set(NotifySettings().wanted) == set(Topic)


def test_a_condition_is_not_over_before_its_source_has_looked() -> None:
    ill = snapshot(
        OTHER_DOWN,
        UP,
        audit={"failing": 1},
        central={"db": "refused"},
        published={"corp.test": "refused"},
        strangers={"corp.test": ["rogue:1688"]},
    )
    just_started = server_looked(snapshot())
    assert [key for key in keys(ill) if just_started(key)] == []
    well = server_looked(
        snapshot(UP, audit={"failing": 0}, central={"db": ""}, published={"corp.test": ""}, strangers={"corp.test": []})
    )
    assert [key for key in keys(ill) if not well(key)] == []
    assert not well(Key("count", "Windows 25", "low"))


def ledger_of(*snapshots: Snapshot) -> list[str]:
    """The messages about a server in these states, step by step: titles and texts."""
    ledger, told = Ledger(0), []
    for at, each in enumerate(snapshots):
        changes = ledger.step(at * 3600.0, {one.key: one for one in of_server(each)}, server_looked(each))
        if changes:
            text = about_changes("gw", changes, at * 3600.0)
            told.append(f"{text.kind}: {text.title}\n{text.body}")
    return told


def test_a_host_that_stops_and_comes_back_is_two_messages() -> None:
    assert ledger_of(snapshot(UP), snapshot(DOWN), snapshot(DOWN), snapshot(UP), snapshot(UP)) == [
        "failure: kmstwist at gw: no KMS host answers: kms1 is down (connection refused)\n"
        "no KMS host answers: kms1 is down (connection refused)\n"
        "What to do: kmstwist upstreams list; kmstwist doctor",
        "success: kmstwist at gw: resolved: no KMS host answers: kms1 is down (connection refused)\n"
        "no KMS host answers: kms1 is down (connection refused) (lasted 2 h)",
    ]


def test_one_of_two_hosts_is_not_said_to_be_back_when_the_other_goes_too() -> None:
    nobody = "no KMS host answers: kms1 is down (connection refused); kms2 is down (timed out)"
    both_up = snapshot(UP, replace(OTHER_DOWN, state="up"))
    told = ledger_of(both_up, snapshot(UP, OTHER_DOWN), snapshot(DOWN, OTHER_DOWN), snapshot(UP, OTHER_DOWN), both_up)
    assert [each.splitlines()[0].removeprefix("kmstwist at gw: ") for each in told] == [
        "warning: kmstwist at gw: kms2 is down (timed out)",
        f"failure: kmstwist at gw: {nobody}",
        f"warning: kmstwist at gw: resolved: {nobody}",
        "success: kmstwist at gw: resolved: kms2 is down (timed out)",
    ]
    assert told[2].endswith("Still wrong:\nkms2 is down (timed out)")


def test_counts_are_reported_only_if_unknown_clients_make_no_difference() -> None:
    low = Count("Windows", 25, 3, 24, 24)
    perhaps = Count("Windows", 25, 3, 26, 25)
    falling = Count("Office", 5, 6, 6, 4)
    assert [each.key for each in of_totals(Totals(0.0, counts=[low]))] == [Key("count", "Windows 25", "low")]
    assert of_totals(Totals(0.0, counts=[perhaps])) == []
    assert [each.key for each in of_totals(Totals(0.0, counts=[falling]))] == [Key("count", "Office 5", "falling")]


def test_eight_days_without_a_success_are_reported() -> None:
    week = 7 * 86_400
    assert of_totals(Totals(2.0 * week, successes=[Success("kms1", "x", week)])) == []
    (told,) = of_totals(Totals(2.0 * week + 90_000, successes=[Success("kms1", "x", week)]))
    assert told.text == "no client has been activated for 8 days, although clients renew every 7 days"
    assert of_totals(Totals(1e9)) == []


def test_a_client_cannot_write_our_messages() -> None:
    nasty = Condition(Key("x"), Topic.STATE, "a\nb\x1b[31m" + "c" * 500)
    changes = Ledger(0).step(0, {nasty.key: nasty}, lambda key: True)
    text = about_changes("gw", changes, 0)
    assert text.body.count("\n") == 0
    assert "\x1b" not in text.body + text.title
    assert len(text.title) == LONGEST


def test_many_machines_are_counted_and_some_named() -> None:
    text = about_expiring("gw", [f"pc{number}" for number in range(LISTED + 5)], LISTED + 9)
    assert text.title == f"kmstwist at gw: {LISTED + 5} activations end within 7 days"
    assert f"pc{LISTED - 1}\nand 5 more\n" in text.body
    assert f"{LISTED + 9} in all." in text.body
    assert about_expiring("gw", ["pc1"], 1).title == "kmstwist at gw: 1 activation ends within 7 days"


def test_the_weekly_summary_has_all_four_parts_also_where_there_is_nothing() -> None:
    rows = [
        DigestRow(About.EXPIRES, "pc1", "Windows 10", NOW + timedelta(days=3), None, None, ""),
        DigestRow(About.REFUSED, "admission-network", "", NOW, 5, 2, "name its network"),
    ]
    text = about_week("gw", Report("digest", "", DigestRow, rows))
    assert text.title == "kmstwist at gw: weekly summary: 1 expiring, 0 fell silent, 0 new"
    assert text.body.splitlines() == [
        "1 ended, or ending within 30 days:",
        "  pc1 Windows 10 2026-11-29",
        "0 fell silent (no call for 14 days)",
        "0 new machines",
        "1 causes of refused or failed calls:",
        "  admission-network: 5 calls from 2 clients (name its network)",
        "",
        "Full report: kmstwist report digest",
    ]
