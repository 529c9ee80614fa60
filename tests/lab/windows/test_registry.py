"""The registry of a lab machine: writing its values, as Puppet does, sets the machine, and settings appear there."""

from __future__ import annotations

import pytest

from kmstwist.lab.machines.machine import MACHINE
from kmstwist.lab.windows.registry import KEY, RegistryError, entries, reg
from tests.lab.machines.conftest import Desk, desk, greenwich

__all__ = ["desk", "greenwich"]
SHORT = KEY.replace("HKEY_LOCAL_MACHINE", "HKLM")
OFFICE_APP = "0ff1ce15-a989-479d-af46-f275c6370663"


def test_what_is_added_sets_the_machine(desk: Desk) -> None:
    machine = desk.machine
    for name, kind, text in (
        ("KeyManagementServiceName", "REG_SZ", "kms9"),
        ("keymanagementserviceport", "REG_SZ", "1700"),
        ("KeyManagementServiceLookupDomain", "REG_SZ", "other.example"),
        ("VLActivationType", "REG_DWORD", "0x2"),
        ("DisableKeyManagementServiceHostCaching", "REG_DWORD", "1"),
    ):
        done = reg(machine, ["add", SHORT, "/v", name, "/t", kind, "/d", text, "/f"])
        assert done == ["The operation completed successfully."]
    assert str(machine.host_of(machine.licences[0])) == "kms9:1700"
    assert machine.lookup_domain_of(machine.licences[0]) == "other.example"
    assert machine.act_type_of(machine.licences[0]) == 2
    assert not machine.caching
    assert reg(machine, ["query", KEY]) == [
        "",
        KEY,
        "    KeyManagementServiceVersion    REG_SZ    10.0.26100.1",
        "    DisableKeyManagementServiceHostCaching    REG_DWORD    0x1",
        "    KeyManagementServiceName    REG_SZ    kms9",
        "    KeyManagementServicePort    REG_SZ    1700",
        "    KeyManagementServiceLookupDomain    REG_SZ    other.example",
        "    VLActivationType    REG_DWORD    0x2",
        "",
    ]
    for entry in entries(machine)[1:]:
        reg(machine, ["delete", KEY, "/v", entry.name, "/f"])
    assert machine.host_of(machine.licences[0]) is None
    assert machine.caching


def test_what_slmgr_and_ospp_set_is_in_the_registry(desk: Desk) -> None:
    desk.slmgr("/skms", "kms1:1700")
    desk.ospp("/sethst:kms2")
    office = desk.machine.licences[1]
    desk.slmgr("/act-type", "2", str(office.act_id))
    found = {(entry.below, entry.name): entry.text for entry in entries(desk.machine)}
    assert found["", "KeyManagementServiceName"] == "kms1"
    assert found[OFFICE_APP, "KeyManagementServiceName"] == "kms2"
    assert found[f"{OFFICE_APP}\\{office.act_id}", "VLActivationType"] == "0x2"
    below = reg(desk.machine, ["query", f"{SHORT}\\{OFFICE_APP}", "/s"])
    assert below.count(f"{KEY}\\{OFFICE_APP}") == 1
    assert len([line for line in below if line.startswith("    ")]) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["query", r"HKLM\SOFTWARE\Other"], "unable to find"),
        (["query", KEY, "/v", "KeyManagementServiceName"], "unable to find"),
        (["delete", KEY, "/v", "KeyManagementServiceName"], "unable to find"),
        (["add", KEY, "/v", "Other", "/d", "1"], "have no value Other"),
        (["add", KEY, "/v", "KeyManagementServicePort", "/d", "99999"], "not a TCP port"),
        (["add", KEY, "/v", "VLActivationType", "/d", "x"], "not a number"),
        (["frob", KEY], "Invalid syntax"),
        ([], "Invalid syntax"),
    ],
)
def test_what_is_not_there_or_means_nothing_is_refused(desk: Desk, words: list[str], said: str) -> None:
    with pytest.raises(RegistryError, match=said):
        reg(desk.machine, words)
    assert desk.machine.scope(MACHINE).host is None
