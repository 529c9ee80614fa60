"""slmgr on a lab machine: every option, and what goes wrong with it."""

from __future__ import annotations

import pytest

from kmstwist.addresses import HostPort
from kmstwist.kms.catalogue import OFFICE as OFFICE_APP
from kmstwist.kms.catalogue import WINDOWS as WINDOWS_APP
from kmstwist.kms.catalogue import find
from kmstwist.kms.messages import LicenseStatus
from kmstwist.lab.machines.errors import Published, Refused
from kmstwist.lab.machines.locating import LocateFailed
from kmstwist.lab.machines.machine import MACHINE, Machine
from kmstwist.lab.machines.phone import confirmation_id
from kmstwist.lab.products import activation_id
from kmstwist.lab.slmgr.client import _COMMANDS
from kmstwist.lab.slmgr.options import OPTIONS, elsewhere, read, usage

from .conftest import DAY, OFFICE, START, WINDOWS

WINDOWS_ID = str(activation_id(WINDOWS.name))
OFFICE_ID = str(activation_id(OFFICE.name))


def test_every_option_of_the_published_table_is_there() -> None:
    published = (
        "ipk ato dli dlv xpr cpky ilc rilc rearm rearm-app rearm-sku upk dti atp skms skms-domain ckms skhc ckhc "
        "sai sri sprt sdns cdns spri cpri act-type"
    )
    # The table leaves /ckms-domain out, which the tool has.
    assert set(OPTIONS) == {*published.split(), "ckms-domain"}
    assert set(_COMMANDS) | {"ato"} == {name for name, option in OPTIONS.items() if not option.host_only}
    assert all(f"/{name}" in usage() for name in OPTIONS)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "slmgr needs an option"),
        (["/sia"], "Unrecognized option: /sia. Did you mean /s"),
        (["ato"], "Unrecognized option: ato. Did you mean /ato?"),
        (["/qqq"], "Unrecognized option: /qqq.\n  /ipk KEY"),
        (["/ipk"], "/ipk needs more: slmgr /ipk KEY"),
        (["/skhc", "yes"], "takes no 'yes'"),
        (["/ckms", "/ato"], "one option at a time"),
    ],
)
def test_a_line_that_slmgr_would_not_take_is_refused(words, said) -> None:
    with pytest.raises(Refused) as caught:
        read(words)
    assert said in str(caught.value)


def test_options_are_taken_in_any_case_and_with_a_hyphen() -> None:
    assert read(["-ATO"])[0] is read(["/ato"])[0] is OPTIONS["ato"]


def test_another_computer_stands_before_the_option_with_or_without_a_user() -> None:
    assert elsewhere(["/ato", WINDOWS_ID]) == (None, ["/ato", WINDOWS_ID])
    assert elsewhere(["PC2", "/ato"]) == ("PC2", ["/ato"])
    assert elsewhere(["PC2", "admin", "secret", "-dlv", "all"]) == ("PC2", ["-dlv", "all"])
    assert elsewhere(["ato"]) == (None, ["ato"])
    with pytest.raises(Refused, match=r"a user needs a password: slmgr \[COMPUTER \[USER PASSWORD\]\] /OPTION"):
        elsewhere(["PC2", "admin", "/ato"])
    with pytest.raises(Refused, match="'more' is too much"):
        elsewhere(["PC2", "admin", "secret", "more", "/ato"])


def test_ato_that_fails_says_first_what_it_began(desk) -> None:
    with pytest.raises(Published) as caught:
        desk.slmgr("/ato")
    assert caught.value.before == (f"Activating {WINDOWS.name} ({WINDOWS_ID}) ...",)


def test_ato_that_reached_nobody_says_where_its_attempts_are(desk) -> None:
    desk.up = set()
    with pytest.raises(Published) as caught:
        desk.slmgr("/ato")
    assert "kmstwist lab events PC1" in caught.value.more


