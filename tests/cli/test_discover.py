"""`kmstwist discover` against a real BIND 9."""

from __future__ import annotations

import io
import json
import socket
from fractions import Fraction

import pytest
from click.testing import CliRunner
from rich.console import Console

from kmstwist.addresses import HostPort
from kmstwist.cli.dns.discover import discover
from kmstwist.cli.dns.discover_output import tables
from kmstwist.discovery.lookup.answers import HostAnswer, SrvAnswer
from kmstwist.discovery.lookup.search import Origin, SearchDomain
from kmstwist.discovery.lookup.srv import SrvRecord
from kmstwist.discovery.probing import Probed
from kmstwist.discovery.survey import FoundDomain, FoundHost
from tests.cli.command import run
from tests.discovery.named import StartNamed, start_named
from tests.ports import free_port

__all__ = ["start_named"]

ZONE = """\
_vlmcs._tcp 600 IN SRV 0 100 {port} kms.corp.test.
_vlmcs._tcp 600 IN SRV 0 50 {port} six.corp.test.
_vlmcs._tcp 600 IN SRV 9 0 {port} alias.corp.test.
kms       IN A     127.0.0.1
six       IN AAAA  ::1
alias     IN CNAME kms
"""


@pytest.mark.needs("named", "dig")
def test_the_hosts_are_those_that_dig_sees(start_named: StartNamed) -> None:
    named = start_named({"corp.test": ZONE.format(port=free_port())})

    result = run(
        *("dns.discover", "discover", "--domain", "corp.test", "--domain", "none.corp.test"),
        *("--dns-server", named.server, "--known", "kms.corp.test", "--format", "json"),
    )

    corp, none = json.loads(result.stdout)
    seen = [f"{host['priority']} {host['weight']} {host['port']} {host['host']}." for host in corp["hosts"]]
    assert sorted(seen) == named.dig("_vlmcs._tcp.corp.test", "SRV")
    assert corp["hosts"][2]["host"] == "alias.corp.test"
    by_name = {host["host"]: host for host in corp["hosts"]}
    for name, host in by_name.items():
        assert host["ttl"] == 600
        dug = named.dig(name, "A") + named.dig(name, "AAAA")
        assert set(host["addresses"]) == {line for line in dug if not line.endswith(".")}
    assert {name: host["stranger"] for name, host in by_name.items()} == {
        "kms.corp.test": False,
        "six.corp.test": True,
        # An alias of a host that is known is that host.
        "alias.corp.test": False,
    }
    assert by_name["alias.corp.test"]["aliases"] == ["kms.corp.test"]
    assert none["problem"] == "nxdomain"
    # Nothing listens at the port, so no host answers.
    assert [probe["answers"] for host in corp["hosts"] for probe in host["probes"]] == [False, False, False]
    assert result.returncode == 1


@pytest.mark.needs("named", "dig")
def test_the_table_names_hosts_chances_and_strangers(start_named: StartNamed) -> None:
    named = start_named({"corp.test": ZONE.format(port=1688)})

    result = run(
        *("dns.discover", "discover", "--domain", "corp.test", "--dns-server", named.server),
        *("--known", "kms.corp.test", "--no-probe"),
    )

    assert (result.returncode, result.stderr) == (0, "")
    # (100 + 1/2) of 151 draws: see the tests of the order.
    assert "66.6%" in result.stdout
    assert result.stdout.startswith("corp.test (asked for)")
    assert "STRANGER: six.corp.test" in result.stdout
    assert "alias of kms.corp.test" in " ".join(result.stdout.split())


def found_at(name: str) -> FoundDomain:
    host = HostAnswer(name, (), (), ("192.0.2.7",), 60)
    probed = (("192.0.2.7", Probed(True, "a KMS host answers and listens (NDR32)", (("connect", 1.5),))),)
    record = SrvRecord(0, 100, 1688, name, 600)
    answer = SrvAnswer("_vlmcs._tcp.corp.test", "_vlmcs._tcp.corp.test", (record,), HostPort("192.0.2.53", 53))
    return FoundDomain(
        SearchDomain("corp.test", Origin.GIVEN), answer, (FoundHost(record, Fraction(1), host, probed, True),)
    )


