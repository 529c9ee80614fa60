"""ospp on a lab machine: every option, and what goes wrong with it."""

from __future__ import annotations

import pytest

from kmstwist.addresses import HostPort
from kmstwist.kms.messages import LicenseStatus
from kmstwist.lab.machines.errors import Refused
from kmstwist.lab.machines.phone import confirmation_id
from kmstwist.lab.ospp.client import _COMMANDS, NO_KEYS
from kmstwist.lab.ospp.options import OPTIONS, elsewhere, read
from kmstwist.lab.products import activation_id

from .conftest import DAY, OFFICE, WINDOWS

OFFICE_ID = str(activation_id(OFFICE.name))


def test_every_option_of_the_published_table_is_there() -> None:
    published = (
        "act inpkey unpkey inslic dstatus dstatusall dhistoryacterr dinstid actcid rearm ddescr dhistorykms dcmid "
        "sethst setprt remhst cachst actype skms-domain ckms-domain"
    )
    assert set(OPTIONS) == set(published.split()) == set(_COMMANDS) | {"act"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "ospp needs an option"),
        (["/dstatsu"], "Did you mean /dstatus"),
        (["/inpkey"], "/inpkey needs a value: ospp /inpkey:KEY"),
        (["/act:now"], "/act takes no value"),
        (["/act", "/dstatus"], "one option at a time"),
    ],
)
def test_a_line_that_ospp_would_not_take_is_refused(words, said) -> None:
    with pytest.raises(Refused) as caught:
        read(words)
    assert said in str(caught.value)


def test_another_computer_stands_after_the_option_with_or_without_a_user() -> None:
    assert elsewhere(["/act"]) == (None, ["/act"])
    assert elsewhere(["/act", "PC2"]) == ("PC2", ["/act"])
    assert elsewhere(["/inpkey:KEY", "PC2", "admin", "secret"]) == ("PC2", ["/inpkey:KEY"])
    with pytest.raises(Refused, match="a user needs a password"):
        elsewhere(["/act", "PC2", "admin"])


def test_act_activates_office_and_not_windows(desk) -> None:
    desk.fill(4, OFFICE)
    printed = desk.ospp("/act")
    assert "<Product activation successful>" in printed.lines
    assert printed.failed is None
    windows, office = desk.machine.licences
    assert (windows.client.status, office.client.status) == (LicenseStatus.OOB_GRACE, LicenseStatus.LICENSED)
    assert printed.lines[0].startswith("---Processing--")
    assert printed.lines[-1].startswith("---Exiting--")


def test_act_fails_with_code_and_description_and_names_the_history(desk) -> None:
    desk.up = set()
    printed = desk.ospp("/act")
    assert printed.failed == 0xC004F074
    assert "ERROR CODE: 0xC004F074" in printed.lines
    assert any("/dhistorykms" in line for line in printed.lines)
    history = desk.ospp("/dhistorykms").lines
    assert any(line.startswith("0x800706BA,0x00000000,kms:1688,") for line in history)


def test_history_holds_office_only(desk) -> None:
    desk.fails("/ato")
    assert any("no Office product has asked" in line for line in desk.ospp("/dhistorykms").lines)
    assert any("No MAK or Retail" in line for line in desk.ospp("/dhistoryacterr").lines)


def test_dstatus_shows_installed_keys_and_dstatusall_all_licences(desk) -> None:
    lines = desk.ospp("/dstatus").lines
    for line in (
        f"SKU ID: {OFFICE_ID}",
        f"LICENSE NAME: {OFFICE.name}",
        "LICENSE STATUS:  ---OOB_GRACE--- ",
        "REMAINING GRACE: 30 days  (43200 minute(s) before expiring)",
        "Last 5 characters of installed product key: 6F7TH",
        "\tKMS host caching: Enabled",
    ):
        assert line in lines
    assert not any(WINDOWS.name in line for line in lines)
    assert "<Product key uninstall successful>" in desk.ospp("/unpkey:6f7th").lines
    assert NO_KEYS in desk.ospp("/dstatus").lines
    assert "LICENSE STATUS:  ---UNLICENSED--- " in desk.ospp("/dstatusall").lines
    assert NO_KEYS in desk.ospp("/act").lines
    assert desk.ospp("/unpkey:6F7TH").failed == 0xC004F014


def test_notification_mode_is_shown_with_its_code(desk) -> None:
    desk.now += 31 * DAY
    lines = desk.ospp("/dstatus").lines
    assert "LICENSE STATUS:  ---NOTIFICATIONS--- " in lines
    assert "ERROR CODE: 0xC004F009" in lines