def test_ato_licenses_the_machine_and_logs_both_events(desk) -> None:
    desk.fill(24)
    assert desk.slmgr("/ato") == [f"Activating {WINDOWS.name} ({WINDOWS_ID}) ...", "Product activated successfully."]
    assert desk.machine.licences[0].client.status is LicenseStatus.LICENSED
    assert [event.number for event in desk.events] == [12288, 12289]
    assert desk.events[0].info == (
        f"0x00000000,0x00000000,kms:1688,00000000-0000-0000-0000-00000000004d,2026/1/5 00:00,1,2,43200,{WINDOWS_ID},25"
    )
    assert desk.events[1].info == "0x00000000,0x00000000,1,0,25,120,10080,2026/1/5 00:00"


def test_a_count_that_is_too_small_is_the_published_error_and_is_logged(desk) -> None:
    assert desk.fails("/ato") == 0xC004F038
    assert desk.events[1].info == "0xC004F038,0x00000000,0,0,1,120,10080,2026/1/5 00:00"
    assert desk.machine.cached is None


def test_the_host_that_worked_is_remembered_until_it_is_away(desk) -> None:
    desk.fill(30)
    desk.slmgr("/ato")
    assert desk.machine.cached == HostPort("kms", 1688)
    desk.found = [HostPort("other", 1700)]
    desk.up = {"other"}
    desk.slmgr("/ato")
    assert desk.asked == [HostPort("kms", 1688), HostPort("kms", 1688), HostPort("other", 1700)]
    assert desk.machine.cached == HostPort("other", 1700)
    assert desk.events[2].info.startswith("0x800706BA,0x00000000,kms:1688,")


def test_without_caching_dns_is_asked_each_time(desk) -> None:
    desk.fill(30)
    assert desk.slmgr("/ckhc") == ["KMS host caching is disabled"]
    desk.slmgr("/ato")
    assert desk.machine.cached is None
    assert desk.slmgr("/skhc") == ["KMS host caching is enabled"]
    desk.slmgr("/ato")
    assert desk.machine.cached is not None


def test_a_host_set_by_hand_is_asked_and_no_other(desk) -> None:
    assert desk.slmgr("/skms", "[2001:db8::1]:1700") == [
        "Key Management Service machine name set to [2001:db8::1]:1700 successfully."
    ]
    assert desk.fails("/ato") == 0xC004F074
    assert desk.asked == [HostPort("2001:db8::1", 1700)]
    assert "Registered KMS machine name: [2001:db8::1]:1700" in "\n".join(desk.slmgr("/dli"))
    desk.slmgr("/skms", "kms")
    desk.slmgr("/skms", ":1800")
    desk.fails("/ato")
    assert desk.asked[-1] == HostPort("kms", 1800)
    desk.slmgr("/ckms")
    desk.fails("/ato")
    assert desk.asked[-1] == HostPort("kms", 1688)


def test_a_host_can_be_set_for_one_product(desk) -> None:
    desk.slmgr("/skms", "office-kms", OFFICE_ID)
    desk.fails("/ato", OFFICE_ID)
    desk.fails("/ato")
    assert desk.asked == [HostPort("office-kms", 1688), HostPort("kms", 1688)]
    desk.slmgr("/ckms", OFFICE_ID)
    desk.fails("/ato", OFFICE_ID)
    assert desk.asked[-1] == HostPort("kms", 1688)


def test_a_port_is_the_one_given_however_it_is_written(desk) -> None:
    desk.slmgr("/skms", "127.0.0.1:023001")
    desk.fails("/ato")
    assert desk.asked == [HostPort("127.0.0.1", 23001)]
    desk.slmgr("/skms", "[::1]:01700")
    desk.slmgr("/skms", "fe80::1688")
    assert desk.machine.scope(MACHINE).port is None


def test_a_bad_host_is_told_what_is_bad(desk) -> None:
    with pytest.raises(Refused, match=r"':99999': the port must be a number"):
        desk.slmgr("/skms", ":99999")
    with pytest.raises(Refused, match="no host name"):
        desk.slmgr("/skms", "-bad-")


