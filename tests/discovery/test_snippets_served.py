"""The printed lines, given to the servers they are for: `dig` then finds our record."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from kmstwist.discovery.client import snippets
from kmstwist.discovery.publishing.publication import Publication
from tests.discovery.named import StartNamed
from tests.ports import free_port
from tests.waiting import PATIENCE, wait_until

RECORDS = [
    Publication("corp.test", "gw.corp.test", 1700, 5, 20, 900),
    Publication("lab.corp.test", "gw2.corp.test"),
]
EXPECTED = {"corp.test": ["5 20 1700 gw.corp.test."], "lab.corp.test": ["0 100 1688 gw2.corp.test."]}


def printed(form: str) -> str:
    return "\n".join(snippets.FORMS[form](record, "corp.test", None) for record in RECORDS) + "\n"


def seen(dig: str, port: int) -> dict[str, list[str]]:
    """The records of each domain, as soon as the server answers."""

    def answer(domain: str) -> list[str]:
        command = [dig, "@127.0.0.1", "-p", str(port), "+tries=1", "+time=10", "+short", f"_vlmcs._tcp.{domain}", "SRV"]
        said = subprocess.run(command, capture_output=True, text=True)
        return [] if said.returncode else sorted(said.stdout.splitlines())

    return {domain: wait_until(partial(answer, domain)) for domain in EXPECTED}


def served(command: list[str], dig: str, port: int, log: Path) -> dict[str, list[str]]:
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            return seen(dig, port)
        finally:
            process.terminate()
            process.wait(PATIENCE)


@pytest.mark.needs("dnsmasq", "dig")
def test_dnsmasq_serves_its_lines(tmp_path: Path, program: Callable[[str], Any]) -> None:
    port, file = free_port(), tmp_path / "dnsmasq.conf"
    file.write_text(printed("dnsmasq"))
    checked = subprocess.run([program("dnsmasq"), "--test", f"--conf-file={file}"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    here = ["--listen-address=127.0.0.1", "--bind-interfaces", "--no-resolv", "--no-hosts", "--pid-file=", "--user="]
    command = [program("dnsmasq"), "--keep-in-foreground", f"--conf-file={file}", f"--port={port}", *here]
    assert served(command, program("dig"), port, tmp_path / "log") == EXPECTED


@pytest.mark.needs("unbound", "unbound-checkconf", "dig")
def test_unbound_serves_its_lines(tmp_path: Path, program: Callable[[str], Any]) -> None:
    port, file = free_port(), tmp_path / "unbound.conf"
    file.write_text(printed("unbound"))
    checked = subprocess.run([program("unbound-checkconf"), str(file)], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    here = (
        f'interface: 127.0.0.1@{port}\nusername: ""\nchroot: ""\ndirectory: "{tmp_path}"\npidfile: ""\nuse-syslog: no\n'
    )
    file.write_text(file.read_text() + here)
    assert served([program("unbound"), "-d", "-c", str(file)], program("dig"), port, tmp_path / "log") == EXPECTED


@pytest.mark.needs("named", "dig")
def test_bind_serves_its_lines_beside_those_that_are_there(start_named: StartNamed) -> None:
    named = start_named({"corp.test": "_vlmcs._tcp 900 IN SRV 0 0 1688 licensed\n" + printed("bind")})
    for domain, records in EXPECTED.items():
        others = ["0 0 1688 licensed.corp.test."] if domain == "corp.test" else []
        assert named.dig(f"_vlmcs._tcp.{domain}", "SRV") == sorted([*others, *records])
