# ruff: noqa: E501
"""The shim's PowerShell: lines of public scripts, on a lab machine's instances."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Protocol

import pytest
import yaml

from kmstwist.addresses import HostPort
from kmstwist.discovery.client.setup import FORMS, set_up
from kmstwist.kms.catalogue import find
from kmstwist.lab.windows.cim import Instance, instances
from kmstwist.lab.windows.powershell import Interpreter
from kmstwist.lab.windows.registry import below_of, entries, write
from kmstwist.lab.windows.shell import PowerShellError
from tests.lab.machines.conftest import Desk, desk, greenwich

__all__ = ["desk", "greenwich"]
APP = "55c92734-d682-4d71-983e-d6ec3f16059f"
WINDOWS = "Windows(R), Enterprise edition"


class Around:
    """A world of one machine, which notes what is called in it."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.called: list[tuple[str, str, list[str]]] = []

    def instances(self, class_name: str) -> list[Instance]:
        found = instances(self._desk.machine, self._desk.key, self._desk.now)
        return [one for one in found if one.class_name.lower() == class_name.lower()]

    def invoke(self, instance: Instance, method: str, arguments: Sequence[str]) -> None:
        self.called.append((instance.class_name, method, list(arguments)))

    def program(self, name: str, arguments: Sequence[str]) -> tuple[list[str], int] | None:
        if "slmgr" not in " ".join([name, *arguments]):
            return None
        return ["", "License Status: Licensed", ""], 0

    def registry(self, key: str) -> dict[str, str | int]:
        return {entry.name: entry.text for entry in entries(self._desk.machine) if entry.below == below_of(key)}

    def set_registry(self, key: str, name: str, value: str | None) -> None:
        write(self._desk.machine, below_of(key), name, value or "")


class Run(Protocol):
    """Runs a text; what it printed."""

    def __call__(self, text: str, *, modern: bool = False) -> list[str]: ...


@pytest.fixture
def around(desk: Desk) -> Around:
    desk.fill(30)
    desk.slmgr("/ato")
    return Around(desk)


@pytest.fixture
def run(around: Around) -> Run:
    def run(text: str, *, modern: bool = False) -> list[str]:
        return Interpreter(around, modern=modern).run(text)[0]

    return run


@pytest.mark.parametrize(
    "text",
    [
        f"(Get-CimInstance SoftwareLicensingProduct -Filter \"ApplicationID='{APP}' AND PartialProductKey IS NOT NULL\").LicenseStatus",
        "(Get-CimInstance -ClassName SoftwareLicensingProduct -Filter \"Name like 'Windows%'\" | where { $_.PartialProductKey }).LicenseStatus",
        f"Get-CimInstance SoftwareLicensingProduct | ? {{ $_.PartialProductKey -and $_.ApplicationId -eq '{APP}' }} | select -ExpandProperty LicenseStatus",
        "Get-WmiObject -Query \"SELECT LicenseStatus FROM SoftwareLicensingProduct WHERE PartialProductKey <> null AND Name LIKE 'Windows%'\" | % LicenseStatus",
        "gwmi SoftwareLicensingProduct | Where-Object Name -like 'Windows*' | Where-Object PartialProductKey | Select-Object -First 1 -ExpandProperty LicenseStatus",
        '$lic = Get-CimInstance SoftwareLicensingProduct -Filter "PartialProductKey is not null" -ErrorAction SilentlyContinue | Select-Object -First 1\n$lic.LicenseStatus',
        "$p = @(Get-CimInstance SoftwareLicensingProduct -Filter \"Name like 'Windows%'\"); $p[0].LicenseStatus",
        "$n = 0; foreach ($p in Get-CimInstance SoftwareLicensingProduct) { if ($p.LicenseStatus -eq 1) { $p.LicenseStatus } }",
        "[int](Get-CimInstance SoftwareLicensingProduct | Where-Object { $_.Name -match 'Windows' -and $_.LicenseStatus -in 1,2 }).LicenseStatus",
    ],
)
def test_the_licence_status_is_asked_in_many_ways(run: Run, text: str) -> None:
    assert run(text) == ["1"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "if ((Get-CimInstance SoftwareLicensingProduct | ? LicenseStatus -eq 1).Count -gt 0) { 'yes' } else { 'no' }",
            "yes",
        ),
        ("(Get-CimInstance SoftwareLicensingProduct | Measure-Object).Count", "2"),
        ("(Get-WmiObject SoftwareLicensingService).Version", "10.0.26100.1"),
        ('"$((Get-CimInstance Win32_OperatingSystem).Caption)"', "Microsoft Windows 11 Enterprise"),
        ("(gcim SoftwareLicensingService).KeyManagementServiceHostCaching", "True"),
        (
            "(cscript //nologo C:\\Windows\\System32\\slmgr.vbs /dli | Select-String 'License Status') -match 'Licensed'",
            "True",
        ),
        (
            "$out = & cscript.exe //nologo \"$env:windir\\system32\\slmgr.vbs\" /dli 2>&1; if ($out -notcontains 'License Status: Licensed') { 'bad' } else { 'good' }",
            "good",
        ),
        (
            "Get-CimInstance SoftwareLicensingProduct | ? { -not $_.PartialProductKey } | Measure-Object | select -Exp Count",
            "0",
        ),
        ("'{0:x8}' -f (Get-CimInstance SoftwareLicensingProduct)[0].LicenseStatusReason", "4004f040"),
        (
            "(Get-CimInstance SoftwareLicensingProduct | sort LicenseStatus -Descending | select -First 1).Name.Split(',')[0]",
            "Office 21",
        ),
    ],
)
def test_other_questions(run: Run, text: str, said: str) -> None:
    assert run(text) == [said]


