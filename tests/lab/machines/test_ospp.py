"""ospp on a lab machine: every option, and what goes wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from kmstwist.addresses import HostPort
from kmstwist.kms.catalogue import find
from kmstwist.kms.labids import activation_id
from kmstwist.kms.messages import LicenseStatus
from kmstwist.lab.machines.machine import Machine
from kmstwist.lab.machines.phone import confirmation_id
from kmstwist.lab.machines.session import Misused
from kmstwist.lab.ospp.client import _COMMANDS
from kmstwist.lab.ospp.options import OPTIONS, elsewhere
from tests.lab.machines.conftest import Desk

from .conftest import DAY, OFFICE, START, WINDOWS

OFFICE_ID = str(activation_id(OFFICE.name))
RULE = "-" * 39
BEGIN = ["---Processing--------------------------", RULE]
END = [RULE, "---Exiting-----------------------------"]
NAME = "Office 21, Office21ProPlus2021VL_KMS_Client_AE edition"
APPLIED = "Successfully applied setting."
NO_KEYS = ["<No installed product keys detected>", RULE]


def said(lines: list[str]) -> list[str]:
    """The lines between the script's first and last two."""
    assert lines[:2] == BEGIN
    assert lines[-2:] == END
    return lines[2:-2]


def test_every_option_of_ospp_exists() -> None:
    of_the_tool = (
        "act inpkey unpkey inslic dstatus dstatusall dhistoryacterr dinstid actcid rearm ddescr dhistorykms dcmid "
        "sethst setprt remhst cachst actype skms-domain ckms-domain dtokils rtokil stokflag ctokflag dtokcerts tokact "
        "puserops duserops osppsvcrestart osppsvcauto regmof version help"
    )
    assert set(OPTIONS) == set(of_the_tool.split()) == set(_COMMANDS) | {"act", "help"}


@pytest.mark.parametrize(
    ("words", "note"),
    [
        (["/dstatsu"], "Did you mean /dstatus"),
        (["dstatus"], "Did you mean /dstatus"),
        (["/inpkey"], "/inpkey needs a value: ospp /inpkey:KEY"),
        (["/inpkey:"], "A value is required for: /inpkey:"),
        (["/act:now"], "/act takes no value"),
        (["/?"], "/dstatusall"),
    ],
)
def test_what_ospp_shows_in_a_box_is_a_note(desk: Desk, words: list[str], note: str) -> None:
    output = desk.office(*words)
    assert said(output.lines) == []
    assert note in "\n".join(output.notes)


def test_another_computer_comes_after_the_option_with_or_without_a_user() -> None:
    assert elsewhere(["/act"]) == (None, ["/act"])
    assert elsewhere(["/act", "PC2"]) == ("PC2", ["/act"])
    assert elsewhere(["/inpkey:KEY", "PC2", "admin", "secret"]) == ("PC2", ["/inpkey:KEY"])
    with pytest.raises(Misused, match="a user needs a password"):
        elsewhere(["/act", "PC2", "admin"])


def test_act_activates_office_and_not_windows(desk: Desk) -> None:
    desk.fill(4, OFFICE)
    assert said(desk.ospp("/act")) == [
        "Installed product key detected - attempting to activate the following product:",
        f"SKU ID: {OFFICE_ID}",
        f"LICENSE NAME: {NAME}",
        "LICENSE DESCRIPTION: Office 21, VOLUME_KMSCLIENT channel",
        "Last 5 characters of installed product key: 6F7TH",
        "<Product activation successful>",
        RULE,
    ]
    windows, office = desk.machine.licences
    assert (windows.client.status, office.client.status) == (LicenseStatus.OOB_GRACE, LicenseStatus.LICENSED)


def test_act_fails_with_code_description_history_and_article(desk: Desk) -> None:
    desk.up = set()
    assert said(desk.ospp("/act"))[5:] == [
        "ERROR CODE: 0xC004F074",
        "ERROR DESCRIPTION: The Software Licensing Service reported that the product could not be activated. No Key "
        "Management Service (KMS) could be contacted. Please see the Application Event Log for additional information.",
        "To view the activation event history run: cscript OSPP.VBS /dhistorykms",
        "NOTICE: A KB article has been detected for activation failure: 0xC004F074",
        "FOR MORE INFORMATION PLEASE VISIT: http://support.microsoft.com/kb/2870357#Error0xC004F074",
        RULE,
    ]


