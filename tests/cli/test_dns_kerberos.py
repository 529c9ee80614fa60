"""`kmstwist dns` with updates signed by Kerberos (GSS-TSIG), against a real BIND 9 and a real KDC."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from kmstwist.cli.dns.dns import dns
from tests.discovery.kdc import REALM, Kdc, kdc
from tests.discovery.named import Named
from tests.ports import free_port
from tests.system.running import BIN, Server, fields
from tests.waiting import PATIENCE

__all__ = ["kdc"]
with_peers = pytest.mark.needs("named", "dig", "krb5kdc", "kdb5_util", "kadmin.local", "kinit", "gssapi")

FOREIGN = "_vlmcs._tcp 1800 IN SRV 0 100 1688 licensed.corp.test.\ngw IN A 192.0.2.8\n"
OURS = "0 100 1688 gw.corp.test."
OTHERS = "0 100 1688 licensed.corp.test."


@pytest.fixture
def named(kdc: Kdc, tmp_path: Path) -> Iterator[Named]:
    """BIND with a keytab of its own; the principal kmstwist may change the SRV records, and nobody else."""
    folder = tmp_path / "named"
    folder.mkdir()
    grants = f"grant kmstwist@{REALM} name _vlmcs._tcp.corp.test. SRV;"
    keytab = kdc.keytab("DNS/ns1.corp.test")
    server = Named(folder, free_port(), {"corp.test": FOREIGN}, grants, keytab, kdc.environment)
    try:
        server.start({})
        yield server
    finally:
        server.stop()


def kmstwist_dns(kdc: Kdc, verb: str, named: Named, *options: str) -> subprocess.CompletedProcess[str]:
    # A machine that does much else lets the server and the key distribution centre wait.
    given = ("--domain=corp.test", "--host=gw.corp.test", f"--server={named.server}", "--timeout=60", *options)
    command = [str(BIN / "kmstwist"), "dns", verb, *given]
    return subprocess.run(command, env=kdc.environment, capture_output=True, text=True, timeout=PATIENCE)


@with_peers
def test_a_keytab_publishes_and_withdraws_and_the_zone_is_as_it_was(kdc: Kdc, named: Named) -> None:
    keytab = kdc.keytab("kmstwist")
    before = named.transfer("corp.test")

    published = kmstwist_dns(kdc, "publish", named, f"--keytab={keytab}")
    assert (published.returncode, published.stderr) == (0, "")
    assert named.dig("_vlmcs._tcp.corp.test", "SRV") == [OURS, OTHERS]

    withdrawn = kmstwist_dns(kdc, "withdraw", named, f"--keytab={keytab}", f"--principal=kmstwist@{REALM}")
    assert (withdrawn.returncode, withdrawn.stderr) == (0, "")
    assert named.transfer("corp.test") == before


@with_peers
def test_the_tickets_of_the_user_will_do(kdc: Kdc, named: Named) -> None:
    kdc.tickets("kmstwist", kdc.keytab("kmstwist"))
    published = kmstwist_dns(kdc, "publish", named, "--gss")
    assert (published.returncode, published.stderr) == (0, "")
    assert named.dig("_vlmcs._tcp.corp.test", "SRV") == [OURS, OTHERS]


@with_peers
def test_the_running_gateway_does_it_by_its_keytab(
    kdc: Kdc, named: Named, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in kdc.environment.items():
        monkeypatch.setenv(name, value)
    before = named.transfer("corp.test")
    configuration = tmp_path / "kmstwist.toml"
    configuration.write_text(
        f'[dns]\nservers = ["{named.server}"]\n[dns.publish]\ndomains = ["corp.test"]\nhost = "gw.corp.test"\n'
        f'server = "{named.server}"\nkeytab = "{kdc.keytab("kmstwist")}"\nwithdraw_on_stop = true\n'
    )
    with Server(tmp_path / "lab", f"--config={configuration}") as server:
        assert fields(server.wait_for(" dns-published "))["others"] == "1"
        assert len(named.dig("_vlmcs._tcp.corp.test", "SRV")) == 2
        assert server.stop() == 0
    assert named.transfer("corp.test") == before


@with_peers
def test_each_refusal_is_a_sentence_with_its_code(kdc: Kdc, named: Named) -> None:
    before = named.transfer("corp.test")
    nobody, kmstwist = kdc.keytab("nobody"), kdc.keytab("kmstwist")

    not_allowed = kmstwist_dns(kdc, "publish", named, f"--keytab={nobody}")
    assert "an update of corp.test signed by our Kerberos principal (REFUSED). [dns-refused]" in not_allowed.stderr
    no_tickets = kmstwist_dns(kdc, "publish", named, "--gss")
    assert no_tickets.stderr.startswith("Error: corp.test: Kerberos gives no key: ")
    assert no_tickets.stderr.endswith("(klist shows the tickets there are, kinit gets one). [dns-kerberos]\n")
    other = kmstwist_dns(kdc, "publish", named, f"--keytab={kmstwist}", "--principal=somebody")
    assert "[dns-kerberos]" in other.stderr
    absent = kmstwist_dns(kdc, "publish", named, "--keytab=/nonexistent")
    assert absent.stderr == (
        "Error: the keytab /nonexistent cannot be read; check that it is there, and that this user may read it\n"
    )
    both = kmstwist_dns(kdc, "publish", named, f"--keytab={kmstwist}", f"--key-file={named.key_file()}")
    assert "give one of the two" in both.stderr

    for failed in (not_allowed, no_tickets, other, absent, both):
        assert failed.returncode in (1, 2)
        assert "Traceback" not in failed.stderr
    assert named.transfer("corp.test") == before


@with_peers
def test_a_server_without_kerberos_is_reported(kdc: Kdc, tmp_path: Path) -> None:
    kdc.keytab("DNS/ns1.corp.test")
    folder = tmp_path / "plain"
    folder.mkdir()
    plain = Named(folder, free_port(), {"corp.test": FOREIGN})
    try:
        plain.start({"gateway": "hmac-sha256"})
        told = kmstwist_dns(kdc, "publish", plain, f"--keytab={kdc.keytab('kmstwist')}")
    finally:
        plain.stop()
    assert told.returncode == 1
    assert "does not agree on a key by Kerberos" in told.stderr


def test_without_the_package_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gssapi", None)
    result = CliRunner().invoke(dns, ["publish", "--domain=corp.test", "--host=gw.corp.test", "--gss"])
    assert result.exit_code == 1
    assert "pip install 'gssapi" in result.stderr
