"""Timelines computed by hand, to the minute, and invariants of any fleet."""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from kmstwist.kms.messages import LicenseStatus
from kmstwist.lab.client import Outcome
from kmstwist.lab.fleet.member import Member
from kmstwist.lab.fleet.record import STATES, FleetResult
from kmstwist.lab.fleet.report import document as report_document
from kmstwist.lab.fleet.scenario import Scenario
from kmstwist.lab.fleet.simulation import Fleet
from kmstwist.lab.fleet.world import World

from .scenarios import BEGINS, DAY, HOUR, OFFICE, SERVER, WINDOWS, machines, scenario

LICENSED, GRACE, EXPIRED, NOTIFICATION = (
    LicenseStatus.LICENSED,
    LicenseStatus.OOB_GRACE,
    LicenseStatus.OOT_GRACE,
    LicenseStatus.NOTIFICATION,
)
TOO_FEW, NO_HOST, NO_NAME, NO_DNS, WRONG_CLOCK, NOT_COVERED = (
    0xC004F038,
    0xC004F074,
    0x8007232B,
    0x8007232A,
    0xC004F06C,
    0xC004F042,
)


def run(given_scenario: Scenario) -> tuple[FleetResult, dict[str, list[tuple[float, int]]]]:
    """The result, and for each machine and product its attempts as (hours since the start, HRESULT)."""
    attempts: dict[str, list[tuple[float, int]]] = defaultdict(list)

    def watch(member: Member, now: float, outcome: Outcome) -> None:
        attempts[member.lab.machine_name].append(((now - BEGINS) / HOUR, outcome.hresult))

    result = Fleet(given_scenario, watch).run()
    return result, attempts


def states(result: FleetResult, hour: int) -> dict[LicenseStatus, int]:
    """How many licences are in which state at the end of an hour."""
    return {state: count for state in (LICENSED, GRACE, EXPIRED, NOTIFICATION) if (count := result.total(state)[hour])}


def test_the_25th_machine_is_licensed_at_once_and_the_24_before_it_two_hours_later() -> None:
    result, attempts = run(scenario(days=8))
    assert attempts["PC-01"] == [(0, TOO_FEW), (2, 0), (170, 0)]
    assert attempts["PC-24"] == [(0, TOO_FEW), (2, 0), (170, 0)]
    assert attempts["PC-25"] == [(0, 0), (168, 0)]
    assert states(result, 0) == {LICENSED: 1, GRACE: 24}
    assert states(result, 2) == {LICENSED: 25}
    assert [(threshold.required, threshold.reached_at) for threshold in result.thresholds] == [(25, BEGINS)]
    assert result.all_licensed_at == BEGINS + 2 * HOUR


def test_a_host_away_until_day_200_costs_every_activation_on_day_180_and_gives_it_back() -> None:
    away = [{"name": "kms", "outages": [{"from_day": 7, "days": 193}]}]
    result, attempts = run(scenario(days=202, host=away))
    first = attempts["PC-01"]
    # Renewal is due at 170 h and fails, then every two hours until the host is back at 4800 h. There the 25 ask at the
    # same moment; the count, empty after 30 days, is enough only for the last of them, and for all two hours later.
    assert first[:4] == [(0, TOO_FEW), (2, 0), (170, NO_HOST), (172, NO_HOST)]
    assert first[-2:] == [(4800, TOO_FEW), (4802, 0)]
    assert len(first) == 2 + (4800 - 170) // 2 + 2
    assert {loss.lost_at for loss in result.losses if loss.machine != "PC-25"} == {BEGINS + 2 * HOUR + 180 * DAY}
    assert {loss.lost_at for loss in result.losses if loss.machine == "PC-25"} == {BEGINS + 180 * DAY}
    assert all(loss.notified_at is None and loss.restored_at is not None for loss in result.losses)
    assert states(result, 180 * 24 - 1) == {LICENSED: 25}
    assert states(result, 180 * 24) == {LICENSED: 24, EXPIRED: 1}
    assert states(result, 180 * 24 + 2) == {EXPIRED: 25}
    assert states(result, 4802) == {LICENSED: 25}