FUNCTIONS = """
$lic = Get-CimInstance SoftwareLicensingProduct -Filter "PartialProductKey IS NOT NULL" -ErrorAction Stop | Where-Object { $_.ApplicationID -eq '55c92734-d682-4d71-983e-d6ec3f16059f' }
try {
    $status = switch ($lic.LicenseStatus) {
        0 { "Unlicensed" }
        1 { "Licensed" }
        default { "Unknown" }
    }
} catch {
    Write-Host "failed: $_"
}
if ($status -ne "Licensed") {
    Write-Host "not activated" -ForegroundColor Red
    exit 2
}
$days = [math]::Round($lic.GracePeriodRemaining / 1440, 1)
Write-Output ("OK: " + $lic.Name + " for $days days")
exit 0
Write-Output "never"
"""


def test_a_check_as_monitoring_has_them_runs_to_its_exit(around: Around) -> None:
    assert Interpreter(around).run(FUNCTIONS) == ([f"OK: {WINDOWS} for 180 days"], 0)
    around._desk.slmgr("/rearm")
    assert Interpreter(around).run(FUNCTIONS) == (["not activated"], 2)


def test_properties_are_calculated_and_things_made(run: Run) -> None:
    text = (
        "Get-CimInstance SoftwareLicensingProduct -Filter \"Name LIKE 'Windows%'\" | Select-Object Name, "
        "@{n='Status'; e={ if ($_.LicenseStatus -eq 1) { 'Licensed' } else { 'Other' } }}, "
        "@{Name='Days';Expression={[int]($_.GracePeriodRemaining/1440)}} | ConvertTo-Json"
    )
    assert json.loads("\n".join(run(text, modern=True))) == {"Name": WINDOWS, "Status": "Licensed", "Days": 180}
    made = run("[pscustomobject]@{ Activated = $true; Count = 2 + 3 * 2 } | ConvertTo-Json -Compress", modern=True)
    assert json.loads(made[0]) == {"Activated": True, "Count": 8}


def test_an_error_is_caught_and_an_operator_replaces(run: Run) -> None:
    assert run("try { Get-Frob } catch { 'caught' } finally { 'end' }") == ["caught", "end"]
    assert run("$a = 1; $a += 2; $a; 'a-b' -replace '-', '+'") == ["3", "a+b"]


def test_patterns_leave_what_they_matched(run: Run) -> None:
    lines = "$out = 'License Status: Licensed', 'Partial Product Key: 2YT43'; "
    assert run(lines + "if ($out[1] -match 'Key: (\\w{5})') { $matches[1] }") == ["2YT43"]
    found = "$out | Select-String 'Product Key: (\\w+)' | ForEach-Object { $_.Matches.Groups[1].Value }"
    assert run(lines + found) == ["2YT43"]
    split = "(($out | ? { $_ -match 'License Status:' }) -split ':')[1].Trim()"
    assert run(lines + split) == ["Licensed"]


def test_the_registry_is_read_and_written(run: Run) -> None:
    key = "HKLM:\\SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion\\SoftwareProtectionPlatform".replace("\\\\", "\\")
    run(f"Set-ItemProperty -Path '{key}' -Name KeyManagementServiceName -Value kms9")
    assert run(f"(Get-ItemProperty '{key}').KeyManagementServiceName") == ["kms9"]
    assert run(f"$null -eq (Get-ItemProperty '{key}').KeyManagementServiceLookupDomain; Test-Path '{key}'") == [
        "True",
        "True",
    ]


