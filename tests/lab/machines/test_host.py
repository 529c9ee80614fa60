"""slmgr on the lab host: settings that last, counters, its own key."""

from __future__ import annotations

from pathlib import Path

import pytest

from kmstwist.lab.host_settings import HostSettings
from kmstwist.lab.machines.errors import Refused
from kmstwist.lab.machines.session import Output
from kmstwist.lab.slmgr.host import HOST_ID, OFFICE_HOST_ID, HostSession, run
from kmstwist.lab.slmgr.options import OPTIONS, read
from kmstwist.lab.store import LabStore
from tests.lab.conftest import changes_of
from tests.lab.machines.conftest import Desk

from .conftest import OFFICE, START, WINDOWS

REBOOT = "Warning: a KMS reboot is needed for this setting to take effect."


@pytest.fixture
def session(desk: Desk) -> HostSession:
    desk.fill(30)
    desk.fill(4, OFFICE)
    return HostSession(desk.key, changes_of(desk.host), HostSettings(), START)


def output(session: HostSession, *words: str) -> Output:
    option, arguments, _ = read(words)
    return run(session, option, arguments)


def slmgr(session: HostSession, *words: str) -> list[str]:
    given = output(session, *words)
    assert given.code == 0
    return given.lines


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("/sai", "15"), "Volume activation interval set to 15 minutes successfully."),
        (("/sri", "43200"), "Volume renewal interval set to 43200 minutes successfully."),
        (("/sprt", "1700"), "KMS port set to 1700 successfully."),
        (("/cdns",), "DNS publishing disabled"),
        (("/sdns",), "DNS publishing enabled"),
        (("/cpri",), "KMS priority set to Low"),
        (("/spri",), "KMS priority set to Normal"),
    ],
)
def test_settings_are_taken_until_the_next_start(session: HostSession, words: tuple[str, ...], said: str) -> None:
    given = output(session, *words)
    assert given.lines == [said, REBOOT]
    assert "Start the lab again" in given.notes[0]


def test_settings_are_shown_and_beside_them_what_is_in_force(session: HostSession) -> None:
    for words in (("/sai", "15"), ("/sri", "43200"), ("/sprt", "1700"), ("/cdns",), ("/cpri",)):
        slmgr(session, *words)
    assert session.settings == HostSettings(15, 43_200, 1700, False, True)
    session.running = HostSettings(port=1688)
    given = output(session, "/dlv")
    for line in ("    Listening on Port: 1700", "    DNS publishing disabled", "    KMS priority: Low"):
        assert line in given.lines
    assert "The TCP port is 1700 (until the lab is started again: 1688)." in given.notes
    assert "The activation interval is 15 minutes." in given.notes
    assert not any("interval" in line for line in given.lines)


def test_the_host_is_shown_line_for_line_as_a_kms_host_and_says_that_it_is_the_labs(session: HostSession) -> None:
    shown = slmgr(session, "/dlv")
    installation = shown[8].removeprefix("Installation ID: ")
    assert len(installation) == 63
    assert shown == [
        "Software licensing service version: 10.0.26100.1",
        "",
        "Name: Windows(R), LAB-KMSHost edition",
        "Description: Windows(R) Operating System, VOLUME_KMS_LAB channel",
        f"Activation ID: {HOST_ID}",
        "Application ID: 55c92734-d682-4d71-983e-d6ec3f16059f",
        f"Extended PID: {session.key.host_id}",
        "Product Key Channel: Volume:CSVLK",
        f"Installation ID: {installation}",
        f"Partial Product Key: {session.key.host_key[-5:]}",
        "License Status: Licensed",
        "Remaining Windows rearm count: 1001",
        "Remaining SKU rearm count: 1001",
        "Trusted time: 1/5/2026",
        "",
        "Key Management Service is enabled on this machine",
        "    Current count: 30",
        "    Listening on Port: 1688",
        "    DNS publishing enabled",
        "    KMS priority: Normal",
        "",
        "Key Management Service cumulative requests received from clients",
        "    Total requests received: 34",
        "    Failed requests received: 0",
        "    Requests with License Status Unlicensed: 0",
        "    Requests with License Status Licensed: 0",
        "    Requests with License Status Initial grace period: 34",
        "    Requests with License Status License expired or Hardware out of tolerance: 0",
        "    Requests with License Status Non-genuine grace period: 0",
        "    Requests with License Status Notification: 0",
        "",
    ]
    assert session.key.host_id.startswith("LAB-")
    brief = slmgr(session, "/dli")
    assert brief[:5] == ["", *shown[2:4], *shown[9:11]]


def test_office_has_its_own_count(session: HostSession) -> None:
    assert "    Current count: 4" in slmgr(session, "/dlv", str(OFFICE_HOST_ID))
    counts = [line for line in slmgr(session, "/dli", "all") if "Current count" in line]
    assert counts == ["    Current count: 30", "    Current count: 4"]
    assert slmgr(session, "/dli", "x") == ["Error: product key not found."]


def test_a_lab_that_publishes_nothing_says_so_beside_its_setting(session: HostSession) -> None:
    session.running = HostSettings(publishes=False)
    given = output(session, "/dlv")
    assert "    DNS publishing enabled" in given.lines
    assert any("publishes nothing" in note for note in given.notes)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("/sai", "14"), "Error: 0x80070057 The parameter is incorrect"),
        (("/sri", "43201"), "Error: 0x80070057 The parameter is incorrect"),
        (("/sai", "x"), "Error: 13 Type mismatch (Microsoft VBScript runtime error)"),
        (("/sai", "-1"), "Error: The data is invalid"),
        (("/sprt", "0"), "Error: 0x80070057 The parameter is incorrect"),
        (("/sprt", "70000"), "Error: 0x80070057 The parameter is incorrect"),
    ],
)
def test_values_out_of_their_limits_are_refused(session: HostSession, words: tuple[str, str], said: str) -> None:
    assert output(session, *words).lines == [said]
    assert session.settings == HostSettings()


def test_the_host_takes_its_own_key_and_no_other(session: HostSession) -> None:
    assert session.key.host_key.startswith("LABHK-")
    assert slmgr(session, "/ipk", session.key.host_key)[0].endswith("successfully.")
    for key in (WINDOWS.gvlk, "AAAAA-BBBBB-CCCCC-DDDDD-EEEEE"):
        assert output(session, "/ipk", key).code == 0xC004F050
    assert slmgr(session, "/ato")[1] == "Product activated successfully."
    assert "permanently" in slmgr(session, "/xpr")[1]


def test_a_clients_options_are_refused_on_the_host(session: HostSession) -> None:
    clients = [option for option in OPTIONS.values() if option.name in ("skms", "rearm", "ckhc", "upk", "atp")]
    for option in clients:
        with pytest.raises(Refused, match="not its own client"):
            run(session, option, ["x"] * option.required)


def test_settings_last(tmp_path: Path) -> None:
    store = LabStore(tmp_path / "lab.sqlite")
    assert store.load_settings() == HostSettings()
    store.save_settings(HostSettings(renewal_interval=60, publishes=False))
    store.close()
    again = LabStore(tmp_path / "lab.sqlite")
    assert again.load_settings() == HostSettings(renewal_interval=60, publishes=False)
    again.close()