def test_without_any_host_grace_ends_after_30_days_to_the_second() -> None:
    away = [{"name": "kms", "outages": [{"from_day": 0, "days": 40}]}]
    result, attempts = run(scenario(days=40, host=away, machines=machines(count=1)))
    assert attempts["PC-01"] == [(2 * number, NO_HOST) for number in range(480)]
    assert result.losses[0].notified_at == BEGINS + 30 * DAY
    assert states(result, 30 * 24 - 1) == {GRACE: 1}
    assert states(result, 30 * 24) == {NOTIFICATION: 1}
    assert result.unanswered[:4] == [1, 0, 1, 0]
    assert result.never_licensed == 1


def test_a_machine_asks_when_it_is_switched_on_in_office_hours() -> None:
    hours = {"opens": "08:00:00", "closes": "17:00:00", "spread_minutes": 0}
    _, attempts = run(scenario(days=8, machines=machines(count=24, office_hours=hours)))
    asked = [hour for hour, _ in attempts["PC-01"]]
    # Monday 08:00, every two hours until 16:00, Tuesday 08:00 ..., not at the weekend, Monday 08:00 again.
    assert asked[:7] == [8, 10, 12, 14, 16, 32, 34]
    assert [hour for hour in asked if hour >= 4 * 24 + 16] == [112, 176, 178, 180, 182, 184]


def test_a_machine_starts_late_by_its_own_share_of_the_spread() -> None:
    hours = {"opens": "08:00:00", "closes": "17:00:00", "spread_minutes": 60}
    _, attempts = run(scenario(days=1, machines=machines(count=40, office_hours=hours)))
    first = sorted(asked[0][0] for asked in attempts.values())
    assert 8 <= first[0] < 8.2 < 8.8 < first[-1] <= 9


def test_servers_activate_from_a_count_of_5_and_help_clients_to_25() -> None:
    groups = [*machines(count=20), {"name": "SRV", "site": "site", "count": 5, "products": [SERVER]}]
    result, attempts = run(scenario(days=1, machines=groups))
    assert attempts["SRV-05"][0] == (0, 0)
    assert states(result, 2) == {LICENSED: 25}


def test_each_product_of_a_machine_counts_for_its_own_application() -> None:
    result, _ = run(scenario(days=1, machines=machines(count=6, products=[WINDOWS, OFFICE])))
    assert states(result, 3) == {LICENSED: 6, GRACE: 6}
    assert result.counts["kms"]["Windows"][3] == 6
    assert result.counts["kms"]["Office"][3] == 6
    assert result.states["Office"][LICENSED][3] == 6


def test_clones_count_as_one_until_they_are_generalised() -> None:
    groups = machines(count=30, cloned=True, generalise_on_day=5)
    result, attempts = run(scenario(days=10, machines=groups))
    assert result.counts["kms"]["Windows"][4 * 24] == 1
    assert {code for hour, code in attempts["PC-01"] if hour < 120} == {TOO_FEW}
    # At that moment all ask again with their own CMIDs; the clones' shared CMID still counts, so the 24th is enough.
    assert attempts["PC-23"][-2:] == [(120, TOO_FEW), (122, 0)]
    assert attempts["PC-24"][-1] == (120, 0)
    assert result.all_licensed_at == BEGINS + 122 * HOUR


def test_machines_join_one_after_the_other_and_leave_again() -> None:
    groups = machines(count=50, joins={"over_days": 10}, leaves={"from_day": 20, "over_days": 5, "share": 0.5})
    result, _ = run(scenario(days=30, machines=groups))
    assert sum(states(result, 24).values()) == 6
    assert states(result, 15 * 24) == {LICENSED: 50}
    assert states(result, 29 * 24) == {LICENSED: 25}


def test_a_clock_that_is_five_hours_off_is_refused_until_it_is_right() -> None:
    late = {"name": "LATE", "site": "site", "count": 1, "products": [WINDOWS]}
    groups = [*machines(), late | {"clock_error": {"minutes": -300, "days": 2}}]
    result, attempts = run(scenario(days=3, machines=groups))
    assert attempts["LATE-01"] == [*((2 * number, WRONG_CLOCK) for number in range(24)), (48, 0)]
    assert result.counts["kms"]["Windows"][40] == 25


def test_a_wrong_host_clock_has_the_same_effect() -> None:
    result, _ = run(scenario(days=1, host=[{"name": "kms", "clock_error_minutes": 300}]))
    assert set(result.outcomes) == {WRONG_CLOCK}


