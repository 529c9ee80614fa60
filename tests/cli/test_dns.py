"""`kmstwist dns` against a real BIND 9."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from kmstwist.cli.dns.dns import FORMS, dns
from kmstwist.discovery.client import snippets
from tests.cli.command import run
from tests.discovery.named import SECRET, StartNamed, start_named

__all__ = ["start_named"]

FOREIGN = "_vlmcs._tcp 1800 IN SRV 0 100 1688 licensed.corp.test.\n"


@pytest.mark.needs("named", "dig")
def test_publish_and_withdraw_change_our_record_only(start_named: StartNamed) -> None:
    named = start_named({"corp.test": FOREIGN, "lab.test": ""})
    before = named.transfer("corp.test")
    arguments: tuple[str, ...] = (
        "--domain",
        "corp.test",
        "--domain",
        "lab.test",
        "--host",
        "gw.corp.test",
        "--weight",
        "7",
    )
    arguments += ("--server", str(named.server), "--key-file", str(named.key_file()))

    published = run("dns.dns", "dns", "publish", *arguments)

    assert (published.returncode, published.stderr) == (0, "")
    assert published.stdout.splitlines() == [
        f"corp.test: published at {named.server}, zone corp.test:",
        "  _vlmcs._tcp.corp.test. 1800 IN SRV 0 7 1688 gw.corp.test.",
        "  beside 0 100 1688 licensed.corp.test.",
        f"lab.test: published at {named.server}, zone lab.test:",
        "  _vlmcs._tcp.lab.test. 3600 IN SRV 0 7 1688 gw.corp.test.",
    ]
    assert named.dig("_vlmcs._tcp.lab.test", "SRV") == ["0 7 1688 gw.corp.test."]

    again = run("dns.dns", "dns", "publish", *arguments)
    assert again.stdout.startswith(f"corp.test: published already at {named.server}, zone corp.test:")

    withdrawn = run("dns.dns", "dns", "withdraw", *arguments)
    assert withdrawn.stdout.startswith(f"corp.test: withdrawn at {named.server}, zone corp.test:")
    assert named.transfer("corp.test") == before

    nothing = run("dns.dns", "dns", "withdraw", *arguments)
    assert nothing.returncode == 0
    assert nothing.stdout.startswith("corp.test: nothing to withdraw, for this record is not there, at ")


@pytest.mark.needs("named", "dig")
def test_a_refusal_is_a_sentence_with_its_code_and_the_other_domains_are_done(start_named: StartNamed) -> None:
    named = start_named({"corp.test": ""})

    result = run(
        *("dns.dns", "dns", "publish", "--domain", "elsewhere.test", "--domain", "corp.test", "--host", "gw.corp.test"),
        *("--server", named.server, "--key-file", named.key_file()),
    )

    assert result.returncode == 1
    assert "corp.test: published" in result.stdout
    assert result.stderr.startswith("Error: elsewhere.test: The zone of elsewhere.test cannot be found")
    assert "Traceback" not in result.stderr
    assert SECRET not in result.stdout + result.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("publish", "--domain", "corp.test", "--host", "10.0.0.7"), "A or AAAA record"),
        (("publish", "--domain", "a..b", "--host", "gw.corp.test"), "is not a DNS name"),
        (("publish", "--host", "gw.corp.test"), "Missing option '--domain'"),
        (("publish", "--domain", "c.test", "--host", "gw.c.test", "--key-file", "/nonexistent"), "cannot be read"),
        (("withdraw", "--domain", "c.test", "--host", "gw.c.test", "--weight", "70000"), "0<=x<=65535"),
        (("show", "--domain", "corp.test", "--host", "gw.corp.test", "--zone", "other.test"), "is not in the zone"),
    ],
)
def test_bad_input_is_one_sentence_and_a_failing_status(arguments: tuple[str, ...], complaint: str) -> None:
    result = CliRunner().invoke(dns, arguments)
    assert result.exit_code in (1, 2)
    assert complaint in result.stderr


@pytest.mark.parametrize("form", FORMS)
def test_show_prints_every_form(form: str) -> None:
    result = CliRunner().invoke(dns, ["show", "--domain", "corp.test", "--host", "gw.corp.test", "--as", form])
    assert result.exit_code == 0
    assert "gw.corp.test" in result.stdout


def test_the_forms_offered_are_those_there_are() -> None:
    assert set(FORMS) == set(snippets.FORMS)
