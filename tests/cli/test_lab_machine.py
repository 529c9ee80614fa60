from __future__ import annotations

import json
import os
from pathlib import Path
from unittest.mock import ANY

import pytest
from click.testing import CliRunner, Result

from kmstwist.cli.lab.lab import lab
from kmstwist.kms.labids import activation_id
from kmstwist.lab.keys import LabKey


def new(tmp_path: Path, *words: str) -> Result:
    product = "--product=Windows 11 / 10 Enterprise"
    result = CliRunner().invoke(lab, ["machine", "new", "PC1", product, f"--state-dir={tmp_path}", *words])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


@pytest.mark.parametrize("text", ["corp.example:99", "[::1]", "10.0.0.1", ""])
def test_an_invalid_domain_is_refused(tmp_path: Path, text: str) -> None:
    result = new(tmp_path, f"--domain={text}")
    assert result.exit_code == 1
    assert "corp.example" in result.output
    assert new(tmp_path).exit_code == 0


@pytest.mark.parametrize(
    "words", [["slmgr", "NOPE", "/ato"], ["ospp", "NOPE", "/act"], ["activate", "--machine", "NOPE"]]
)
def test_a_missing_machine_is_reported_before_a_missing_key(tmp_path: Path, words: list[str]) -> None:
    result = CliRunner().invoke(lab, [*words, f"--state-dir={tmp_path}"])
    assert result.exit_code == 1
    assert 'there is no lab machine "NOPE"' in result.output


def test_an_option_before_the_machine_is_put_right(tmp_path: Path) -> None:
    result = CliRunner().invoke(lab, ["slmgr", "/ato", "PC1", f"--state-dir={tmp_path}"])
    assert result.exit_code == 2
    assert "the machine comes before the option: kmstwist lab slmgr PC1 /ato" in result.output


def test_an_internationalised_domain_is_kept_in_its_dns_form(tmp_path: Path) -> None:
    assert "PC1.xn--bcher-kva.example (virtual)" in new(tmp_path, "--domain=Bücher.example.").output


def run(*words: str) -> str:
    result = CliRunner().invoke(lab, list(words))
    assert result.exit_code == 0, result.output
    return result.stdout


def test_machines_are_shown_as_json_with_the_properties_of_windows(tmp_path: Path) -> None:
    LabKey.load_or_create(tmp_path / "lab.key", os.urandom)
    new(tmp_path, "--domain=corp.example", "--host=kms:1700", "--region=de-DE")
    state = f"--state-dir={tmp_path}"
    shown = json.loads(run("machine", "show", "pc1", "--json", state))
    [product] = shown["SoftwareLicensingProduct"]
    assert (shown["Name"], shown["Region"], product["PartialProductKey"]) == ("PC1", "de-DE", "2YT43")
    assert (product["LicenseStatus"], product["LicenseStatusReason"]) == (2, 0x4004F00C)
    assert (product["KeyManagementServiceMachine"], product["KeyManagementServicePort"]) == ("kms", 1700)
    assert product["ID"] == str(activation_id("Windows 11 / 10 Enterprise"))
    assert len(product["OfflineInstallationId"]) == 63
    assert shown["SoftwareLicensingService"]["KeyManagementServiceMachine"] == "kms"
    assert json.loads(run("machine", "list", "--json", state)) == [shown | {"SoftwareLicensingProduct": [ANY]}]
    assert json.loads(run("events", "PC1", "--json", state)) == []
    assert json.loads(run("events", "host", "--json", state)) == []


def test_the_registry_is_shown_and_set(tmp_path: Path) -> None:
    new(tmp_path)
    state = f"--state-dir={tmp_path}"
    run("machine", "registry", "PC1", "KeyManagementServiceName", "kms9", state)
    assert "    KeyManagementServiceName    REG_SZ    kms9\n" in run("machine", "registry", "PC1", state)
    assert "KMS host       kms9:1688" in run("machine", "show", "PC1", state)
    run("machine", "registry", "PC1", "KeyManagementServiceName", "--delete", state)
    assert "kms9" not in run("machine", "registry", "PC1", state)
    wrong = CliRunner().invoke(lab, ["machine", "registry", "PC1", "Other", "1", state])
    assert wrong.exit_code == 1
    assert "have no value Other" in wrong.output


def test_a_trouble_is_set_and_removed(tmp_path: Path) -> None:
    new(tmp_path)
    state = f"--state-dir={tmp_path}"
    assert "0xC004F200" in run("machine", "trouble", "PC1", "not-genuine", state)
    assert (
        json.loads(run("machine", "show", "PC1", "--json", state))["SoftwareLicensingProduct"][0]["LicenseStatus"] == 5
    )
    assert "has no trouble" in run("machine", "trouble", "PC1", "none", state)
    assert "not a region that the lab knows" in new(tmp_path, "--region=xx-XX").output