def test_a_product_that_the_host_key_does_not_cover_is_refused_and_a_gateway_asks_the_next_host() -> None:
    hosts = [{"name": "kms", "covers": ["Office"]}, {"name": "other", "covers": ["Windows", "Windows Server"]}]
    alone, _ = run(scenario(days=1, host=hosts[:1]))
    assert set(alone.outcomes) == {NOT_COVERED}
    behind, _ = run(
        scenario(
            days=1,
            host=hosts,
            gateway=[{"name": "gw", "upstreams": ["kms", "other"]}],
            site=[{"name": "site", "srv": [{"host": "gw"}]}],
        )
    )
    assert states(behind, 3) == {LICENSED: 25}
    assert sum(behind.requests["gw"]) == sum(behind.requests["kms"]) == sum(behind.requests["other"])


def test_a_gateway_whose_hosts_are_all_away_counts_as_away() -> None:
    result, _ = run(
        scenario(
            days=2,
            host=[{"name": "kms", "outages": [{"from_day": 0, "days": 1}]}],
            gateway=[{"name": "gw", "upstreams": ["kms"]}],
            site=[{"name": "site", "srv": [{"host": "gw"}]}],
        )
    )
    assert states(result, 23) == {GRACE: 25}
    assert states(result, 26) == {LICENSED: 25}


def test_the_remembered_host_is_asked_until_it_is_away_and_then_dns_gives_another() -> None:
    result, _ = run(
        scenario(
            days=30,
            host=[{"name": "kms", "outages": [{"from_day": 8, "days": 22}]}, {"name": "spare"}],
            site=[{"name": "site", "srv": [{"host": "kms"}, {"host": "spare", "priority": 10}]}],
        )
    )
    assert sum(result.requests["spare"][: 8 * 24]) == 0
    assert sum(result.requests["spare"][8 * 24 :]) > 0
    # The spare's count begins at 1: those that renew first fall short, and try again two hours later.
    assert result.outcomes[TOO_FEW] == 48
    assert states(result, 29 * 24) == {LICENSED: 25}


def test_a_host_set_by_hand_is_never_exchanged() -> None:
    result, _ = run(
        scenario(
            days=3,
            host=[{"name": "kms"}, {"name": "mine", "outages": [{"from_day": 0, "days": 3}]}],
            machines=machines(host="mine"),
        )
    )
    assert sum(result.requests["kms"]) == 0
    assert set(result.outcomes) == {NO_HOST}


def test_changes_in_dns_are_followed_and_missing_records_reported() -> None:
    site = {"name": "site", "srv": [], "dns_changes": [{"day": 1, "srv": [{"host": "kms"}]}]}
    result, attempts = run(scenario(days=2, site=[site]))
    assert attempts["PC-01"][:13] == [*((2 * number, NO_NAME) for number in range(12)), (24, TOO_FEW)]
    assert states(result, 26) == {LICENSED: 25}


def test_a_link_that_is_down_takes_dns_with_it() -> None:
    site = {"name": "site", "srv": [{"host": "kms"}], "outages": [{"from_day": 0, "days": 1}]}
    _, attempts = run(scenario(days=2, site=[site]))
    assert attempts["PC-25"][:13] == [*((2 * number, NO_DNS) for number in range(12)), (24, 0)]


def test_over_a_slow_link_the_answer_is_processed_a_round_trip_later() -> None:
    site = {"name": "site", "srv": [{"host": "kms"}], "round_trip_seconds": 30}
    _, attempts = run(scenario(days=1, site=[site]))
    assert attempts["PC-25"] == [(30 / HOUR, 0)]
    assert attempts["PC-01"] == [(30 / HOUR, TOO_FEW), (pytest.approx(2 + 60 / HOUR), 0)]


def test_a_host_that_goes_away_while_the_request_is_on_its_way_gives_no_answer() -> None:
    site = {"name": "site", "srv": [{"host": "kms"}], "round_trip_seconds": 30}
    away = [{"name": "kms", "outages": [{"from_day": 10 / DAY, "days": 1}]}]
    result, attempts = run(scenario(days=1, site=[site], host=away))
    assert attempts["PC-25"][0] == (30 / HOUR, NO_HOST)
    assert sum(result.requests["kms"]) == 0


def test_a_lossy_link_loses_its_share_of_the_attempts() -> None:
    site = {"name": "site", "srv": [{"host": "kms"}], "loss": 0.3}
    result, _ = run(scenario(days=60, site=[site], machines=machines(count=100)))
    assert 0.2 < sum(result.unanswered) / result.attempts < 0.4
    assert result.never_licensed == 0


