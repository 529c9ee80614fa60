"""Lab machines against a real lab: commands, connections, state that lasts."""

from __future__ import annotations

import signal
from pathlib import Path

from click.testing import CliRunner

from kmstwist.cli.lab.lab import lab as lab_command
from kmstwist.kms.labids import activation_id
from tests.ports import free_port
from tests.system.running import Server, kmstwist

WINDOWS = "Windows Server 2022 Standard"
OFFICE = "Office LTSC Professional Plus 2021"


def lab(folder: Path, *words: str) -> tuple[int, str]:
    """Run `kmstwist lab`; exit status and output. What acts on a client needs a process (and a reactor) of its own."""
    if words[0] in ("slmgr", "ospp") and words[1].startswith(("PC", "SRV")):
        done = kmstwist("lab", *words, "--state-dir", str(folder))
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout + done.stderr
    result = CliRunner().invoke(lab_command, [*words, "--state-dir", str(folder)])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.output


def test_an_administrator_practises_on_a_lab_machine(tmp_path: Path) -> None:
    folder = tmp_path / "lab"
    with Server(folder) as server:
        host = f"127.0.0.1:{server.port}"
        product = ("--product", WINDOWS)
        assert lab(folder, "machine", "new", "SRV1", *product, "--product", OFFICE, "--host", host)[0] == 0
        status, said = lab(folder, "slmgr", "SRV1", "/ato")
        assert (status, "0xC004F038" in said) == (1, True)
        for number in range(2, 6):
            clone = f"SRV{number}"
            assert lab(folder, "machine", "clone", "SRV1", clone, *(["--generalize"] if number > 2 else []))[0] == 0
        assert "share a CMID" in lab(folder, "machine", "list")[1]
        assert lab(folder, "machine", "generalize", "SRV2")[0] == 0
        assert "share a CMID" not in lab(folder, "machine", "list")[1]
        statuses = [lab(folder, "slmgr", f"SRV{number}", "/ato")[0] for number in range(2, 6)]
        assert statuses == [1, 1, 1, 0]
        assert lab(folder, "slmgr", "SRV1", "/ato") == (
            0,
            f"Activating Windows(R), ServerStandard edition ({activation_id(WINDOWS)}) ...\n"
            "Product activated successfully.\n\n",
        )
        assert "12289" in lab(folder, "events", "srv1", "--last", "1")[1]
        status, said = lab(folder, "ospp", "SRV1", "/act")
        assert (status, "ERROR CODE: 0xC004F038" in said) == (0, True)
        assert len(server.conversations(7)) == 7
        done = kmstwist("lab", "activate", "--machine", "SRV1", "--machine", "SRV2", "--state-dir", str(folder))
        assert f"SRV2  {WINDOWS}: licensed for 180 days" in done.stdout
        assert f"SRV1  {OFFICE}: 0xC004F038" in done.stdout
        assert done.returncode == 1
        assert server.stop() == 0
    status, said = lab(folder, "slmgr", "host", "/dlv")
    assert "    Current count: 5\n" in said
    assert f"Listening on Port: {server.port}" in said
    assert "Total requests received: 11" in said
    status, said = lab(folder, "slmgr", "SRV1", "/ato")
    assert (status, "0xC004F074" in said) == (1, True)
    assert "0x800706BA" in lab(folder, "events", "SRV1", "--last", "1")[1]


def test_a_command_on_another_computer_and_on_one_that_does_not_exist(tmp_path: Path) -> None:
    folder = tmp_path / "lab"
    with Server(folder) as server:
        server.stop()
    for name in ("PC1", "PC2"):
        assert lab(folder, "machine", "new", name, "--product", OFFICE)[0] == 0
    assert lab(folder, "slmgr", "PC1", "PC2", "admin", "secret", "/skms", "kms2")[0] == 0
    assert "kms2:1688" in lab(folder, "machine", "show", "PC2")[1]
    assert "kms2:1688" not in lab(folder, "machine", "show", "PC1")[1]
    assert lab(folder, "ospp", "PC1", "/sethst:kms3", "pc2")[0] == 0
    assert "kms3" in lab(folder, "ospp", "PC2", "/dstatus")[1]
    assert "Current count" in lab(folder, "slmgr", "PC1", "host", "/dli")[1]
    for words in (("slmgr", "PC1", "PC3", "/dli"), ("ospp", "PC1", "/dstatus", "PC3", "admin", "secret")):
        status, said = lab(folder, *words)
        assert 'there is no lab machine "PC3"' in said
        if words[0] == "slmgr":
            assert "Error 0x800706BA occurred in connecting to server PC3. The RPC server is unavailable" in said
        # ospp exits with 0 even if something failed.
        assert status == (words[0] == "slmgr")
    assert lab(folder, "slmgr", "PC9", "PC1", "/dli")[0] == 1