def test_the_history_is_named_for_no_other_failure_and_the_article_where_there_is_one(desk: Desk) -> None:
    lines = said(desk.ospp("/act"))
    assert "ERROR CODE: 0xC004F038" in lines
    assert not any("/dhistorykms" in line for line in lines)
    assert any(line.startswith("NOTICE: ") for line in lines)
    desk.ospp("/actype:1")
    assert not any(line.startswith("NOTICE: ") for line in desk.ospp("/act"))


def test_the_history_holds_what_asked_for_a_count_of_5_the_newest_first(desk: Desk) -> None:
    desk.fails("/ato")
    begun = ["Searching for KMS activation events on machine: PC1", "Event ID: 12288", ""]
    assert said(desk.ospp("/dhistorykms")) == begun
    desk.ospp("/act")
    desk.up = set()
    desk.now += 3600
    desk.ospp("/act")
    assert said(desk.ospp("/dhistorykms")) == [
        *begun,
        "Coordinated Universal Time Written: 1/5/2026 1:00:00 AM",
        "ERROR/HOST: 0x800706BA, 0x00000000, kms",
        "ERROR DESCRIPTION: Run the following: cscript ospp.vbs /ddescr:0x800706BA",
        RULE,
        "Coordinated Universal Time Written: 1/5/2026",
        "ERROR/HOST: 0x00000000, 0x00000000, kms",
        "ERROR DESCRIPTION: N/A",
        RULE,
    ]


def test_histories_that_are_empty_say_so(desk: Desk) -> None:
    for word, number, none in (
        ("/dhistorykms", 12288, "No KMS activation events found on machine: PC1"),
        ("/dhistoryacterr", 8200, "No failure events found on machine: PC1"),
    ):
        assert said(desk.ospp(word))[1:] == [f"Event ID: {number}", "", RULE, none, RULE]


def test_dstatus_shows_installed_keys_and_dstatusall_all_licences(desk: Desk) -> None:
    assert said(desk.ospp("/dstatus")) == [
        f"PRODUCT ID: LAB-{OFFICE_ID.upper()[:13]}",
        f"SKU ID: {OFFICE_ID}",
        f"LICENSE NAME: {NAME}",
        "LICENSE DESCRIPTION: Office 21, VOLUME_KMSCLIENT channel",
        "BETA EXPIRATION: 1601/1/1",
        "LICENSE STATUS:  ---OOB_GRACE--- ",
        "ERROR CODE: 0x4004F00C",
        "ERROR DESCRIPTION: The Software Licensing Service reported that the application is running within the valid "
        "grace period.",
        "REMAINING GRACE: 30 days  (43200 minute(s) before expiring)",
        "Last 5 characters of installed product key: 6F7TH",
        "Activation Type Configuration: ALL",
        "\tDNS auto-discovery: KMS name not available",
        "\tActivation Interval: 120 minutes",
        "\tRenewal Interval: 10080 minutes",
        "\tKMS host caching: Enabled",
        RULE,
    ]
    assert said(desk.ospp("/unpkey:6f7th")) == [
        f"Uninstalling product key for: {NAME}",
        "<Product key uninstall successful>",
    ]
    assert said(desk.ospp("/dstatus")) == said(desk.ospp("/act")) == said(desk.ospp("/dinstid")) == NO_KEYS
    assert "LICENSE STATUS:  ---UNLICENSED--- " in desk.ospp("/dstatusall")
    assert said(desk.ospp("/unpkey:6F7TH")) == ["<Product key not found>"]


def test_a_licence_shows_its_code_for_information_and_whole_days_that_are_left(desk: Desk) -> None:
    desk.fill(4, OFFICE)
    desk.ospp("/act")
    desk.now += 28 * 60
    lines = desk.ospp("/dstatus")
    at = lines.index("LICENSE STATUS:  ---LICENSED--- ")
    assert lines[at + 1 : at + 4] == [
        "ERROR CODE: 0x4004F040 (for information purposes only as the status is licensed)",
        "ERROR DESCRIPTION: The Software Licensing Service reported that the product was activated but the owner "
        "should verify the Product Use Rights.",
        "REMAINING GRACE: 179 days  (259172 minute(s) before expiring)",
    ]
    assert "\tKMS machine name from DNS: kms:1688" in lines


@pytest.mark.parametrize(("region", "date"), [("en-GB", "01/01/1601"), ("zh-CN", "1601/1/1"), ("ja-JP", "1601/01/01")])
def test_the_end_of_no_beta_is_written_as_in_the_region(desk: Desk, region: str, date: str) -> None:
    desk.machine.region = region
    assert f"BETA EXPIRATION: {date}" in desk.ospp("/dstatus")