def test_the_lookup_domain_is_told_and_warned_about_where_a_host_is_set(desk) -> None:
    assert len(desk.slmgr("/skms-domain", "Other.Example.")) == 1
    assert desk.machine.lookup_domain_of(desk.machine.licences[0]) == "other.example"
    overridden = "Warning: /skms setting overrides the /skms-domain setting. kms:1688 will be used for activation."
    assert desk.slmgr("/skms", "kms")[1:] == [overridden]
    assert desk.slmgr("/skms-domain", "other.example")[1:] == [overridden]
    in_effect = "Warning: /skms-domain setting is in effect. other.example will be used for DNS SRV record lookup."
    assert desk.slmgr("/ckms")[1:] == [in_effect]
    desk.slmgr("/skms", "kms:1700")
    assert desk.slmgr("/ckms-domain") == [
        "Key Management Service lookup domain cleared successfully.",
        "Warning: /skms setting is in effect. kms:1700 will be used for activation.",
    ]
    assert desk.machine.lookup_domain_of(desk.machine.licences[0]) is None
    assert len(desk.slmgr("/ckms")) == len(desk.slmgr("/ckms-domain")) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a b", "'a b' is not a DNS domain"),
        ("corp.example:99", "'example:99' may hold only letters"),
        ("[::1]", "may hold only letters"),
        ("::1", "'::1' is no DNS domain, but an address"),
        ("10.0.0.1", "'10.0.0.1' is no DNS domain, but an address"),
    ],
)
def test_what_is_no_domain_is_refused_by_both_tools(desk, text, said) -> None:
    for refusing in (lambda: desk.slmgr("/skms-domain", text), lambda: desk.ospp(f"/skms-domain:{text}")):
        with pytest.raises(Refused) as caught:
            refusing()
        assert said in str(caught.value)


def test_an_internationalised_domain_is_kept_as_dns_has_it(desk) -> None:
    windows, office = desk.machine.licences
    desk.slmgr("/skms-domain", "Bücher.example.")
    assert desk.machine.lookup_domain_of(windows) == "xn--bcher-kva.example"
    desk.ospp("/skms-domain:BÜCHER.example")
    assert desk.machine.lookup_domain_of(office) == "xn--bcher-kva.example"


def test_discovery_that_fails_is_the_code_windows_shows(desk) -> None:
    desk.found = LocateFailed(0x8007232B, "_vlmcs._tcp.corp.example does not exist")
    assert desk.fails("/ato") == 0x8007232B
    assert desk.events == []
    assert desk.machine.licences[0].client.next_attempt == START + 7200


@pytest.mark.parametrize(("act_type", "code"), [("1", 0xC004F081), ("3", 0xC004F016)])
def test_other_ways_to_activate_are_not_there_in_the_lab(desk, act_type, code) -> None:
    assert desk.slmgr("/act-type", act_type) == ["Volume activation type set successfully."]
    assert desk.fails("/ato") == code
    desk.fill(30)
    assert desk.slmgr("/act-type") == ["Volume activation type set successfully."]
    desk.slmgr("/ato")
    with pytest.raises(Refused, match="no activation type"):
        desk.slmgr("/act-type", "9")


def test_only_the_published_client_key_of_the_installed_edition_is_taken(desk) -> None:
    assert desk.fails("/ipk", "12345") == 0xC004F050
    assert desk.fails("/ipk", "AAAAA-BBBBB-CCCCC-DDDDD-EEEEE") == 0xC004F050
    assert desk.fails("/ipk", find("Windows 11 / 10 Pro").gvlk) == 0xC004F069
    with pytest.raises(Refused, match="lab's own host key"):
        desk.slmgr("/ipk", desk.key.host_key)
    desk.now += 10 * DAY
    assert desk.slmgr("/ipk", WINDOWS.gvlk.lower()) == [f"Installed product key {WINDOWS.gvlk} successfully."]
    assert desk.machine.licences[0].client.minutes_left(desk.now) == 43_200


def test_without_a_key_a_product_is_unlicensed(desk) -> None:
    assert desk.slmgr("/upk") == ["Uninstalled product key successfully."]
    assert desk.fails("/ato") == desk.fails("/upk") == desk.fails("/dti") == 0xC004F014
    shown = desk.slmgr("/dlv")
    assert "License Status: Unlicensed" in shown
    assert "This license is not in use." in shown
    assert desk.slmgr("/xpr")[1].strip() == "Unlicensed"


