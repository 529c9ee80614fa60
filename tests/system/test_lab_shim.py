"""The shim's programs as scripts call them, and an Ansible play that runs through them unchanged."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from kmstwist.lab.keys import LabKey
from tests.system.running import Server, kmstwist

WINDOWS = "Windows Server 2022 Standard"
OFFICE = "Office LTSC Professional Plus 2021"
PLAY = Path(__file__).parents[2] / "docs/examples/activate.yml"
ANSIBLE = Path(sys.executable).parent / "ansible-playbook"


def made(folder: Path, host: str = "127.0.0.1:9") -> Path:
    """A machine in a lab, and the folder of its programs."""
    state = f"--state-dir={folder / 'lab'}"
    LabKey.load_or_create(folder / "lab" / "lab.key", os.urandom)
    products = (f"--product={WINDOWS}", f"--product={OFFICE}")
    assert kmstwist("lab", "machine", "new", "SRV1", *products, f"--host={host}", state).returncode == 0
    done = kmstwist("lab", "shim", str(folder / "bin"), "--machine=srv1", "--quiet", state)
    assert done.returncode == 0, done.stderr
    return folder / "bin"


def run(bin_: Path, *words: str, script: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program of the shim as a script would. Returns its exact output, line ends included."""
    environment = os.environ | {"PATH": f"{bin_}:{os.environ['PATH']}"}
    done = subprocess.run(words, env=environment, capture_output=True, timeout=120, input=(script or "").encode())
    return subprocess.CompletedProcess(words, done.returncode, done.stdout.decode(), done.stderr.decode())


def test_cscript_takes_windows_paths_and_options_and_prints_windows_lines(tmp_path: Path) -> None:
    bin_ = made(tmp_path)
    shown = run(bin_, "cscript", "//nologo", r"C:\Windows\System32\slmgr.vbs", "/dli")
    assert shown.stdout.startswith("\r\nName: Windows(R), ServerStandard edition\r\nDescription: ")
    assert shown.stdout.endswith("in order to update values.\r\n\r\n\r\n")
    assert shown.stdout.count("\n") == shown.stdout.count("\r\n")
    assert shown.stderr == ""
    banner = run(bin_, "cscript.exe", "%windir%/system32/slmgr.vbs", "-dli").stdout
    assert banner.split("\r\n")[0].startswith("Microsoft (R) Windows Script Host Version 5.8")
    assert banner.split("\r\n", 3)[3] == shown.stdout
    assert run(bin_, "slmgr", "/dli").stdout == run(bin_, "slmgr.vbs", "/dli").stdout == shown.stdout
    failed = run(bin_, "cscript", "//B", "//Nologo", "slmgr.vbs", "/ato")
    assert (failed.returncode, failed.stdout) == (1, "")
    office = run(bin_, "cscript", "//nologo", r"C:\Program Files\Microsoft Office\Office16\OSPP.VBS", "/act")
    assert "ERROR CODE: 0xC004F074\r\n" in office.stdout
    assert office.returncode == 0
    assert run(bin_, "cscript", "other.vbs").returncode == 1


def test_powershell_is_called_in_each_of_its_ways(tmp_path: Path) -> None:
    bin_ = made(tmp_path)
    text = "(Get-CimInstance SoftwareLicensingProduct | Where-Object PartialProductKey)[1].PartialProductKey"
    file = tmp_path / "ask.ps1"
    file.write_text(text)
    encoded = base64.b64encode(text.encode("utf-16-le")).decode()
    for words in (
        ("powershell", "-NoProfile", "-ExecutionPolicy", "Bypass", "-Command", text),
        ("powershell.exe", "-nop", "-ep", "bypass", "-EncodedCommand", encoded),
        ("pwsh", "-NonInteractive", "-File", str(file)),
        ("powershell", text),
    ):
        assert run(bin_, *words).stdout == "6F7TH\r\n", words
    assert run(bin_, "powershell", "-", script=text).stdout == "6F7TH\r\n"
    assert run(bin_, "powershell", "-c", "exit 7").returncode == 7
    wrong = run(bin_, "powershell", "-c", "Get-Frob")
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert "Get-Frob" in wrong.stderr


def test_several_programs_run_in_one_script_and_change_the_machine(tmp_path: Path) -> None:
    bin_ = made(tmp_path)
    script = (
        "$s = Get-WmiObject SoftwareLicensingService; [void]$s.SetKeyManagementServiceMachine('kms9');"
        "cscript //nologo c:\\windows\\system32\\slmgr.vbs /act-type 2 | Out-Null;"
        "cscript //nologo c:\\windows\\system32\\slmgr.vbs /ato | Out-Null; $LASTEXITCODE -ne 0;"
        "(Get-WmiObject SoftwareLicensingService).KeyManagementServiceMachine"
    )
    assert run(bin_, "powershell", "-c", script).stdout == "True\r\nkms9\r\n"
    key = r"HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion\SoftwareProtectionPlatform"
    asked = run(bin_, "reg", "query", key, "/v", "KeyManagementServiceName").stdout
    assert "    KeyManagementServiceName    REG_SZ    kms9\r\n" in asked
    assert (
        run(bin_, "reg", "add", key, "/v", "KeyManagementServiceName", "/t", "REG_SZ", "/d", "kms10", "/f").returncode
        == 0
    )
    assert "Registered KMS" not in run(bin_, "slmgr", "/dli").stdout
    assert "kms10" in run(bin_, "reg.exe", "query", key).stdout
    assert run(bin_, "reg", "query", key, "/v", "Other").returncode == 1


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    bin_ = made(tmp_path)
    state = f"--state-dir={tmp_path / 'lab'}"
    assert kmstwist("lab", "shim", str(bin_), "--machine=SRV1", state).returncode == 0
    (bin_ / "slmgr").unlink()
    (bin_ / "slmgr").symlink_to(tmp_path / "victim")
    done = kmstwist("lab", "shim", str(bin_), "--machine=SRV1", state)
    assert done.returncode == 1
    assert "already exists" in done.stderr
    assert not (tmp_path / "victim").exists()
    assert kmstwist("lab", "shim", str(bin_), "--machine=PC9", state).returncode == 1


@pytest.mark.skipif(not ANSIBLE.exists(), reason="ansible-core is not installed")
def test_the_play_of_the_documentation_activates_a_lab_machine(tmp_path: Path) -> None:
    with Server(tmp_path / "lab") as server:
        host = f"127.0.0.1:{server.port}"
        bin_ = made(tmp_path, host)
        state = f"--state-dir={tmp_path / 'lab'}"
        play = (ANSIBLE, "-c", "local", "-i", "localhost,", PLAY, "-e", f"kms_host={host}")
        environment = {"ANSIBLE_LOCALHOST_WARNING": "False", "LC_ALL": "C.UTF-8", "HOME": str(tmp_path)}
        done = run_play(play, bin_, environment)
        # One client alone is too few.
        assert done.returncode != 0
        assert "0xC004F038" in done.stdout
        kmstwist("lab", "activate", f"--product={WINDOWS}", "--count=5", f"--port={server.port}", state)
        done = run_play(play, bin_, environment)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "failed=0" in done.stdout
        server.stop()


def run_play(words: Iterable[object], bin_: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run Ansible with the shim first on the path."""
    return subprocess.run(
        [str(word) for word in words],
        env=os.environ | environment | {"PATH": f"{bin_}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=300,
    )
