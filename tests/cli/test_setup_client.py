from __future__ import annotations

import pytest
from click.testing import CliRunner, Result

from kmstwist.cli.clients.setup_client import FORMS, setup_client
from kmstwist.discovery.client import setup


def run(*arguments: str) -> Result:
    return CliRunner().invoke(setup_client, arguments)


def test_the_commands_for_cmd_are_these() -> None:
    result = run("--product", "windows server 2022 standard", "--host", "KMS.corp.example")
    assert result.exit_code == 0
    assert result.stdout == (
        "rem Activate Windows Server 2022 Standard by KMS at kms.corp.example:1688.\n"
        "rem Run as administrator.\n"
        "rem The product activates when the KMS host counts 5 machines or more.\n"
        "rem install the client setup key\n"
        'cscript //nologo "%windir%\\system32\\slmgr.vbs" /ipk VDYBN-27WPP-V4HQT-9VMD4-VMK7H\n'
        "rem set the KMS host\n"
        'cscript //nologo "%windir%\\system32\\slmgr.vbs" /skms kms.corp.example:1688\n'
        "rem activate now\n"
        'cscript //nologo "%windir%\\system32\\slmgr.vbs" /ato\n'
        "rem show the licence and the KMS host used\n"
        'cscript //nologo "%windir%\\system32\\slmgr.vbs" /dlv\n'
    )


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_printed(form: str) -> None:
    result = run("--product", "Visio LTSC Standard 2021", "--discover", "--domain", "corp.example", "--as", form)
    assert result.exit_code == 0
    assert "/skms-domain:corp.example" in result.stdout


def test_the_forms_offered_are_those_there_are() -> None:
    assert set(FORMS) == set(setup.FORMS)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--product", "Windws 11 Pro", "--host", "kms.test"), "did you mean"),
        (("--product", "Windows 11 Pro"), "--discover to let the client ask DNS"),
        (("--product", "Windows 11 Pro", "--host", "kms.test", "--discover"), "Give either --host"),
        (("--product", "Windows 11 Pro", "--host", "kms.test", "--domain", "d.test"), "--domain goes with --discover"),
        (("--product", "Windows 11 Pro", "--host", "kms.test:99999"), "1 to 65535"),
        (("--product", "Windows 11 Pro", "--host", 'x" & del *'), "not a host name"),
        (("--product", "Windows 11 Pro", "--discover", "--domain", "a b"), "letters, digits and hyphens"),
        (("--product", "Word 2019", "--host", "2001:db8::7"), "AAAA"),
    ],
)
def test_bad_input_is_one_sentence_and_a_failing_status(arguments: tuple[str, ...], complaint: str) -> None:
    result = run(*arguments)
    assert result.exit_code in (1, 2)
    assert complaint in result.stderr
    assert "Traceback" not in result.output