def test_the_same_seed_gives_the_same_result_and_another_seed_another() -> None:
    hours = {"opens": "08:00:00", "closes": "18:00:00"}
    site = {"name": "site", "srv": [{"host": "kms"}, {"host": "b"}], "loss": 0.1}
    given_scenario = scenario(
        days=20, host=[{"name": "kms"}, {"name": "b"}], site=[site], machines=machines(count=60, office_hours=hours)
    )
    first, second = (report_document(Fleet(given_scenario).run()) for _ in range(2))
    assert first == second
    assert report_document(Fleet(given_scenario.model_copy(update={"seed": 2})).run()) != first


OUTAGES = st.lists(st.tuples(st.floats(0, 100), st.floats(0.1, 220)), max_size=2)


@st.composite
def fleets(draw: st.DrawFn, generalise: bool = True, chance: bool = True) -> Scenario:
    """Small scenarios of every kind."""

    def outages() -> list[dict[str, float]]:
        spans, end = [], 0.0
        for gap, days in draw(OUTAGES):
            if end + gap < 250:
                spans.append({"from_day": end + gap, "days": days})
                end += gap + days
        return spans

    groups = []
    for number in range(draw(st.integers(1, 2))):
        group = {
            "name": f"G{number}",
            "site": "site",
            "count": draw(st.integers(1, 30)),
            "products": draw(st.sampled_from([[WINDOWS], [SERVER], [WINDOWS, OFFICE]])),
            "joins": {"from_day": draw(st.integers(0, 20)) + number / 999, "over_days": draw(st.integers(1, 30)) + 0.7},
        }
        if draw(st.booleans()):
            group["leaves"] = {"from_day": draw(st.floats(60, 200)), "over_days": 10, "share": 0.5}
        if draw(st.booleans()):
            group["office_hours"] = {"opens": "08:00:00", "closes": "16:00:00", "spread_minutes": 45}
        if generalise and draw(st.booleans()):
            group |= {"cloned": True, "generalise_on_day": draw(st.floats(0, 100))}
        groups.append(group)
    return scenario(
        days=260,
        seed=draw(st.integers(0, 1000)),
        host=[
            {
                "name": name,
                "outages": outages(),
                "activation_interval": draw(st.sampled_from([120, 600])),
                "renewal_interval": draw(st.sampled_from([1440, 10_080])),
            }
            for name in ("kms", "two")
        ],
        site=[
            {
                "name": "site",
                "srv": [{"host": "kms", "weight": 5}, {"host": "two", "weight": 5, "priority": 0 if chance else 1}],
                "outages": outages(),
                "loss": draw(st.sampled_from([0, 0, 0.2])) if chance else 0,
                "round_trip_seconds": draw(st.sampled_from([0, 0, 2])),
            }
        ],
        machines=groups,
    )


# A fleet is a large example: a failing one is not shrunk, which would take minutes.
BRIEFLY = settings(
    max_examples=15,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)


@given(fleets(generalise=False))
@BRIEFLY
def test_invariants_of_every_attempt_of_any_fleet(given_scenario: Scenario) -> None:
    last: dict[object, tuple[float, float]] = {}

    def watch(member: Member, now: float, outcome: Outcome) -> None:
        lab = member.lab
        if lab.status is LICENSED:
            assert lab.last_success is not None
            assert now - lab.last_success < 180 * DAY
        if member in last:
            before, interval = last[member]
            assert now - before >= interval - 1e-3, "asked again before its interval was over"
        waits = lab.renewal_interval if outcome.activated else lab.activation_interval
        last[member] = (now, waits * 60)

    fleet = Fleet(given_scenario, watch)
    result = fleet.run()
    for counts in result.counts.values():
        assert all(max(series) <= 50 for series in counts.values())
        assert max(counts.get("Office", [0])) <= 10
    present = [sum(values) for values in zip(*map(result.total, STATES), strict=True)]
    assert present[-1] == sum(member.counted is not None for member in fleet.members)
    assert min(present) >= 0
    assert result.attempts == sum(result.outcomes.values())


@given(fleets(chance=False))
@BRIEFLY
def test_passing_quickly_over_an_outage_changes_nothing(given_scenario: Scenario) -> None:
    # Without randomness, and with no two machines in phase, since the order of simultaneous events is undefined.
    quick = report_document(Fleet(given_scenario).run())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(World, "next_change", lambda self, now: now)
        slow = report_document(Fleet(given_scenario).run())
    assert quick == slow