def test_notification_mode_is_shown_with_its_code(desk: Desk) -> None:
    desk.now += 31 * DAY
    lines = desk.ospp("/dstatus")
    assert "LICENSE STATUS:  ---NOTIFICATIONS--- " in lines
    assert "ERROR CODE: 0xC004F009" in lines
    assert not any(line.startswith("REMAINING GRACE") for line in lines)


def test_keys_are_the_published_ones_of_the_installed_office(desk: Desk) -> None:
    assert said(desk.ospp("/inpkey:AAAAA-BBBBB-CCCCC-DDDDD-EEEEE")) == [
        "ERROR CODE: 0xC004F050",
        "ERROR DESCRIPTION: The Software Licensing Service reported that the product key is invalid.",
    ]
    assert said(desk.ospp(f"/inpkey:{WINDOWS.gvlk}"))[0] == "ERROR CODE: 0xC004F069"
    assert said(desk.ospp(f"/inpkey:{OFFICE.gvlk}")) == ["<Product key installation successful>"]
    output = desk.office("/unpkey:ABC")
    assert said(output.lines) == []
    assert "The last 5 characters" in output.notes[0]


def test_office_has_its_own_host_setting(desk: Desk) -> None:
    assert said(desk.ospp("/sethst:KMS2.corp.example")) == said(desk.ospp("/setprt:1700")) == [APPLIED]
    desk.ospp("/act")
    desk.fails("/ato")
    assert desk.asked == [HostPort("kms2.corp.example", 1700), HostPort("kms", 1688)]
    shown = desk.ospp("/dstatus")
    at = shown.index("\tDNS auto-discovery: KMS name not available")
    assert shown[at + 1] == "\tKMS machine registry override defined: kms2.corp.example:1700"
    assert said(desk.ospp("/remhst")) == [APPLIED]
    desk.ospp("/act")
    assert desk.asked[-1] == HostPort("kms", 1688)
    assert "ERROR CODE: 0x80070057" in desk.ospp("/setprt:0")
    for word, note in (("kms:1800", "/setprt:1800"), ("[::1]:1800", "/setprt:1800"), ("a b", "not a host name")):
        output = desk.office(f"/sethst:{word}")
        assert said(output.lines) == [APPLIED]
        assert note in output.notes[0]
        assert "ERROR CODE: 0xC004F074" in desk.ospp("/act")


def test_settings_of_discovery_and_type(desk: Desk) -> None:
    office = desk.machine.licences[1]
    desk.ospp("/skms-domain:other.example")
    assert desk.machine.lookup_domain_of(office) == "other.example"
    assert desk.machine.lookup_domain_of(desk.machine.licences[0]) is None
    # The lookup domain is the last line of a licence.
    assert said(desk.ospp("/dstatus"))[-2] == "\tKMS Lookup Domain: other.example"
    desk.ospp("/ckms-domain")
    assert desk.machine.lookup_domain_of(office) is None
    desk.ospp("/actype:1")
    assert "Activation Type Configuration: AD" in desk.ospp("/dstatus")
    assert "ERROR CODE: 0xC004F081" in desk.ospp("/act")
    desk.ospp("/actype:2")
    desk.fill(10, OFFICE)
    assert "<Product activation successful>" in desk.ospp("/act")
    desk.ospp("/cachst:FALSE")
    assert desk.machine.cached is None
    assert not desk.machine.caching
    assert said(desk.ospp("/cachst:true")) == [APPLIED]
    for word in ("/cachst:maybe", "/actype:4"):
        output = desk.office(word)
        assert said(output.lines) == []
        assert output.notes[0].startswith("Unsupported command passed.")


def test_telephone_activation(desk: Desk) -> None:
    begun = f"Installation ID for: {NAME}: "
    installation = next(line for line in desk.ospp("/dinstid") if line.startswith(begun)).removeprefix(begun)
    assert len(installation) == 63
    assert installation.isdigit()
    assert said(desk.ospp("/actcid:" + confirmation_id(desk.key, installation))) == [
        f"LICENSE NAME: {NAME}",
        "<Offline product activation successful>",
        RULE,
    ]
    assert "LICENSE STATUS:  ---LICENSED--- " in desk.ospp("/dstatus")
    other = confirmation_id(desk.key, desk.slmgr("/dti")[0].removeprefix("Installation ID: "))
    assert said(desk.ospp("/actcid:" + other))[1] == "ERROR CODE: 0xC004F031"
    assert said(desk.ospp("/actcid:1"))[1] == "ERROR CODE: 0xC004F02F"