def test_few_properties_are_a_table_and_many_a_list(run: Run) -> None:
    table = run(
        "Get-CimInstance SoftwareLicensingProduct -Filter \"Name LIKE 'Windows%'\" | select Name, LicenseStatus"
    )
    assert table[1:4] == [
        "Name                           LicenseStatus",
        "----                           -------------",
        f"{WINDOWS}             1",
    ]
    listed = run("Get-CimInstance SoftwareLicensingProduct | fl Name,PartialProductKey,GracePeriodRemaining")
    assert listed[2:5] == [
        f"Name                 : {WINDOWS}",
        "PartialProductKey    : 2YT43",
        "GracePeriodRemaining : 259200",
    ]
    everything = run("Get-CimInstance SoftwareLicensingProduct | select *")
    assert sum(line.startswith("LicenseStatusReason ") for line in everything) == 2


def test_json_is_that_of_the_powershell_that_is_called(run: Run) -> None:
    text = "Get-CimInstance SoftwareLicensingProduct | select Name,LicenseStatus,LicenseIsAddon | ConvertTo-Json"
    for modern in (True, False):
        assert [one["LicenseStatus"] for one in json.loads("\n".join(run(text, modern=modern)))] == [1, 2]
    assert '        "LicenseStatus":  1,' in run(text)
    assert run(f"{text} -Compress", modern=True)[0].startswith(
        f'[{{"Name":"{WINDOWS}","LicenseStatus":1,"LicenseIsAddon":false}}'
    )


def test_a_machine_is_set_and_activated_by_its_methods(run: Run, around: Around) -> None:
    run(
        "$s = Get-WmiObject SoftwareLicensingService; $s.SetKeyManagementServiceMachine('kms'); $s.RefreshLicenseStatus()"
    )
    run(
        "$p = Get-CimInstance SoftwareLicensingProduct -Filter \"Name LIKE 'Windows%'\"; Invoke-CimMethod -InputObject $p -MethodName Activate"
    )
    run("gcim SoftwareLicensingProduct | ? PartialProductKey | Invoke-CimMethod -MethodName Activate | Out-Null")
    assert [call[:2] for call in around.called] == [
        ("SoftwareLicensingService", "SetKeyManagementServiceMachine"),
        ("SoftwareLicensingService", "RefreshLicenseStatus"),
        *[("SoftwareLicensingProduct", "Activate")] * 3,
    ]
    assert around.called[0][2] == ["kms"]


class WithSlmgr(Around):
    """A world whose slmgr.vbs is the machine's."""

    def program(self, name: str, arguments: Sequence[str]) -> tuple[list[str], int] | None:
        at = next((index for index, word in enumerate(arguments) if word.lower().endswith("slmgr.vbs")), None)
        if at is None:
            return None
        output = self._desk.run(*arguments[at + 1 :])
        return output.lines, output.code


@pytest.mark.parametrize("host", [HostPort("kms", 1700), HostPort("kms", 1688), None], ids=str)
def test_the_tasks_that_set_a_client_up_change_it_once(desk: Desk, host: HostPort | None) -> None:
    desk.fill(30)
    desk.slmgr("/skms", "elsewhere:1999")
    plan = set_up(find("Windows 11 / 10 Enterprise"), host)
    scripts = [task["ansible.windows.win_shell"] for task in yaml.safe_load(FORMS["ansible"](plan))]
    ran = [Interpreter(WithSlmgr(desk)).run(script) for script in scripts]
    assert [code for _, code in ran] == [0] * len(scripts)
    # What it has already is left alone: its key, and a domain that was never set.
    changed = [lines[-1:] == ["kmstwist: changed"] for lines, _ in ran]
    assert changed == ([False, True, True, False] if host else [False, True, False, True, False])
    again = [Interpreter(WithSlmgr(desk)).run(script) for script in scripts]
    assert not any("kmstwist: changed" in lines for lines, _ in again)


def test_a_script_ends_with_its_own_code(around: Around) -> None:
    assert Interpreter(around).run("if (1 -eq 2) { exit 0 } else { exit 3 }") == ([], 3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Get-Frob", "'Get-Frob' is not recognized"),
        ('Get-CimInstance SoftwareLicensingProduct -Filter "Name === 1"', "Invalid query"),
        ("$x = 'no end", "this string has no end"),
        ("1 +", "is not understood"),
        ("function f { 1 }", "is not"),
    ],
)
def test_what_is_not_understood_is_refused(run: Run, text: str, said: str) -> None:
    with pytest.raises(PowerShellError, match=said):
        run(text)
