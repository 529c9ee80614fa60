"""The lines for other DNS servers; BIND's own programs check those for BIND."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from kmstwist.addresses import HostPort
from kmstwist.discovery.client import snippets
from kmstwist.discovery.publishing.publication import Publication
from tests.discovery.named import ZONE, StartNamed, program

OURS = Publication("lab.corp.test", "gw.corp.test", priority=1, weight=20, port=1700, ttl=5400)


def test_dnsmasq_has_target_port_priority_weight() -> None:
    assert snippets.dnsmasq(OURS, "corp.test") == "srv-host=_vlmcs._tcp.lab.corp.test,gw.corp.test,1700,1,20"


def test_unbound_has_the_whole_record_in_quotes() -> None:
    assert snippets.unbound(OURS, "corp.test").splitlines() == [
        "server:",
        '    local-data: "_vlmcs._tcp.lab.corp.test. 5400 IN SRV 1 20 1700 gw.corp.test."',
    ]


def test_powershell_names_the_record_within_its_zone() -> None:
    assert snippets.powershell(OURS, "corp.test", HostPort("dc1.corp.test", 53)) == (
        "Add-DnsServerResourceRecord -Srv -ZoneName 'corp.test' -Name '_vlmcs._tcp.lab' "
        "-DomainName 'gw.corp.test.' -Priority 1 -Weight 20 -Port 1700 -TimeToLive 0.01:30:00 "
        "-ComputerName 'dc1.corp.test'"
    )
    assert "-Name '_vlmcs._tcp' " in snippets.powershell(OURS, "lab.corp.test")


@pytest.mark.needs("named")
def test_bind_takes_the_zone_line(tmp_path: Path) -> None:
    zone = tmp_path / "corp.test.zone"
    zone.write_text(ZONE.format(zone="corp.test") + "gw A 192.0.2.9\n" + snippets.bind(OURS, "corp.test") + "\n")
    checked = subprocess.run([program("named-checkzone"), "-D", "corp.test", zone], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert any(
        line.split() == ["_vlmcs._tcp.lab.corp.test.", "5400", "IN", "SRV", "1", "20", "1700", "gw.corp.test."]
        for line in checked.stdout.splitlines()
    )


@pytest.mark.needs("named", "dig", "nsupdate")
def test_nsupdate_takes_the_script_and_leaves_other_records(start_named: StartNamed) -> None:
    named = start_named({"corp.test": "_vlmcs._tcp.lab 5400 IN SRV 0 0 1688 kms.corp.test.\n"})
    script = snippets.nsupdate(OURS, "corp.test", named.server)
    subprocess.run([program("nsupdate"), "-k", named.key_file()], input=script, text=True, check=True)
    assert named.dig("_vlmcs._tcp.lab.corp.test", "SRV") == ["0 0 1688 kms.corp.test.", "1 20 1700 gw.corp.test."]
