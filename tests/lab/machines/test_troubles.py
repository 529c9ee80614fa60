"""Troubles: each shows its code, and the cure that works on Windows ends it."""

from __future__ import annotations

import pytest

from kmstwist.kms.messages import LicenseStatus
from kmstwist.lab.machines.errors import Refused
from kmstwist.lab.machines.machine import Licence
from kmstwist.lab.machines.troubles import TROUBLES, afflict, relieve
from tests.lab.machines.conftest import Desk

from .conftest import DAY, WINDOWS


def trouble(desk: Desk, name: str) -> Licence:
    """Put the desk's Windows in a trouble, beside a host that would grant everything."""
    desk.fill(30)
    windows = desk.machine.licences[0]
    afflict(desk.machine, windows, TROUBLES[name], desk.now)
    return windows


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("not-bound", "Notification Reason: 0xC004F056."),
        ("not-genuine", "Notification Reason: 0xC004F200 (non-genuine)."),
        ("hardware-changed", "Notification Reason: 0xC004F00F."),
    ],
)
def test_a_notification_shows_its_reason(desk: Desk, name: str, reason: str) -> None:
    trouble(desk, name)
    shown = desk.slmgr("/dlv")
    assert shown[shown.index(reason) - 1] == "License Status: Notification"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("not-bound", 0xC004F056),
        ("host-not-activated", 0xC004F041),
        ("blocked-key", 0xC004C003),
        ("bad-dns-name", 0x8007007B),
    ],
)
def test_activation_fails_with_the_code_and_names_the_cure(desk: Desk, name: str, code: int) -> None:
    windows = trouble(desk, name)
    output = desk.run("/ato")
    assert output.code == code
    assert TROUBLES[name].cure in output.notes[0]
    assert windows.client.status is not LicenseStatus.LICENSED


def test_a_blocked_key_is_in_the_history_of_failures_and_another_key_cures_it(desk: Desk) -> None:
    trouble(desk, "blocked-key")
    desk.run("/ato")
    assert [event.number for event in desk.events] == [8200]
    history = desk.ospp("/dhistoryacterr")
    assert "MESSAGE: License acquisition failure details.hr=0xC004C003" in history
    desk.slmgr("/ipk", WINDOWS.gvlk)
    assert desk.slmgr("/ato")[-1] == "Product activated successfully."


def test_the_hosts_refusal_is_in_the_log(desk: Desk) -> None:
    trouble(desk, "host-not-activated")
    desk.run("/ato")
    assert [(event.number, event.fields[0]) for event in desk.events] == [(12288, "0xC004F041")]


@pytest.mark.parametrize(
    ("name", "said"),
    [("not-genuine", "within the non-genuine notification"), ("non-genuine-grace", "within the non-genuine grace")],
)
def test_a_copy_that_is_not_genuine_stays_so_whatever_the_host_grants(desk: Desk, name: str, said: str) -> None:
    windows = trouble(desk, name)
    before = windows.client.status, windows.client.expires
    desk.now += 60
    assert said in desk.slmgr("/ato")[-1]
    assert (windows.client.status, windows.client.expires) == before
    desk.slmgr("/ipk", WINDOWS.gvlk)
    assert desk.slmgr("/ato")[-1] == "Product activated successfully."


def test_grace_that_is_not_genuine_ends_in_notification(desk: Desk) -> None:
    trouble(desk, "non-genuine-grace")
    assert "License Status: Non-genuine grace period." in desk.slmgr("/dli")
    desk.now += 31 * DAY
    assert "Notification Reason: 0xC004F200 (non-genuine)." in desk.slmgr("/dli")


def test_a_host_set_by_hand_gets_round_a_bad_dns_name_and_activation_round_changed_hardware(desk: Desk) -> None:
    trouble(desk, "bad-dns-name")
    desk.slmgr("/skms", "kms")
    assert desk.slmgr("/ato")[-1] == "Product activated successfully."
    trouble(desk, "hardware-changed")
    assert desk.slmgr("/ato")[-1] == "Product activated successfully."
    assert desk.machine.licences[0].trouble == ""


def test_a_machine_for_tokens_only_is_set_free_by_the_activation_type(desk: Desk) -> None:
    trouble(desk, "token-only")
    assert "Token-based activation only" in desk.slmgr("/ato")[0]
    assert "Configured Activation Type: Token" in desk.slmgr("/dli")
    relieve(desk.machine, desk.machine.licences[0], desk.now)
    assert desk.slmgr("/ato")[-1] == "Product activated successfully."


def test_a_trouble_can_be_taken_away_and_needs_a_key(desk: Desk) -> None:
    windows = trouble(desk, "not-bound")
    relieve(desk.machine, windows, desk.now)
    assert windows.client.status is LicenseStatus.OOB_GRACE
    desk.slmgr("/upk")
    with pytest.raises(Refused, match="has no key"):
        trouble(desk, "not-genuine")


def test_ospp_shows_a_troubles_code_too(desk: Desk) -> None:
    office = desk.machine.licences[1]
    afflict(desk.machine, office, TROUBLES["not-genuine"], desk.now)
    lines = desk.ospp("/dstatus")
    at = lines.index("LICENSE STATUS:  ---NOTIFICATIONS--- ")
    assert lines[at + 1] == "ERROR CODE: 0xC004F200"
