"""The real server in a real DNS: it publishes itself while it runs, and says which hosts it was not told of."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.discovery.named import StartNamed, start_named
from tests.system.running import BIN, Server, fields, free_port, run

__all__ = ["start_named"]
pytestmark = pytest.mark.needs("named", "dig")

FOREIGN = "_vlmcs._tcp 1800 IN SRV 0 100 1688 licensed.corp.test.\nlicensed IN A 192.0.2.7\n"


def test_a_gateway_publishes_itself_names_the_stranger_and_leaves_the_zone_as_it_was(
    start_named: StartNamed, tmp_path: Path
) -> None:
    named = start_named({"corp.test": FOREIGN})
    before = named.transfer("corp.test")
    configuration = tmp_path / "kmstwist.toml"
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
        """
    )
    with Server(tmp_path / "gateway", f"--config={configuration}") as gateway:
        published = fields(gateway.wait_for(" dns-published "))
        stranger = fields(gateway.wait_for(" dns-stranger "))
        while_running = named.dig("_vlmcs._tcp.corp.test", "SRV")
        assert gateway.stop() == 0
    assert published["domain"] == "corp.test"
    assert (stranger["host"], stranger["addresses"]) == ("licensed.corp.test", "192.0.2.7")
    assert set(while_running) == {f"0 100 {gateway.port} gw.corp.test.", "0 100 1688 licensed.corp.test."}
    assert named.transfer("corp.test") == before


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