def test_what_slmgr_sets_on_the_host_holds_after_a_restart(tmp_path: Path) -> None:
    folder = tmp_path / "lab"
    with Server(folder) as server:
        server.stop()
    for words in (("/sai", "15"), ("/sri", "60"), ("/cpri",)):
        assert lab(folder, "slmgr", "host", *words)[0] == 0
    with Server(folder) as server:
        lab(folder, "machine", "new", "PC1", "--product", WINDOWS, "--host", f"127.0.0.1:{server.port}")
        lab(folder, "slmgr", "PC1", "/ato")
        assert ", 15, 60, " in lab(folder, "events", "PC1")[1]
        lab(folder, "slmgr", "host", "/sai", "30")
        shown = lab(folder, "slmgr", "host", "/dlv")[1]
        assert "(until the lab is started again: 15)" in _line(shown, "activation interval")
        server.process.send_signal(signal.SIGHUP)
        server.wait_for(r" config\b")
        niceness = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()[16]
        assert int(niceness) >= 10
        server.stop()
    # The intervals did not need a restart.
    assert (
        _line(lab(folder, "slmgr", "host", "/dlv")[1], "activation interval")
        == "The activation interval is 30 minutes."
    )


def _line(said: str, wanted: str) -> str:
    [line] = [line.strip() for line in said.splitlines() if wanted in line]
    return line


def test_the_clock_of_a_lab_host_can_be_wrong(tmp_path: Path) -> None:
    folder = tmp_path / "lab"
    with Server(folder, "--lab-clock-error=300") as server:
        lab(folder, "machine", "new", "PC1", "--product", WINDOWS, "--host", f"127.0.0.1:{server.port}")
        status, said = lab(folder, "slmgr", "PC1", "/ato")
        # The refusal is reported beside Windows' own output, and is in the log.
        assert (status, "Error: 0xC004F074" in said, "refused: 0xC004F06C" in said) == (1, True, True)
        assert "\n0xC004F06C, 0x00000000, 127.0.0.1:" in lab(folder, "events", "PC1")[1]
        [line] = server.conversations(1)
        assert line["reason"] == "lab-clock"
        server.stop()


def test_a_mistake_gets_one_sentence(tmp_path: Path) -> None:
    folder = tmp_path / "lab"
    assert 'there is no lab machine "NOBODY"' in lab(folder, "slmgr", "NOBODY", "/ato")[1]
    with Server(folder, port=free_port()) as server:
        server.stop()
    for words, said in (
        (("slmgr", "NOBODY", "/ato"), 'no lab machine "NOBODY"'),
        (("slmgr", "NOBODY", "/sia"), 'no lab machine "NOBODY"'),
        (("slmgr", "host", "/sia"), "Unrecognized option: /sia"),
        (("machine", "new", "host", "--product", WINDOWS), "is the lab host itself"),
        (("machine", "new", "a b", "--product", WINDOWS), "not a machine name"),
        (("machine", "new", "PC1", "--product", "Windows 12"), "the catalogue has no product"),
        (("machine", "new", "PC1", "--product", WINDOWS, "--product", "Windows 11 Pro"), "one Windows"),
        (("confirm", "12345"), "0xC004F02F"),
        (("machine", "age", "PC1", "nan"), "nan is not a number"),
        (("slmgr", "host", "/skms", "kms"), "a KMS host is not its own client"),
        (("events", "PC1"), "no lab machine"),
    ):
        status, output = lab(folder, *words)
        assert status != 0
        assert said in output
    assert lab(folder, "hostkey")[1].startswith("LABHK-")
