"""Samba as a client: its tests of the raw protocol, which contain Windows' answers, and its own RPC library."""

from __future__ import annotations

import json
import os
import re
import struct
import subprocess
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.system.conftest import Server, StartServer

#: The suite mostly waits (10 ms after each of a thousand fragments), so its tests are shared among runners.
RUNNERS = 4
#: The tests of the suite that need neither authentication nor SMB.
UNAUTHENTICATED_TESTS = 88


def windows_of_the_suite() -> str:
    """The Windows whose answers the installed suite expects: since 2024 it knows those of the newer ones too."""
    suite = Path("/usr/lib/python3/dist-packages/samba/tests/dcerpc/raw_protocol.py")
    return "2025" if "legacy_bind_nak_no_reason" in suite.read_text() else "2012r2"


@pytest.mark.needs("samba")
@pytest.mark.skipif(os.geteuid() != 0, reason="the suite needs a port of three digits, and only root may have one")
def test_the_server_passes_every_unauthenticated_test_of_sambas_raw_protocol_suite(
    start_server: StartServer, tmp_path: Path
) -> None:
    config = tmp_path / "kmstwist.toml"
    config.write_text(f'[server]\nwindows = "{windows_of_the_suite()}"\n')
    server = start_server(f"--config={config}", port=free_port(range(101, 999)))
    command = ["/usr/bin/python3", str(Path(__file__).with_name("samba_suite.py")), str(server.port)]
    runners = [
        subprocess.Popen(
            [*command, str(part), str(RUNNERS)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for part in range(RUNNERS)
    ]
    ran = 0
    for runner in runners:
        report, _ = runner.communicate(timeout=600)
        assert runner.returncode == 0, report[-6000:]
        summary = re.search(r"^ran (\d+) of (\d+)$", report, re.MULTILINE)
        assert summary is not None, report[-6000:]
        ran += int(summary[1])
    assert ran >= UNAUTHENTICATED_TESTS
    server.end()


@pytest.mark.needs("samba")
@pytest.mark.parametrize("options", ["", ",bigendian", ",ndr64", ",bigendian,ndr64"])
def test_sambas_client_is_served_in_either_byte_order_and_transfer_syntax(options: str, lab: Server) -> None:
    script = Path(__file__).with_name("samba_client.py")
    command = ["/usr/bin/python3", str(script), f"ncacn_ip_tcp:127.0.0.1[{lab.port}{options}]"]
    environment = {**os.environ, "SMB_CONF_PATH": os.devnull}
    told = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment)
    assert told.returncode == 0, told.stderr
    answers = json.loads(told.stdout)
    if "ndr64" not in options:
        calls_in, calls_out, packets_in, packets_out = answers.pop("statistics")
        # The call that asks has been counted, and its answer has not.
        assert (calls_in - calls_out, packets_in - packets_out) == (1, 1)
    assert answers == {
        "listening": [0, 1],
        "interfaces": [
            ["51c82175-844e-4750-b0d8-ec255555bc06", 1],
            ["0521e8d2-3ca9-40cc-874f-bf49d775097e", 1],
        ],
        "reach": struct.pack("<6I", 2, 0, 0, 0, 0, 0).hex(),
        "stop": 5,
        "principal": 1747,
    }