def test_keys_are_the_published_ones_of_the_installed_office(desk) -> None:
    assert desk.ospp("/inpkey:AAAAA-BBBBB-CCCCC-DDDDD-EEEEE").failed == 0xC004F050
    assert desk.ospp(f"/inpkey:{WINDOWS.gvlk}").failed == 0xC004F069
    assert "<Product key installation successful>" in desk.ospp(f"/inpkey:{OFFICE.gvlk}").lines
    with pytest.raises(Refused, match="last five characters"):
        desk.ospp("/unpkey:ABC")


def test_the_host_is_offices_own(desk) -> None:
    desk.ospp("/sethst:kms2.corp.example")
    desk.ospp("/setprt:1700")
    desk.ospp("/act")
    desk.fails("/ato")
    assert desk.asked == [HostPort("kms2.corp.example", 1700), HostPort("kms", 1688)]
    shown = desk.ospp("/dstatus").lines
    assert "\tKMS machine registry override defined: kms2.corp.example:1700" in shown
    assert "\tDNS auto-discovery: KMS name not available" in shown
    desk.ospp("/remhst")
    desk.ospp("/act")
    assert desk.asked[-1] == HostPort("kms", 1688)
    with pytest.raises(Refused, match="/setprt:1800"):
        desk.ospp("/sethst:kms:1800")
    with pytest.raises(Refused, match="/setprt:1800"):
        desk.ospp("/sethst:[::1]:1800")
    with pytest.raises(Refused, match="TCP port"):
        desk.ospp("/setprt:0")
    with pytest.raises(Refused, match="no host name"):
        desk.ospp("/sethst:a b")


def test_settings_of_discovery_and_type(desk) -> None:
    office = desk.machine.licences[1]
    desk.ospp("/skms-domain:other.example")
    assert desk.machine.lookup_domain_of(office) == "other.example"
    assert desk.machine.lookup_domain_of(desk.machine.licences[0]) is None
    assert "\tKMS SRV record lookup domain: other.example" in desk.ospp("/dstatus").lines
    desk.ospp("/ckms-domain")
    assert desk.machine.lookup_domain_of(office) is None
    desk.ospp("/actype:1")
    assert desk.ospp("/act").failed == 0xC004F081
    desk.ospp("/actype:2")
    desk.fill(10, OFFICE)
    assert desk.ospp("/act").failed is None
    desk.ospp("/cachst:FALSE")
    assert desk.machine.cached is None
    assert not desk.machine.caching
    desk.ospp("/cachst:true")
    for word in ("/cachst:maybe", "/actype:3", "/skms-domain:a b"):
        with pytest.raises(Refused):
            desk.ospp(word)


def test_telephone_activation(desk) -> None:
    installation = next(line for line in desk.ospp("/dinstid").lines if line.startswith("LAB-"))
    assert desk.ospp("/actcid:" + confirmation_id(desk.key, "LAB" + installation[3:].replace("-", ""))).failed is None
    assert "LICENSE STATUS:  ---LICENSED--- " in desk.ospp("/dstatus").lines
    other = confirmation_id(desk.key, desk.slmgr("/dti")[0].removeprefix("Installation ID: "))
    assert desk.ospp("/actcid:" + other).failed == 0xC004F031
    assert desk.ospp("/actcid:1").failed == 0xC004F02F


def test_rearm_of_all_or_one_until_none_is_left(desk) -> None:
    assert "<Office rearm successful>" in desk.ospp("/rearm").lines
    desk.ospp(f"/rearm:{OFFICE_ID.upper()}")
    desk.ospp(f"/rearm:{{{OFFICE_ID}}}")
    assert desk.ospp("/rearm").failed == 0xC004D307
    with pytest.raises(Refused, match="No installed key belongs"):
        desk.ospp("/rearm:abc")


def test_codes_are_described_and_the_cmid_is_shown(desk) -> None:
    assert any("insufficient" in line for line in desk.ospp("/ddescr:0xC004F038").lines)
    assert any("No description" in line for line in desk.ospp("/ddescr:0x12345678").lines)
    with pytest.raises(Refused, match="no status code"):
        desk.ospp("/ddescr:what")
    assert f"Client Machine ID (CMID): {desk.machine.cmid}" in desk.ospp("/dcmid").lines


def test_a_licence_file_brings_office_products_only(desk, tmp_path) -> None:
    file = tmp_path / "lic.txt"
    file.write_text("Visio LTSC Professional 2021\n")
    desk.ospp(f"/inslic:{file}")
    assert desk.machine.licences[-1].product.name == "Visio LTSC Professional 2021"
    file.write_text("Windows Server 2022 Standard\n")
    with pytest.raises(Refused, match="no Office product"):
        desk.ospp(f"/inslic:{file}")