@pytest.mark.parametrize(("width", "name"), [(60, "kms"), (80, "kms"), (160, "kms"), (100, "k" * 60), (40, "k" * 60)])
def test_nothing_is_cut_off_whatever_the_width(width: int, name: str) -> None:
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    for part in tables((found_at(f"{name}.corp.test"),), True, console):
        console.print(part, soft_wrap=isinstance(part, str))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    for told in (f"{name}.corp.test:1688", "192.0.2.7", "100%", "1.5", "(NDR32)", "STRANGER"):
        assert told in text


@pytest.mark.needs("named", "dig")
def test_as_client_tells_the_steps_and_where_they_end(start_named: StartNamed) -> None:
    port = free_port()
    named = start_named({"corp.test": ZONE.format(port=port)})

    result = run(
        *("dns.discover", "discover", "--as-client", "--primary-suffix", "sub.corp.test", "--devolution"),
        *("--cached", f"127.0.0.1:{port}", "--dns-server", named.server, "--timeout", "30"),
    )

    text = result.stdout
    assert result.returncode == 1
    assert text.index("the host that worked last is") < text.index("SRV _vlmcs._tcp.sub.corp.test")
    assert text.index("SRV _vlmcs._tcp.sub.corp.test") < text.index("SRV _vlmcs._tcp.corp.test")
    assert text.splitlines()[-1] == "The client reports 0xC004F074: no KMS host could be contacted."
    assert " ms]" in text


@pytest.mark.needs("named", "dig")
def test_as_client_in_json_has_every_step_with_its_time(start_named: StartNamed) -> None:
    named = start_named({"corp.test": ""})

    result = run(
        *("dns.discover", "discover", "--as-client", "--skms-domain", "corp.test", "--caching", "off"),
        *("--dns-server", named.server, "--format", "json"),
    )

    journey = json.loads(result.stdout)
    assert [step["action"] for step in journey["steps"]] == ["decide", "decide", "decide", "query"]
    assert journey["code"] == "0x8007232B"
    assert journey["steps"][-1]["milliseconds"] > 0


def test_a_silent_dns_server_is_reported_in_a_sentence() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        server = f"127.0.0.1:{silent.getsockname()[1]}"
        result = run(*("dns.discover", "discover", "--domain", "corp.test", "--dns-server", server, "--timeout", "0.1"))
    assert result.returncode == 1
    assert "gave no answer about _vlmcs._tcp.corp.test within 0.1 seconds." in " ".join(result.stdout.split())
    assert "Traceback" not in result.stderr


def test_a_closed_port_of_a_dns_server_is_reported_without_waiting() -> None:
    server = f"127.0.0.1:{free_port()}"
    result = run(*("dns.discover", "discover", "--domain", "corp.test", "--dns-server", server, "--timeout", "3600"))
    assert result.returncode == 1
    assert f"Nothing answers at {server}" in result.stdout


def test_a_machine_without_a_dns_server_gets_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kmstwist.discovery.client.system_dns.RESOLV_CONF", "/nonexistent")
    result = CliRunner().invoke(discover, [])
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: This machine has no DNS server configured")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--domain", "a..b"), "is not a DNS name"),
        (("--domain", "corp.test", "--dns-server", "ns1.corp.test"), "is not an address"),
        (("--domain", "corp.test", "--skms", "kms.test"), "add --as-client"),
        (("--as-client", "--cached", "kms:x"), "1 to 65535"),
        (("--domain", "corp.test", "--timeout", "nan"), "nan is not a number"),
        (("--domain", "corp.test", "--timeout", "inf"), "not in the range"),
        (("--domain", "corp.test", "--known", "not a host"), "not a host name"),
    ],
)
def test_bad_input_is_one_sentence_and_a_failing_status(arguments: tuple[str, ...], complaint: str) -> None:
    result = CliRunner().invoke(discover, arguments)
    assert result.exit_code in (1, 2)
    assert complaint in result.stderr
