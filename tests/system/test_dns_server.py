"""The real server in a real DNS: it publishes itself while it runs, and says which hosts it was not told of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.discovery.named import Named, StartNamed, start_named
from tests.ports import free_port
from tests.system.running import BIN, Server, fields, kmstwist, run
from tests.web.test_site import get, metrics

__all__ = ["start_named"]
pytestmark = pytest.mark.needs("named", "dig")

FOREIGN = "_vlmcs._tcp 1800 IN SRV 0 100 1688 licensed.corp.test.\nlicensed IN A 192.0.2.7\n"


def configure(folder: Path, named: Named, extra: str = "") -> Path:
    """A configuration that publishes and watches in corp.test."""
    configuration = folder / "kmstwist.toml"
    configuration.write_text(
        f"""
        [gateway]
        upstreams = [{{ address = "127.0.0.1:{free_port()}" }}]
        [dns]
        servers = ["{named.server}"]
        [dns.publish]
        domains = ["corp.test"]
        host = "gw.corp.test"
        key_file = "{named.key_file()}"
        server = "{named.server}"
        withdraw_on_stop = true
        [dns.watch]
        domains = ["corp.test"]
        {extra}
        """
    )
    return configuration


def test_a_gateway_publishes_itself_names_the_stranger_and_leaves_the_zone_as_it_was(
    start_named: StartNamed, tmp_path: Path
) -> None:
    named = start_named({"corp.test": FOREIGN})
    before = named.transfer("corp.test")
    with Server(tmp_path / "gateway", f"--config={configure(tmp_path, named)}") as gateway:
        published = fields(gateway.wait_for(" dns-published "))
        stranger = fields(gateway.wait_for(" dns-stranger "))
        while_running = named.dig("_vlmcs._tcp.corp.test", "SRV")
        assert gateway.stop() == 0
    assert published["domain"] == "corp.test"
    assert (stranger["host"], stranger["addresses"]) == ("licensed.corp.test", "192.0.2.7")
    assert set(while_running) == {f"0 100 {gateway.port} gw.corp.test.", "0 100 1688 licensed.corp.test."}
    assert named.transfer("corp.test") == before


def test_a_stranger_is_reported_by_metric_health_doctor_discover_and_report(
    start_named: StartNamed, tmp_path: Path
) -> None:
    named = start_named({"corp.test": FOREIGN})
    web, gateway_folder = free_port(), tmp_path / "gateway"
    configuration = configure(tmp_path, named, f'[web]\nlisten = "127.0.0.1:{web}"')
    with Server(gateway_folder, f"--config={configuration}") as gateway:
        gateway.wait_for(" dns-published ")
        gateway.wait_for(" dns-stranger ")
        seen = metrics(f"http://127.0.0.1:{web}/")
        assert seen["kmstwist_dns_published", "corp.test"] == 1
        assert seen["kmstwist_dns_strangers", "corp.test"] == 1
        told = "DNS names KMS hosts in corp.test that are not configured: licensed.corp.test:1688"
        assert told in get(f"http://127.0.0.1:{web}/readyz")[1]
        assert gateway.stop() == 0
    examined = kmstwist("doctor", "--json", "--timeout", "30", f"--config={configuration}").stdout
    [hosts] = [row for row in json.loads(examined)["findings"] if row["check"] == "hosts in corp.test"]
    assert (hosts["verdict"], "licensed.corp.test:1688" in hosts["finding"]) == ("WARNING", True)
    assert "[dns.watch]" in hosts["cure"]
    found = kmstwist("discover", "--domain=corp.test", "--no-probe", f"--config={configuration}").stdout
    assert "STRANGER: licensed.corp.test is in DNS" in found
    report = kmstwist("report", "strangers", "--format=json", f"--store={gateway_folder / 'audit.sqlite'}")
    [row] = json.loads(report.stdout)["rows"]
    assert (row["domain"], row["host"], row["port"], row["addresses"]) == (
        *("corp.test", "licensed.corp.test", 1688, "192.0.2.7"),
    )
    assert row["gone"] is None


def test_the_port_that_is_published_must_be_clear(tmp_path: Path) -> None:
    configuration = tmp_path / "kmstwist.toml"
    listen = '["tcp:1700:backlog=50", "tcp6:port=1701"]'
    configuration.write_text(
        f'[server]\nlisten = {listen}\n[dns.publish]\ndomains = ["corp.test"]\nhost = "gw.corp.test"\n'
    )
    command = [str(BIN / "twistd"), "-n", "--pidfile=", "kms", f"--state-dir={tmp_path / 'state'}"]
    result = run([*command, f"--config={configuration}"])
    assert result.returncode == 1
    assert "[dns.publish] port: this server listens on 1700, 1701; say which port clients are sent to" in result.stderr


def test_a_key_file_that_is_open_to_others_is_one_clear_sentence(start_named: StartNamed, tmp_path: Path) -> None:
    key = tmp_path / "tsig.key"
    key.write_text('key "gateway" { algorithm hmac-sha256; secret "bWFkZSBmb3IgdGhlIHRlc3RzIG9ubHksIDMyIGJ5dGU="; };\n')
    key.chmod(0o644)
    configuration = tmp_path / "kmstwist.toml"
    configuration.write_text(f'[dns.publish]\ndomains = ["corp.test"]\nkey_file = "{key}"\n')
    command = [str(BIN / "twistd"), "-n", "--pidfile=", "kms", "--port=0", f"--state-dir={tmp_path / 'state'}"]
    result = run([*command, f"--config={configuration}"])
    assert result.returncode == 1
    assert str(key) in result.stderr
    assert "bWFkZ" not in result.stderr + result.stdout
    assert "Traceback" not in result.stderr