def test_xpr_tells_how_each_state_ends(desk) -> None:
    assert desk.slmgr("/xpr")[1].strip() == "Initial grace period ends 02/04/2026 00:00:00 UTC"
    desk.fill(30)
    desk.slmgr("/ato")
    assert desk.slmgr("/xpr")[1].strip() == "Volume activation will expire 07/04/2026 00:00:00 UTC"
    desk.now = START + 181 * DAY
    assert desk.slmgr("/xpr")[1].strip() == "Additional grace period ends 08/03/2026 00:00:00 UTC"
    desk.now = START + 211 * DAY
    assert desk.slmgr("/xpr")[1].strip() == "Windows is in Notification mode"
    assert "Notification Reason: 0xC004F009 (grace time expired)." in desk.slmgr("/dli")


def test_dli_and_dlv_show_the_licence_in_the_familiar_shape(desk) -> None:
    desk.fill(30)
    desk.slmgr("/ato")
    brief, detailed = desk.slmgr("/dli"), desk.slmgr("/dlv")
    for line in (
        f"Name: {WINDOWS.name}",
        "Partial Product Key: 2YT43",
        "License Status: Licensed",
        "Volume activation expiration: 259200 minute(s) (180 day(s))",
        "    KMS machine name from DNS: kms:1688",
        f"    KMS machine extended PID: {desk.host.host_id}",
        "    Renewal interval: 10080 minutes",
    ):
        assert line in brief
        assert line in detailed
    assert f"Activation ID: {WINDOWS_ID}" in detailed
    assert "Remaining Windows rearm count: 3" in detailed
    assert f"Activation ID: {OFFICE_ID}" in desk.slmgr("/dlv", "All")
    with pytest.raises(Refused, match="This machine has: "):
        desk.slmgr("/dlv", "55c92734-d682-4d71-983e-d6ec3f16059f")


def test_rearm_begins_grace_anew_under_a_new_cmid_three_times(desk) -> None:
    desk.fill(30)
    desk.slmgr("/ato")
    for _ in range(3):
        assert desk.slmgr("/rearm")[0] == "Command completed successfully."
    assert desk.machine.licences[0].client.status is LicenseStatus.OOB_GRACE
    assert desk.machine.cmid.int >= 1000
    assert desk.fails("/rearm") == 0xC004D307


def test_rearm_of_an_application_or_a_product_leaves_the_others_alone(desk) -> None:
    desk.fill(30)
    desk.slmgr("/ato")
    desk.now += DAY
    desk.slmgr("/rearm-app", str(OFFICE_APP))
    desk.slmgr("/rearm-sku", OFFICE_ID)
    windows, office = desk.machine.licences
    assert (windows.client.status, office.rearms_left) == (LicenseStatus.LICENSED, 1)
    assert office.client.minutes_left(desk.now) == 43_200
    assert windows.client.cmid == office.client.cmid == desk.machine.cmid
    desk.slmgr("/rearm-app", str(WINDOWS_APP))
    assert desk.machine.rearms_left == 2
    desk.slmgr("/rearm-sku", OFFICE_ID)
    assert desk.fails("/rearm-sku", OFFICE_ID) == 0xC004D307
    with pytest.raises(Refused, match="no application id"):
        desk.slmgr("/rearm-app", "office")
    with pytest.raises(Refused, match="No product here belongs"):
        desk.slmgr("/rearm-app", OFFICE_ID)


def test_telephone_activation_lasts_and_its_ids_are_checked(desk) -> None:
    installation = desk.slmgr("/dti")[0].removeprefix("Installation ID: ")
    assert installation.startswith("LAB-")
    confirmation = confirmation_id(desk.key, installation)
    assert desk.fails("/atp", "ABC") == 0xC004F02C
    assert desk.fails("/atp", "123456") == 0xC004F02F
    wrong = confirmation[:-1] + str((int(confirmation[-1]) + 1) % 10)
    assert desk.fails("/atp", wrong) == 0xC004F04D
    assert desk.fails("/atp", confirmation, OFFICE_ID) == 0xC004F031
    assert desk.slmgr("/atp", confirmation.replace("-", " ")) == [
        f"Confirmation ID for product {WINDOWS_ID} deposited successfully."
    ]
    desk.now += 1000 * DAY
    assert desk.slmgr("/xpr")[1].strip() == "The machine is permanently activated."
    desk.slmgr("/ipk", WINDOWS.gvlk)
    assert desk.fails("/atp", confirmation) == 0xC004F031


