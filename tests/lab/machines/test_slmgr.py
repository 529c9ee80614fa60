"""slmgr on a lab machine: every option, and what goes wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from kmstwist.addresses import HostPort
from kmstwist.kms.catalogue import OFFICE as OFFICE_APP
from kmstwist.kms.catalogue import WINDOWS as WINDOWS_APP
from kmstwist.kms.catalogue import find
from kmstwist.kms.labids import activation_id
from kmstwist.kms.messages import LicenseStatus
from kmstwist.lab.machines.locating import LocateFailed
from kmstwist.lab.machines.machine import MACHINE, Machine
from kmstwist.lab.machines.phone import confirmation_id
from kmstwist.lab.machines.session import Misused
from kmstwist.lab.slmgr.client import _COMMANDS
from kmstwist.lab.slmgr.options import OPTIONS, elsewhere, read, usage
from tests.lab.machines.conftest import Desk

from .conftest import DAY, OFFICE, START, WINDOWS

WINDOWS_ID = str(activation_id(WINDOWS.name))
OFFICE_ID = str(activation_id(OFFICE.name))
NAME = "Windows(R), Enterprise edition"
BEGUN = f"Activating {NAME} ({WINDOWS_ID}) ..."
NO_PRODUCT = "Error: product not found."
NO_KEY = "Error: product key not found."
UPDATE = "Please use slmgr.vbs /ato to activate and update KMS client information in order to update values."


def test_every_option_of_slmgr_exists() -> None:
    of_the_tool = (
        "ipk ato dli dlv xpr cpky ilc rilc rearm rearm-app rearm-sku upk dti atp skms skms-domain ckms ckms-domain "
        "skhc ckhc sai sri sprt sdns cdns spri cpri act-type lil ril ltc fta ad-activation-online "
        "ad-activation-get-iid ad-activation-apply-cid ao-list del-ao"
    )
    assert set(OPTIONS) == set(of_the_tool.split())
    assert set(_COMMANDS) | {"ato"} == {name for name, option in OPTIONS.items() if not option.host_only}


@pytest.mark.parametrize(
    ("words", "first", "note"),
    [
        (["/sia"], "Unrecognized option: /sia", "Did you mean /s"),
        (["/?"], "Unrecognized option: /?", ""),
        (["/qqq"], "Unrecognized option: /qqq", ""),
        (["/ipk"], "", ""),
    ],
)
def test_a_line_that_slmgr_does_not_take_gets_the_usage_and_ends_with_1(
    desk: Desk, words: list[str], first: str, note: str
) -> None:
    output = desk.run(*words)
    assert output.lines[0] == first
    assert output.lines[-len(usage()) :] == usage()
    assert output.code == 1
    assert note in "".join(output.notes)


def test_a_missing_argument_is_reported_above_the_usage(desk: Desk) -> None:
    for words, missing in (
        (("/ipk",), "ipk needs <Product Key>"),
        (("/skms",), "skms needs <Name[:Port] | : port>"),
        (("/ril", "x"), "ril needs <ILID> <ILvID>"),
        (("/ad-activation-apply-cid", "k"), "ad-activation-apply-cid needs <Confirmation ID>"),
    ):
        assert desk.run(*words).lines[:3] == ["", f"Error: option {missing}", usage()[0]]


def test_options_work_in_any_case_and_with_a_hyphen_and_spare_words_are_ignored() -> None:
    assert read(["-ATO"])[0] is read(["/ato"])[0] is OPTIONS["ato"]
    assert read(["/skhc", "yes"]) == (OPTIONS["skhc"], [], ["slmgr ignores what comes after /skhc's arguments: yes"])


def test_another_computer_comes_before_the_option_with_or_without_a_user() -> None:
    assert elsewhere(["/ato", WINDOWS_ID]) == (None, ["/ato", WINDOWS_ID])
    assert elsewhere(["PC2", "/ato"]) == ("PC2", ["/ato"])
    assert elsewhere(["PC2", "admin", "secret", "-dlv", "all"]) == ("PC2", ["-dlv", "all"])
    for words in (["ato"], [], ["PC2", "admin", "/ato"], ["PC2", "admin", "secret", "more", "/ato"]):
        with pytest.raises(Misused) as caught:
            elsewhere(words)
        assert caught.value.output.lines[:3] == ["Invalid combination of command parameters.", "", usage()[0]]
        assert caught.value.output.code == 1


def test_ato_that_fails_says_first_what_it_began_and_names_the_code(desk: Desk) -> None:
    output = desk.run("/ato")
    assert output.lines == [
        BEGUN,
        "Error: 0xC004F038 The software Licensing Service reported that the computer could not be activated. The count "
        "reported by your Key Management Service (KMS) is insufficient. Please contact your system administrator",
    ]
    assert output.code == 0xC004F038
    assert output.notes[0] == "Count 1 of 25."


def test_ato_without_an_answer_says_where_its_attempts_are(desk: Desk) -> None:
    desk.up = set()
    output = desk.run("/ato")
    assert output.lines[1] == (
        "Error: 0xC004F074 The Software Licensing Service reported that the computer could not be activated. No Key "
        "Management Service (KMS) could be contacted. Please see the Application Event Log for additional information."
    )
    assert "kmstwist lab events PC1" in output.notes[0]


def test_a_code_that_slmgr_has_no_words_for_is_looked_up_in_windows(desk: Desk) -> None:
    assert desk.run("/ipk", find("Windows 11 / 10 Pro").gvlk).lines == [
        "Error: 0xC004F069 On a computer running Microsoft Windows non-core edition, run 'slui.exe 0x2a 0xC004F069' to "
        "display the error text."
    ]


def test_ato_licenses_the_machine_and_logs_both_events(desk: Desk) -> None:
    desk.fill(24)
    assert desk.slmgr("/ato") == [BEGUN, "Product activated successfully."]
    assert desk.machine.licences[0].client.status is LicenseStatus.LICENSED
    assert [event.number for event in desk.events] == [12288, 12289]
    assert desk.events[0].info == (
        "0x00000000, 0x00000000, kms:1688, 00000000-0000-0000-0000-00000000004d, 2026/01/05 00:00, 1, 2, 43200, "
        f"{WINDOWS_ID}, 25"
    )
    assert desk.events[1].info == "0x00000000, 0x00000000, 1, 0, 25, 120, 10080, 2026/01/05 00:00"


def test_a_count_that_is_too_small_is_logged_and_the_host_not_remembered(desk: Desk) -> None:
    assert desk.fails("/ato") == 0xC004F038
    assert desk.events[1].info == "0xC004F038, 0x00000000, 0, 0, 1, 120, 10080, 2026/01/05 00:00"
    assert desk.machine.cached is None


def test_a_refusal_is_in_the_event_and_the_machine_shows_that_no_host_answered(desk: Desk) -> None:
    desk.host._now = lambda: desk.now + 5 * 3600
    output = desk.run("/ato")
    assert output.code == 0xC004F074
    assert "kms:1688 refused: 0xC004F06C" in output.notes[0]
    [event] = desk.events
    assert (event.number, event.fields[0], event.fields[2]) == (12288, "0xC004F06C", "kms:1688")


def test_the_next_host_is_asked_where_one_refuses(desk: Desk) -> None:
    desk.host._now = lambda: desk.now + 5 * 3600
    desk.up.add("other")
    desk.found = [HostPort("kms", 1688), HostPort("other", 1688)]
    assert desk.fails("/ato") == 0xC004F074
    assert [host.host for host in desk.asked] == ["kms", "other"]


def test_the_host_that_worked_is_remembered_until_it_is_away(desk: Desk) -> None:
    desk.fill(30)
    desk.slmgr("/ato")
    assert desk.machine.cached == HostPort("kms", 1688)
    desk.found = [HostPort("other", 1700)]
    desk.up = {"other"}
    desk.slmgr("/ato")
    assert desk.asked == [HostPort("kms", 1688), HostPort("kms", 1688), HostPort("other", 1700)]
    assert desk.machine.cached == HostPort("other", 1700)
    assert desk.events[2].info.startswith("0x800706BA, 0x00000000, kms:1688, ")


def test_without_caching_dns_is_asked_each_time(desk: Desk) -> None:
    desk.fill(30)
    assert desk.slmgr("/ckhc") == ["KMS host caching is disabled"]
    desk.slmgr("/ato")
    assert desk.machine.cached is None
    assert desk.slmgr("/skhc") == ["KMS host caching is enabled"]
    desk.slmgr("/ato")
    assert desk.machine.cached is not None


def test_a_host_set_by_hand_is_asked_and_no_other(desk: Desk) -> None:
    assert desk.slmgr("/skms", "[2001:db8::1]:1700") == [
        "Key Management Service machine name set to [2001:db8::1]:1700 successfully."
    ]
    assert desk.fails("/ato") == 0xC004F074
    assert desk.asked == [HostPort("2001:db8::1", 1700)]
    desk.slmgr("/skms", "kms")
    desk.slmgr("/skms", ":1800")
    desk.fails("/ato")
    assert desk.asked[-1] == HostPort("kms", 1800)
    desk.slmgr("/ckms")
    desk.fails("/ato")
    assert desk.asked[-1] == HostPort("kms", 1688)


def test_a_host_can_be_set_for_one_product(desk: Desk) -> None:
    desk.slmgr("/skms", "office-kms", OFFICE_ID)
    desk.fails("/ato", OFFICE_ID)
    desk.fails("/ato")
    assert desk.asked == [HostPort("office-kms", 1688), HostPort("kms", 1688)]
    desk.slmgr("/ckms", OFFICE_ID)
    desk.fails("/ato", OFFICE_ID)
    assert desk.asked[-1] == HostPort("kms", 1688)


def test_a_port_is_the_one_given_however_it_is_written_and_without_one_the_default(desk: Desk) -> None:
    desk.slmgr("/skms", "127.0.0.1:023001")
    desk.fails("/ato")
    assert desk.asked == [HostPort("127.0.0.1", 23001)]
    desk.slmgr("/skms", "127.0.0.1")
    assert desk.machine.scope(MACHINE).port is None


def test_an_address_of_ipv6_without_brackets_is_split_at_its_first_colon(desk: Desk) -> None:
    desk.slmgr("/skms", "kms")
    output = desk.run("/skms", "2001:db8::1")
    assert output.lines == ["Error: 13 Type mismatch (Microsoft VBScript runtime error)"]
    assert output.code == 13
    assert "in brackets: [2001:db8::1]:1688" in output.notes[0]
    assert desk.machine.scope(MACHINE).host == "kms"
    assert desk.run("/skms", "kms:99999").lines == ["Error: 0x80070057 The parameter is incorrect"]


def test_any_text_is_taken_for_a_host_and_fails_when_it_is_asked(desk: Desk) -> None:
    output = desk.run("/skms", "-bad-")
    assert output.lines == ["Key Management Service machine name set to -bad- successfully."]
    assert "not a host name" in output.notes[0]


def test_the_lookup_domain_is_shown_with_a_warning_if_a_host_is_set(desk: Desk) -> None:
    assert desk.slmgr("/skms-domain", "Other.Example.") == [
        "Key Management Service lookup domain set to Other.Example. successfully."
    ]
    assert desk.machine.lookup_domain_of(desk.machine.licences[0]) == "other.example"
    overridden = "Warning: /skms setting overrides the /skms-domain setting. {} will be used for activation."
    assert desk.slmgr("/skms", "kms")[1:] == [overridden.format("kms")]
    # The script reads the port setting, which is 0 if no port is set.
    assert desk.slmgr("/skms-domain", "other.example")[1:] == [overridden.format("kms:0")]
    in_effect = "Warning: /skms-domain setting is in effect. other.example will be used for DNS SRV record lookup."
    assert desk.slmgr("/ckms")[1:] == [in_effect]
    desk.slmgr("/skms", "kms:1700")
    assert desk.slmgr("/ckms-domain") == [
        "Key Management Service lookup domain cleared successfully.",
        "Warning: /skms setting is in effect. kms:1700 will be used for activation.",
    ]
    assert desk.machine.lookup_domain_of(desk.machine.licences[0]) is None
    assert len(desk.slmgr("/ckms")) == len(desk.slmgr("/ckms-domain")) == 1


def test_a_missing_activation_id_is_reported_and_is_not_a_failure(desk: Desk) -> None:
    for words in (("/skms", "kms", "X-Y"), ("/ckms", "X-Y"), ("/act-type", "2", "X-Y"), ("/skms-domain", "a.b", "X-Y")):
        output = desk.run(*words)
        assert output.lines == ["Error: Activation ID (x-y) not found."]
        assert WINDOWS_ID in output.notes[0]
        assert output.code == 0
    for option, said in (
        ("/ato", NO_PRODUCT),
        ("/dti", NO_PRODUCT),
        ("/upk", NO_KEY),
        ("/xpr", NO_KEY),
        ("/dli", NO_KEY),
    ):
        assert desk.slmgr(option, "55c92734-d682-4d71-983e-d6ec3f16059f") == [said]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a b", "'a b' is not a DNS domain"),
        ("corp.example:99", "'example:99' may hold only letters"),
        ("[::1]", "may hold only letters"),
        ("::1", "'::1' is not a DNS domain, but an address"),
        ("10.0.0.1", "'10.0.0.1' is not a DNS domain, but an address"),
    ],
)
def test_an_invalid_domain_is_accepted_as_in_windows_and_noted_by_both_tools(desk: Desk, text: str, said: str) -> None:
    output = desk.run("/skms-domain", text)
    assert output.lines == [f"Key Management Service lookup domain set to {text} successfully."]
    assert said in output.notes[0]
    assert said in desk.office(f"/skms-domain:{text}").notes[0]


def test_an_internationalised_domain_is_kept_in_its_dns_form(desk: Desk) -> None:
    windows, office = desk.machine.licences
    desk.slmgr("/skms-domain", "Bücher.example.")
    assert desk.machine.lookup_domain_of(windows) == "xn--bcher-kva.example"
    desk.ospp("/skms-domain:BÜCHER.example")
    assert desk.machine.lookup_domain_of(office) == "xn--bcher-kva.example"


def test_discovery_that_fails_is_the_code_windows_shows(desk: Desk) -> None:
    desk.found = LocateFailed(0x8007232B, "_vlmcs._tcp.corp.example does not exist")
    output = desk.run("/ato")
    assert output.lines[-1] == "Error: 0x8007232B DNS name does not exist"
    assert output.code == 0x8007232B
    assert desk.events == []
    assert desk.machine.licences[0].client.next_attempt == START + 7200


def test_a_machine_for_active_directory_only_finds_no_activation_object(desk: Desk) -> None:
    assert desk.slmgr("/act-type", "1") == ["Volume activation type set successfully."]
    assert desk.fails("/ato") == 0xC004F081
    desk.fill(30)
    assert desk.slmgr("/act-type") == ["Volume activation type set successfully."]
    desk.slmgr("/ato")
    assert desk.slmgr("/act-type", "9") == ["Error: The data is invalid"]


def test_a_machine_for_tokens_only_says_how_it_is_activated(desk: Desk) -> None:
    desk.slmgr("/act-type", "3")
    assert desk.slmgr("/ato") == [
        "This system is configured for Token-based activation only. Use slmgr.vbs /fta to initiate Token-based "
        "activation, or slmgr.vbs /act-type to change the activation type setting."
    ]
    assert desk.asked == []


def test_only_the_published_client_key_of_the_installed_edition_is_taken(desk: Desk) -> None:
    invalid = "Error: 0xC004F050 The Software Licensing Service reported that the product key is invalid"
    for key in ("12345", "AAAAA-BBBBB-CCCCC-DDDDD-EEEEE", desk.key.host_key):
        assert desk.run("/ipk", key).lines == [invalid]
    assert desk.fails("/ipk", find("Windows 11 / 10 Pro").gvlk) == 0xC004F069
    desk.now += 10 * DAY
    key = WINDOWS.gvlk.lower()
    assert desk.slmgr("/ipk", key) == [f"Installed product key {key} successfully."]
    assert desk.machine.licences[0].client.minutes_left(desk.now) == 43_200


def test_without_a_key_there_is_nothing_to_act_on(desk: Desk) -> None:
    assert desk.slmgr("/upk") == ["Uninstalled product key successfully."]
    assert desk.slmgr("/ato") == desk.slmgr("/dti") == desk.slmgr("/atp", "1") == [NO_PRODUCT]
    assert desk.slmgr("/upk") == desk.slmgr("/xpr") == desk.slmgr("/dli") == [NO_KEY]
    assert desk.slmgr("/dlv") == ["Software licensing service version: 10.0.26100.1", NO_KEY]
    shown = desk.slmgr("/dlv", WINDOWS_ID)
    assert "License Status: Unlicensed" in shown
    assert "This license is not in use." in shown
    assert "Installation ID: " in shown


def test_xpr_says_how_each_state_ends(desk: Desk) -> None:
    desk.now = START + 3600
    assert desk.slmgr("/xpr") == [f"{NAME}:", "    Initial grace period ends 2/4/2026"]
    desk.fill(30)
    desk.slmgr("/ato")
    assert desk.slmgr("/xpr")[1] == "    Volume activation will expire 7/4/2026 1:00:00 AM"
    desk.now = START + 181 * DAY
    assert desk.slmgr("/xpr")[1] == "    Additional grace period ends 8/3/2026 1:00:00 AM"
    desk.now = START + 211 * DAY + 3600
    assert desk.slmgr("/xpr")[1] == "    Windows is in Notification mode"
    assert "Notification Reason: 0xC004F009 (grace time expired)." in desk.slmgr("/dli")


def test_dates_are_those_of_the_machines_region(desk: Desk) -> None:
    desk.machine.region = "de-DE"
    desk.now = START + 15 * 3600 + 60
    assert "Trusted time: 05.01.2026 15:01:00" in desk.slmgr("/dlv")
    desk.machine.region = "en-US"
    assert "Trusted time: 1/5/2026 3:01:00 PM" in desk.slmgr("/dlv")


def test_an_unlicensed_product_shows_no_kms_part(desk: Desk) -> None:
    for option in ("/dli", "/dlv"):
        shown = desk.slmgr(option)
        assert shown[-3:] == ["Configured Activation Type: All", UPDATE, ""]
        assert not any("KMS machine" in line or "CMID" in line for line in shown)


def test_both_the_host_and_the_lookup_domain_are_shown_with_a_warning_at_the_end(desk: Desk) -> None:
    desk.fill(30)
    desk.slmgr("/ato")
    desk.slmgr("/skms-domain", "other.example")
    desk.slmgr("/skms", "kms")
    shown = desk.slmgr("/dli")
    at = shown.index("    Registered KMS SRV record lookup domain: other.example")
    assert shown[at + 1 : at + 3] == [
        "    Registered KMS machine name: kms:1688",
        "    KMS machine IP address: 10.0.0.9",
    ]
    assert shown[-3:] == [
        "",
        "Warning: /skms setting overrides the /skms-domain setting. kms:1688 will be used for activation.",
        "",
    ]


def test_all_products_are_shown_with_their_names_and_rearm_counts(desk: Desk) -> None:
    shown = desk.slmgr("/dlv", "All")
    assert f"Name: {NAME}" in shown
    assert "Name: Office 21, Office21ProPlus2021VL_KMS_Client_AE edition" in shown
    assert "Description: Office 21, VOLUME_KMSCLIENT channel" in shown
    assert [line for line in shown if "rearm count" in line] == [
        "Remaining Windows rearm count: 1001",
        "Remaining SKU rearm count: 1001",
        "Remaining App rearm count: 5",
        "Remaining SKU rearm count: 5",
    ]


def test_rearm_begins_grace_again_with_a_new_cmid_until_none_is_left(desk: Desk) -> None:
    desk.fill(30)
    desk.slmgr("/ato")
    desk.machine.rearms_left = 2
    for _ in range(2):
        assert desk.slmgr("/rearm") == [
            "Command completed successfully.",
            "Please restart the system for the changes to take effect.",
        ]
    assert desk.machine.licences[0].client.status is LicenseStatus.OOB_GRACE
    assert desk.machine.cmid.int >= 1000
    assert desk.run("/rearm").lines == [
        "Error: 0xC004D307 The maximum allowed number of re-arms has been exceeded. You must re-install the OS before "
        "trying to re-arm again"
    ]


@pytest.mark.parametrize(("product", "rearms"), [("Windows 8.1 Pro", 3), ("Windows Server 2016 Standard", 1001)])
def test_each_windows_has_its_own_number_of_rearms(product: str, rearms: int) -> None:
    machine = Machine("PC", activation_id(product), START)
    machine.add_product(find(product), START)
    assert machine.rearms_left == machine.licences[0].rearms_left == rearms


def test_rearm_of_an_application_or_a_product_leaves_the_others_alone(desk: Desk) -> None:
    desk.fill(30)
    desk.slmgr("/ato")
    desk.now += DAY
    assert desk.slmgr("/rearm-app", str(OFFICE_APP)) == ["Command completed successfully."]
    assert desk.slmgr("/rearm-sku", OFFICE_ID) == ["Command completed successfully."]
    windows, office = desk.machine.licences
    assert (windows.client.status, office.rearms_left) == (LicenseStatus.LICENSED, 3)
    assert office.client.minutes_left(desk.now) == 43_200
    assert windows.client.cmid == office.client.cmid == desk.machine.cmid
    desk.slmgr("/rearm-app", str(WINDOWS_APP))
    assert desk.machine.rearms_left == 1000
    office.rearms_left = 0
    assert desk.fails("/rearm-sku", OFFICE_ID) == 0xC004D307
    assert desk.fails("/rearm-app", "office") == 0x80070057
    assert desk.slmgr("/rearm-sku", "office") == [NO_PRODUCT]


def test_telephone_activation_lasts_and_its_ids_are_checked(desk: Desk) -> None:
    [line] = desk.slmgr("/dti")
    installation = line.removeprefix("Installation ID: ")
    assert len(installation) == 63
    assert installation.isdigit()
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
    assert desk.slmgr("/xpr")[1] == "    The machine is permanently activated."
    desk.slmgr("/ipk", WINDOWS.gvlk)
    assert desk.fails("/atp", confirmation) == 0xC004F031


def test_a_key_cleared_from_the_registry_still_activates(desk: Desk) -> None:
    desk.fill(30)
    assert desk.slmgr("/cpky") == ["Product key from registry cleared successfully."]
    assert not desk.machine.key_in_registry
    desk.slmgr("/ato")


def test_licence_files_of_the_lab_bring_products(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "visio.txt"
    file.write_text("# the lab's\nVisio LTSC Professional 2021\n")
    assert desk.slmgr("/ilc", str(file)) == [f"License file {file} installed successfully.", ""]
    desk.slmgr("/ilc", str(file))
    assert [licence.product.name for licence in desk.machine.licences][2:] == ["Visio LTSC Professional 2021"]
    again = desk.slmgr("/rilc")
    assert (again[0], again[-1]) == ("Re-installing license files ...", "License files re-installed successfully.")
    # As Notepad saves it.
    file.write_bytes(b"\xef\xbb\xbfProject Professional 2021\r\n")
    desk.slmgr("/ilc", str(file))
    assert len(desk.machine.licences) == 4
    for text, said in (
        ("<xrm>", 'the catalogue has no product "<xrm>"'),
        ("Visio LTSC Profesional 2021", "did you mean"),
    ):
        file.write_text(text)
        assert said in desk.run("/ilc", str(file)).notes[0]
    output = desk.run("/ilc", str(tmp_path / "none"))
    assert output.lines == ["Error: 3002 File could not be opened. (ADODB.Stream)"]
    assert "There is no file" in output.notes[0]


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("/sai", "120"), "Volume activation interval"),
        (("/sri", "60"), "Volume renewal interval"),
        (("/sprt", "1"), "KMS port"),
        (("/sdns",), "DNS Publishing"),
        (("/cpri",), "Priority"),
    ],
)
def test_the_hosts_options_warn_on_a_client_and_end_with_0(desk: Desk, words: tuple[str, ...], what: str) -> None:
    assert desk.slmgr(*words) == [f"Warning: {what} can only be set on a KMS machine that is also activated."]


def test_tokens_and_active_directory_have_nothing_to_act_on(desk: Desk) -> None:
    assert desk.slmgr("/lil") == ["Token-based Activation Issuance Licenses:", "", "No licenses found."]
    assert desk.slmgr("/ril", "id", "1") == ["Removing Token-based Activation License ...", "", "No licenses found."]
    assert desk.fails("/ltc") == desk.fails("/fta", "96DE67") == 0xC004F304
    assert desk.run("/fta", "96DE67").lines[0] == BEGUN
    assert desk.slmgr("/ao-list") == ["Activation Objects", "    No objects found"]
    assert desk.run("/del-ao", "lab").lines == [
        "    AO DN: CN=lab,CN=Activation Objects,CN=Microsoft SPP,CN=Services,CN=Configuration,DC=corp,DC=example",
        "",
        "Error: 0x80072030 There is no such object on the server.",
    ]
    assert desk.fails("/ad-activation-online", "AAAAA-BBBBB-CCCCC-DDDDD-EEEEE") == 0xC004F050
    desk.machine.domain = None
    assert desk.fails("/ao-list") == 0x8007054B


def test_a_machine_without_windows_says_so(desk: Desk) -> None:
    desk.machine = Machine("EMPTY", desk.machine.cmid, START)
    assert desk.slmgr("/ato") == [NO_PRODUCT]
    assert desk.slmgr("/dli", "all") == [NO_KEY]
    assert desk.slmgr("/rilc") == ["Re-installing license files ...", "License files re-installed successfully."]


def test_after_a_change_of_edition_slmgr_acts_on_the_windows_that_has_the_key(desk: Desk, tmp_path: Path) -> None:
    standard, datacenter = (find(f"Windows Server 2022 {edition}") for edition in ("Standard", "Datacenter"))
    desk.machine.licences.clear()
    desk.machine.install_key(desk.machine.add_product(standard, START), START)
    file = tmp_path / "datacenter.txt"
    file.write_text(f"{datacenter.name}\n")
    desk.slmgr("/ilc", str(file))
    assert "Name: Windows(R), ServerStandard edition" in desk.slmgr("/dli")
    desk.slmgr("/ipk", datacenter.gvlk)
    old, new = desk.machine.licences
    assert (old.partial_key, old.client.status) == (None, LicenseStatus.UNLICENSED)
    assert new.partial_key == datacenter.gvlk[-5:]
    desk.fill(5, datacenter)
    assert desk.slmgr("/ato")[0].startswith("Activating Windows(R), ServerDatacenter edition (")
    assert new.client.status is LicenseStatus.LICENSED
    desk.slmgr("/ipk", standard.gvlk)
    assert desk.slmgr("/xpr")[0] == "Windows(R), ServerStandard edition:"
    desk.slmgr("/upk")
    assert [licence.partial_key for licence in desk.machine.licences] == [None, None]
    assert desk.slmgr("/ato") == [NO_PRODUCT]


def test_a_key_for_windows_leaves_offices_alone(desk: Desk) -> None:
    desk.slmgr("/ipk", WINDOWS.gvlk)
    assert all(licence.partial_key is not None for licence in desk.machine.licences)
