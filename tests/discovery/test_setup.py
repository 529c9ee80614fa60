"""The printed commands against the documented options."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from kmstwist.addresses import HostPort
from kmstwist.discovery.client.setup import FORMS, Setup, SetupImpossible, office_folder, set_up
from kmstwist.kms.catalogue import Product, find, products
from tests.discovery.windows_options import is_ospp, is_slmgr, split_cmd, split_powershell

SERVER = find("Windows Server 2022 Standard")
OFFICE = find("Office LTSC Professional Plus 2021")
HOST = HostPort("kms.corp.example", 1688)


def calls(printed: str, form: str) -> list[tuple[str, list[str]]]:
    """The script and the arguments of every cscript line, in order."""
    split = split_cmd if form == "cmd" else split_powershell
    lines = [split(line) for line in printed.splitlines() if line.strip().startswith("cscript")]
    for line in lines:
        assert line[1] == "//nologo"
    return [(line[2], line[3:]) for line in lines]


WAYS: list[dict[str, Any]] = [
    {"host": HOST},
    {"host": HostPort("10.0.0.7", 1700)},
    {"host": HostPort("2001:db8::7", 1688)},
    {"domain": "corp.example"},
    {},
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("way", WAYS, ids=str)
def test_every_product_s_commands_are_documented_calls(way: dict[str, Any], form: str) -> None:
    for product in products():
        office = product.family == "Office"
        if office and ":" in str(getattr(way.get("host"), "host", "")):
            continue  # ospp takes no IPv6 address; its own test holds that
        found = calls(FORMS[form](set_up(product, **way)), form)
        assert len(found) >= 4
        for script, arguments in found:
            assert is_ospp(arguments) if office else is_slmgr(arguments), (product.name, arguments)
            assert ("ospp" in script.lower()) == office


@pytest.mark.parametrize(
    "wrong",
    [["/ipk"], ["/ipk", "W269N-WFGWX"], ["/skms", "2001:db8::7"], ["/skms:kms.test"], ["/ato", "now"], ["/nosuch"]],
)
def test_the_check_itself_refuses_what_slmgr_would(wrong: list[str]) -> None:
    assert not is_slmgr(wrong)


@pytest.mark.parametrize("wrong", [["/inpkey"], ["/act:now"], ["/sethst", "kms.test"], ["/setprt:x"], ["/nosuch:1"]])
def test_the_check_itself_refuses_what_ospp_would(wrong: list[str]) -> None:
    assert not is_ospp(wrong)


def arguments(setup: Setup) -> list[str]:
    return [" ".join(command.arguments) for command in setup.commands]


def test_windows_gets_its_key_then_the_host_then_is_activated() -> None:
    assert arguments(set_up(SERVER, HOST)) == [
        "/ipk VDYBN-27WPP-V4HQT-9VMD4-VMK7H",
        "/skms kms.corp.example:1688",
        "/ato",
        "/dlv",
    ]


def test_windows_with_discovery_forgets_the_host_before_the_domain_is_set() -> None:
    assert arguments(set_up(SERVER, domain="corp.example"))[1:3] == ["/ckms", "/skms-domain corp.example"]


def test_without_a_domain_one_set_earlier_is_forgotten() -> None:
    """It would stay in force, and the client would not look in its own domains."""
    assert arguments(set_up(SERVER))[1:4] == ["/ckms", "/ckms-domain", "/ato"]
    assert arguments(set_up(OFFICE))[1:4] == ["/remhst", "/ckms-domain", "/act"]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_forgets_a_domain_set_earlier(form: str) -> None:
    for product in (SERVER, OFFICE):
        found = [arguments for _, arguments in calls(FORMS[form](set_up(product)), form)]
        assert found.count(["/ckms-domain"]) == 1


def test_an_ipv6_host_is_written_in_brackets_for_slmgr() -> None:
    assert arguments(set_up(SERVER, HostPort("2001:db8::7", 1689)))[1] == "/skms [2001:db8::7]:1689"


def test_an_ipv6_host_for_office_is_refused_with_the_cure() -> None:
    with pytest.raises(SetupImpossible, match="AAAA"):
        set_up(OFFICE, HostPort("2001:db8::7", 1688))


def test_office_gets_its_key_then_host_and_port_then_is_activated() -> None:
    assert arguments(set_up(OFFICE, HostPort("kms.corp.example", 1700))) == [
        "/inpkey:FXYTK-NJJ8C-GB6DW-3DYQT-6F7TH",
        "/sethst:kms.corp.example",
        "/setprt:1700",
        "/act",
        "/dstatus",
    ]


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("Office Professional Plus 2010", "Office14"),
        ("Office Professional Plus 2013", "Office15"),
        ("Visio Standard 2016", "Office16"),
        ("Word 2019", "Office16"),
        ("Office LTSC Professional Plus 2024", "Office16"),
    ],
)
def test_the_office_folder_follows_from_the_version(name: str, folder: str) -> None:
    assert office_folder(name) == folder


def test_cmd_looks_for_32_bit_office_too() -> None:
    printed = FORMS["cmd"](set_up(OFFICE, HOST))
    assert r'set "OSPP=%ProgramFiles%\Microsoft Office\Office16\ospp.vbs"' in printed
    assert r'if not exist "%OSPP%" set "OSPP=%ProgramFiles(x86)%\Microsoft Office\Office16\ospp.vbs"' in printed


def test_powershell_quotes_what_it_would_read_as_its_own() -> None:
    printed = FORMS["powershell"](set_up(SERVER, HostPort("2001:db8::7", 1688)))
    assert "/skms '[2001:db8::7]:1688'" in printed


@pytest.mark.parametrize("product", [SERVER, OFFICE], ids=str)
@pytest.mark.parametrize("way", WAYS[:2] + WAYS[3:], ids=str)
def test_ansible_s_tasks_change_only_what_differs(way: dict[str, Any], product: Product) -> None:
    tasks = yaml.safe_load(FORMS["ansible"](set_up(product, **way)))
    *changing, asking = tasks
    assert asking["changed_when"] is False
    for task in changing:
        assert task["changed_when"] == "'kmstwist: changed' in kms_client.stdout"
        script = task["ansible.windows.win_shell"].splitlines()
        assert sum(line.startswith("if (") and line.endswith("{ exit 0 }") for line in script) == 1
        assert script[-2:] == ["if ($LASTEXITCODE) { exit $LASTEXITCODE }", "'kmstwist: changed'"]
        # ospp exits with status 0 even if it failed.
        if product is OFFICE:
            assert task["failed_when"] == "kms_client.rc != 0 or 'ERROR CODE' in kms_client.stdout"


def test_both_a_host_and_a_domain_are_refused() -> None:
    with pytest.raises(SetupImpossible, match="one of the two"):
        set_up(SERVER, HOST, "corp.example")