def test_rearm_of_all_or_one_until_none_is_left(desk: Desk) -> None:
    for word in ("/rearm", "/rearm", "/rearm", f"/rearm:{OFFICE_ID.upper()}", f"/rearm:{{{OFFICE_ID}}}"):
        assert said(desk.ospp(word)) == ["Microsoft Office rearm successful."]
    assert "ERROR CODE: 0xC004D307" in desk.ospp("/rearm")
    assert "No installed key belongs" in desk.office("/rearm:abc").notes[0]


def test_codes_are_described_beside_the_output_and_the_cmid_is_shown(desk: Desk) -> None:
    output = desk.office("/ddescr:0xC004F038")
    assert said(output.lines) == []
    assert "insufficient" in output.notes[0]
    assert "no description" in desk.office("/ddescr:0x12345678").notes[0]
    assert said(desk.ospp("/ddescr:what")) == ["An error code must start with '0x'. Example: 0xC004F009"]
    assert said(desk.ospp("/dcmid")) == [f"Client Machine ID (CMID): {desk.machine.cmid}"]


def test_a_licence_file_brings_office_products_only(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "Lab Visio.xrm-ms"
    file.write_text("Visio LTSC Professional 2021\n")
    assert said(desk.ospp(f'/inslic:"{file}"')) == [
        f"Installing Office license: {str(file).lower()}",
        "Office license installed successfully.",
    ]
    assert desk.machine.licences[-1].product.name == "Visio LTSC Professional 2021"
    file.write_text("Windows Server 2022 Standard\n")
    assert "not an Office product" in desk.office(f"/inslic:{file}").notes[0]
    assert desk.office("/inslic:what.txt").notes == [
        "Unrecognized file. Office licenses have an .xrm-ms file extension."
    ]


def test_office_s_own_licence_files_are_recognised_by_their_names(desk: Desk) -> None:
    folder = r"..\root\Licenses16"
    for file in ("ProjectPro2021VL_KMS_Client_AE-ppd.xrm-ms", "ProjectPro2021VL_KMS_Client_AE-ul.xrm-ms"):
        assert said(desk.ospp(f"/inslic:{folder}\\{file}"))[1] == "Office license installed successfully."
    assert [licence.product.name for licence in desk.machine.licences[2:]] == ["Project Professional 2021"]
    for file in ("client-issuance-root.xrm-ms", "pkeyconfig-office.xrm-ms", "ProPlus2021VL_MAK_AE-ppd.xrm-ms"):
        assert said(desk.ospp(f"/inslic:{folder}\\{file}"))[1] == "Office license installed successfully."
    assert len(desk.machine.licences) == 3


def test_tokens_have_nothing_to_act_on(desk: Desk) -> None:
    assert said(desk.ospp("/dtokils")) == said(desk.ospp("/rtokil:4476b20e")) == ["<No licenses found>"]
    assert said(desk.ospp("/tokact:96DE67"))[0].startswith(
        "Installed product key detected - attempting to token activate"
    )
    assert "ERROR CODE: 0xC004F304" in desk.ospp("/dtokcerts")
    assert said(desk.ospp("/stokflag")) == []
    assert said(desk.ospp("/puserops")) == [APPLIED]
    assert said(desk.ospp("/osppsvcrestart")) == []


def test_office_on_windows_7_has_its_own_service_and_no_activation_types(desk: Desk) -> None:
    desk.machine = Machine("PC7", desk.machine.cmid, START)
    for product in (find("Windows 7 Enterprise"), find("Office Professional Plus 2016")):
        desk.machine.install_key(desk.machine.add_product(product, START), START)
    shown = desk.ospp("/dstatus")
    assert "LICENSE NAME: Office 16, Office16ProPlusVL_KMS_Client edition" in shown
    assert not any(line.startswith("Activation Type") for line in shown)
    assert said(desk.ospp("/osppsvcrestart")) == ["Successfully restarted: Office Software Protection Platform"]
    assert said(desk.ospp("/stokflag")) == [APPLIED]
    desk.machine.licences.pop()
    assert said(desk.ospp("/sethst:kms")) == ["No Office KMS licenses were found on the system."]
