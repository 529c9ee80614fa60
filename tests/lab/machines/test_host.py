"""slmgr on the lab host: settings that last, counters, its own key."""

from __future__ import annotations

import pytest

from kmstwist.lab.machines.errors import Published, Refused
from kmstwist.lab.slmgr.host import HostSession, run
from kmstwist.lab.slmgr.options import OPTIONS, read
from kmstwist.lab.store import HostSettings, LabStore

from .conftest import OFFICE, START, WINDOWS


@pytest.fixture
def session(desk) -> HostSession:
    desk.fill(30)
    desk.fill(4, OFFICE)
    return HostSession(desk.key, desk.host.take_changes(), HostSettings(), START)


def slmgr(session, *words: str) -> list[str]:
    return run(session, *read(words))


def test_settings_are_taken_and_shown(session) -> None:
    for words in (("/sai", "15"), ("/sri", "43200"), ("/sprt", "1700"), ("/cdns",), ("/cpri",)):
        assert "start the lab again" in slmgr(session, *words)[1]
    assert session.settings == HostSettings(15, 43_200, 1700, False, True)
    shown = slmgr(session, "/dlv")
    for line in (
        "    Listening on Port: 1700",
        "    DNS publishing disabled",
        "    KMS priority: Low",
        "    Activation interval: 15 minutes",
        "    Renewal interval: 43200 minutes",
    ):
        assert line in shown
    slmgr(session, "/sdns")
    slmgr(session, "/spri")
    assert (session.settings.publishes, session.settings.low_priority) == (True, False)


@pytest.mark.parametrize("option", ["/dli", "/dlv"])
def test_counts_and_counters_are_shown(session, option) -> None:
    shown = slmgr(session, option)
    assert "    Current count: 30 (Windows)" in shown
    assert "    Current count: 4 (Office)" in shown
    assert "    Total requests received: 34" in shown
    assert "    Requests with License Status Initial grace period: 34" in shown


def test_a_lab_that_publishes_nothing_does_not_claim_to(session) -> None:
    assert "    DNS publishing enabled" in slmgr(session, "/dlv")
    session.running = HostSettings(publishes=False)
    [line] = [line for line in slmgr(session, "/dlv") if "DNS publishing" in line]
    assert "publishes nothing" in line


@pytest.mark.parametrize(
    "words", [("/sai", "14"), ("/sri", "43201"), ("/sai", "x"), ("/sprt", "0"), ("/sprt", "70000")]
)
def test_values_out_of_their_limits_are_refused(session, words) -> None:
    with pytest.raises(Refused, match=words[0]):
        slmgr(session, *words)
    assert session.settings == HostSettings()


def test_the_host_takes_its_own_key_and_no_other(session) -> None:
    assert session.key.host_key.startswith("LABHK-")
    assert slmgr(session, "/ipk", session.key.host_key)[0].endswith("successfully.")
    for key in (WINDOWS.gvlk, "AAAAA-BBBBB-CCCCC-DDDDD-EEEEE"):
        with pytest.raises(Published) as caught:
            slmgr(session, "/ipk", key)
        assert caught.value.code == 0xC004F050
    assert slmgr(session, "/ato")[1] == "Product activated successfully."
    assert "permanently" in slmgr(session, "/xpr")[1]


def test_a_clients_options_are_refused_on_the_host(session) -> None:
    clients = [option for option in OPTIONS.values() if option.name in ("skms", "rearm", "ckhc", "upk", "atp")]
    for option in clients:
        with pytest.raises(Refused, match="not its own client"):
            run(session, option, ["x"] * option.required)


def test_settings_last(tmp_path) -> None:
    store = LabStore(tmp_path / "lab.sqlite")
    assert store.load_settings() == HostSettings()
    store.save_settings(HostSettings(renewal_interval=60, publishes=False))
    store.close()
    again = LabStore(tmp_path / "lab.sqlite")
    assert again.load_settings() == HostSettings(renewal_interval=60, publishes=False)
    again.close()
