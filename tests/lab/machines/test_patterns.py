"""What public scripts look for in the tools' outputs, and find in the lab's."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from kmstwist.kms.catalogue import find
from kmstwist.lab.machines.machine import MACHINE
from tests.lab.machines.conftest import Desk

from .conftest import DAY, OFFICE, START


@pytest.fixture
def text(desk: Desk) -> Callable[..., str]:
    """The text that a tool prints, as a script gets it."""

    def output(state: str, tool: str, *words: str) -> str:
        if state != "grace":
            desk.fill(30)
            desk.fill(10, OFFICE)
            desk.found = desk.found if state == "licensed" else []
            if state == "registered":
                desk.machine.scope(MACHINE).host = "kms"
            desk.run("/ato")
            desk.office("/act")
        if state == "expired":
            desk.now = START + 300 * DAY
        lines = desk.run(*words).lines if tool == "slmgr" else desk.ospp(*words)
        return "\r\n".join(lines) + "\r\n"

    return output


@pytest.mark.parametrize(
    ("state", "words", "pattern"),
    [
        ("licensed", "/dli", r"License Status: Licensed"),
        (
            "licensed",
            "/dli",
            r"(?m)^Name: (.*)\r\nDescription: (.*)\r\nPartial Product Key: (.*)\r\nLicense Status: (.*)",
        ),
        ("licensed", "/dli", r"Name: Windows\(R\), (\w+) edition"),
        ("licensed", "/dli", r"Description: Windows\(R\) Operating System, (VOLUME_KMSCLIENT) channel"),
        ("licensed", "/dli", r"Volume activation expiration: (\d+) minute\(s\) \((\d+) day\(s\)\)"),
        ("licensed", "/dli", r"(?m)^    KMS machine name from DNS: ?([\w.-]+):(\d+)\r$"),
        ("licensed", "/dli", r"KMS machine IP address: (\d+\.\d+\.\d+\.\d+)"),
        ("licensed", "/dlv", r"KMS machine extended PID: (\S+)"),
        ("licensed", "/dlv", r"Client Machine ID \(CMID\): ([0-9a-f-]{36})"),
        ("licensed", "/dlv", r"Activation interval: (\d+) minutes\r\n    Renewal interval: (\d+) minutes"),
        ("licensed", "/dlv", r"Software licensing service version: \d+\.\d+\.\d+\.\d+"),
        ("licensed", "/dlv", r"Activation ID: [0-9a-f-]{36}\r\nApplication ID: 55c92734-d682-4d71-983e-d6ec3f16059f"),
        ("licensed", "/dlv", r"Product Key Channel: (Volume:GVLK)"),
        ("licensed", "/dlv", r"(?m)^Installation ID: \d{54,63}\r$"),
        ("licensed", "/dlv", r"Remaining Windows rearm count: (\d+)"),
        ("licensed", "/dlv", r"Trusted time: \d{1,2}/\d{1,2}/\d{4}"),
        ("licensed", "/xpr", r"will expire (\d+/\d+/\d+)"),
        (
            "licensed",
            "/ato",
            r"Activating Windows\(R\), \w+ edition \([0-9a-f-]{36}\) \.\.\.\r\nProduct activated successfully\.",
        ),
        ("registered", "/dli", r"(?m)^    Registered KMS machine name: kms:1688\r$"),
        ("grace", "/dli", r"License Status: Initial grace period\r\nTime remaining: \d+ minute\(s\) \(\d+ day\(s\)\)"),
        ("grace", "/ato", r"Error: (0x[0-9A-F]{8})"),
        ("grace", "/xpr", r"Initial grace period ends"),
        ("expired", "/dli", r"Notification Reason: (0x\w{8}) \(grace time expired\)\."),
        ("expired", "/xpr", r"Windows is in Notification mode"),
    ],
)
def test_slmgr(text: Callable[..., str], state: str, words: str, pattern: str) -> None:
    assert re.search(pattern, text(state, "slmgr", words))


@pytest.mark.parametrize(
    ("state", "words", "pattern"),
    [
        ("licensed", "/act", r"<Product activation successful>"),
        ("licensed", "/dstatus", r"LICENSE STATUS:\s+---LICENSED---"),
        ("licensed", "/dstatus", r"LICENSE NAME:\s+Office (\d+), (\S+) edition"),
        ("licensed", "/dstatus", r"Last 5 characters of installed product key: ([A-Z0-9]{5})"),
        ("licensed", "/dstatus", r"(?i)remaining grace: (\d+) days  \((\d+) minute\(s\) before expiring\)"),
        ("licensed", "/dstatus", r"KMS machine name from DNS:\s*(.+)"),
        ("licensed", "/dstatus", r"SKU ID: ([0-9a-f-]{36})"),
        ("licensed", "/dstatusall", r"(?m)^\s*-{20,}\s*$"),
        ("registered", "/dstatus", r"KMS machine registry override defined: kms:1688"),
        ("grace", "/dstatus", r"---OOB_GRACE---"),
        ("grace", "/act", r"ERROR CODE: (0x[0-9A-F]{8})\r\nERROR DESCRIPTION: (.+)"),
        ("expired", "/dstatus", r"---NOTIFICATIONS---"),
        ("grace", "/dcmid", r"Client Machine ID \(CMID\): ([0-9a-f-]{36})"),
        ("grace", "/sethst:kms.corp.example", r"Successfully applied setting\."),
        ("grace", "/unpkey:6F7TH", r"<Product key uninstall successful>"),
        ("grace", "/inpkey:XXXXX", r"ERROR CODE: 0xC004F050"),
    ],
)
def test_ospp(text: Callable[..., str], state: str, words: str, pattern: str) -> None:
    assert re.search(pattern, text(state, "ospp", words))


def test_an_office_that_was_found_is_unlicensed_until_it_gets_a_key(desk: Desk) -> None:
    desk.machine.add_product(find("Visio LTSC Professional 2021"), START)
    blocks = "\n".join(desk.ospp("/dstatusall")).split("-" * 39)
    [visio] = [block for block in blocks if "VisioPro" in block]
    assert "LICENSE STATUS:  ---UNLICENSED---" in visio
    assert "Last 5 characters" not in visio
