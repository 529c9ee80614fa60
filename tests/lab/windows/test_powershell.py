# ruff: noqa: E501
"""The shim's PowerShell: lines of public scripts, on a lab machine's instances."""

from __future__ import annotations

import json

import pytest

from kmstwist.lab.windows.cim import Instance, instances
from kmstwist.lab.windows.expressions import PowerShellError
from kmstwist.lab.windows.powershell import Interpreter
from tests.lab.machines.conftest import desk, greenwich

__all__ = ["desk", "greenwich"]
APP = "55c92734-d682-4d71-983e-d6ec3f16059f"
WINDOWS = "Windows(R), Enterprise edition"


class Around:
    """A world of one machine, which notes what is called in it."""

    def __init__(self, desk) -> None:
        self._desk = desk
        self.called: list[tuple[str, str, list[str]]] = []

    def instances(self, class_name: str) -> list[Instance]:
        found = instances(self._desk.machine, self._desk.key, self._desk.now)
        return [one for one in found if one.class_name.lower() == class_name.lower()]

    def invoke(self, instance, method, arguments) -> None:
        self.called.append((instance.class_name, method, list(arguments)))

    def program(self, name, arguments):
        if "slmgr" not in " ".join([name, *arguments]):
            return None
        return ["", "License Status: Licensed", ""], 0


@pytest.fixture
def around(desk) -> Around:
    desk.fill(30)
    desk.slmgr("/ato")
    return Around(desk)


@pytest.fixture
def run(around):
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
def test_the_licence_status_is_asked_in_many_ways(run, text) -> None:
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
def test_other_questions(run, text, said) -> None:
    assert run(text) == [said]


def test_few_properties_are_a_table_and_many_a_list(run) -> None:
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


def test_json_is_that_of_the_powershell_that_is_called(run) -> None:
    text = "Get-CimInstance SoftwareLicensingProduct | select Name,LicenseStatus,LicenseIsAddon | ConvertTo-Json"
    for modern in (True, False):
        assert [one["LicenseStatus"] for one in json.loads("\n".join(run(text, modern=modern)))] == [1, 2]
    assert '        "LicenseStatus":  1,' in run(text)
    assert run(f"{text} -Compress", modern=True)[0].startswith(
        f'[{{"Name":"{WINDOWS}","LicenseStatus":1,"LicenseIsAddon":false}}'
    )


def test_a_machine_is_set_and_activated_by_its_methods(run, around) -> None:
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


def test_a_script_ends_with_its_own_code(around) -> None:
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
def test_what_is_not_understood_is_refused(run, text, said) -> None:
    with pytest.raises(PowerShellError, match=said):
        run(text)