def test_a_key_cleared_from_the_registry_still_activates(desk) -> None:
    desk.fill(30)
    assert desk.slmgr("/cpky") == ["Product key from registry cleared successfully."]
    assert not desk.machine.key_in_registry
    desk.slmgr("/ato")


def test_licence_files_of_the_lab_bring_products(desk, tmp_path) -> None:
    file = tmp_path / "visio.txt"
    file.write_text("# the lab's\nVisio LTSC Professional 2021\n")
    assert desk.slmgr("/ilc", str(file)) == [f"License file {file} installed successfully."]
    desk.slmgr("/ilc", str(file))
    assert [licence.product.name for licence in desk.machine.licences][2:] == ["Visio LTSC Professional 2021"]
    assert desk.slmgr("/rilc")[-1] == "License files re-installed successfully."
    # As Notepad saves it.
    file.write_bytes(b"\xef\xbb\xbfProject Professional 2021\r\n")
    desk.slmgr("/ilc", str(file))
    assert len(desk.machine.licences) == 4
    file.write_text("<xrm>\n")
    with pytest.raises(Refused, match=r'no lab licence file: the catalogue has no product "<xrm>"\.$'):
        desk.slmgr("/ilc", str(file))
    file.write_text("Visio LTSC Profesional 2021\n")
    with pytest.raises(Refused, match=r"did you mean .*[^.]\?$"):
        desk.slmgr("/ilc", str(file))
    with pytest.raises(Refused, match="There is no file"):
        desk.slmgr("/ilc", str(tmp_path / "none"))


@pytest.mark.parametrize("words", [("/sai", "60"), ("/sri", "60"), ("/sprt", "1"), ("/sdns",), ("/cpri",)])
def test_the_hosts_options_need_a_host(desk, words) -> None:
    assert desk.fails(*words) == 0xC004F039


def test_a_machine_without_windows_says_so(desk) -> None:
    desk.machine = Machine("EMPTY", desk.machine.cmid, START)
    with pytest.raises(Refused, match="has no Windows"):
        desk.slmgr("/ato")
    with pytest.raises(Refused, match="has no product"):
        desk.slmgr("/dli", "all")
    with pytest.raises(Refused, match="no licence to reinstall"):
        desk.slmgr("/rilc")


def test_after_a_change_of_edition_slmgr_acts_on_the_windows_that_has_the_key(desk, tmp_path) -> None:
    standard, datacenter = (find(f"Windows Server 2022 {edition}") for edition in ("Standard", "Datacenter"))
    desk.machine.licences.clear()
    desk.machine.install_key(desk.machine.add_product(standard, START), START)
    file = tmp_path / "datacenter.txt"
    file.write_text(f"{datacenter.name}\n")
    desk.slmgr("/ilc", str(file))
    assert f"Name: {standard.name}" in desk.slmgr("/dli")
    desk.slmgr("/ipk", datacenter.gvlk)
    old, new = desk.machine.licences
    assert (old.partial_key, old.client.status) == (None, LicenseStatus.UNLICENSED)
    assert new.partial_key == datacenter.gvlk[-5:]
    desk.fill(5, datacenter)
    assert desk.slmgr("/ato")[0].startswith(f"Activating {datacenter.name} (")
    assert new.client.status is LicenseStatus.LICENSED
    assert f"Name: {datacenter.name}" in desk.slmgr("/dli")
    desk.slmgr("/ipk", standard.gvlk)
    assert desk.slmgr("/xpr")[0] == f"{standard.name}:"
    desk.slmgr("/upk")
    assert [licence.partial_key for licence in desk.machine.licences] == [None, None]
    assert desk.fails("/ato") == 0xC004F014


def test_a_key_for_windows_leaves_offices_alone(desk) -> None:
    desk.slmgr("/ipk", WINDOWS.gvlk)
    assert all(licence.partial_key is not None for licence in desk.machine.licences)
