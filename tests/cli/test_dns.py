"""`kmstwist dns` against a real BIND 9."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from kmstwist.cli.dns.dns import FORMS, dns
from kmstwist.discovery.client import snippets
from tests.cli.command import run
from tests.discovery.named import SECRET, StartNamed, start_named

__all__ = ["start_named"]

FOREIGN = "_vlmcs._tcp 1800 IN SRV 0 100 1688 licensed.corp.test.\ngw IN A 192.0.2.8\n"


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
    assert nothing.stdout.startswith("corp.test: nothing to withdraw: this record is not there, at ")


@pytest.mark.needs("named", "dig")
def test_a_refusal_is_a_sentence_with_its_code_and_the_other_domains_are_done(start_named: StartNamed) -> None:
    named = start_named({"corp.test": "gw IN A 192.0.2.8\n"})

    result = run(
        *("dns.dns", "dns", "publish", "--domain", "elsewhere.test", "--domain", "corp.test", "--host", "gw.corp.test"),
        *("--server", named.server, "--key-file", named.key_file()),
    )

    assert result.returncode == 1
    assert "corp.test: published" in result.stdout
    assert result.stderr.startswith("Error: elsewhere.test: The zone of elsewhere.test cannot be found")
    assert "Traceback" not in result.stderr
    assert SECRET not in result.stdout + result.stderr


@pytest.mark.needs("named", "dig")
@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("missing.corp.test", "missing.corp.test does not exist"),
        ("text.corp.test", "text.corp.test exists, but has no"),
        ("alias.corp.test", "alias.corp.test is an alias (CNAME) of gw.corp.test"),
        (
            "away.corp.test",
            "of gw.elsewhere.example, and an SRV record must not lead to an alias (RFC 2782): name a host",
        ),
    ],
)
def test_a_host_without_an_address_is_reported_before_it_is_published(
    start_named: StartNamed, host: str, said: str
) -> None:
    named = start_named(
        {"corp.test": FOREIGN + 'text IN TXT "no"\nalias IN CNAME gw\naway IN CNAME gw.elsewhere.example.\n'}
    )
    before = named.transfer("corp.test")
    arguments = ("--domain", "corp.test", "--host", host, "--server", named.server, "--key-file", named.key_file())

    refused = run("dns.dns", "dns", "publish", *arguments)

    assert refused.returncode == 1
    assert said in refused.stderr
    assert "Nothing is published" in refused.stderr
    assert refused.stderr.rstrip().endswith("[dns-target]")
    assert named.transfer("corp.test") == before

    assert run("dns.dns", "dns", "publish", *arguments, "--anyway").returncode == 0
    assert f"0 100 1688 {host}." in named.dig("_vlmcs._tcp.corp.test", "SRV")


@pytest.mark.needs("named", "dig")
def test_replace_own_takes_the_records_of_our_host_and_port_out_and_no_other(start_named: StartNamed) -> None:
    own = "_vlmcs._tcp 1800 IN SRV {} {} {} gw.corp.test.\n"
    named = start_named({"corp.test": FOREIGN + own.format(9, 1, 1688) + own.format(0, 5, 1688) + own.format(0, 5, 99)})

    result = run(
        *("dns.dns", "dns", "publish", "--domain", "corp.test", "--host", "gw.corp.test", "--replace-own"),
        *("--server", named.server, "--key-file", named.key_file()),
    )

    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines()[2:] == [
        "  beside 0 5 99 gw.corp.test.",
        "  beside 0 100 1688 licensed.corp.test.",
        "  in place of 0 5 1688 gw.corp.test.",
        "  in place of 9 1 1688 gw.corp.test.",
    ]
    assert named.dig("_vlmcs._tcp.corp.test", "SRV") == [
        "0 100 1688 gw.corp.test.",
        "0 100 1688 licensed.corp.test.",
        "0 5 99 gw.corp.test.",
    ]


@pytest.mark.needs("named", "dig")
def test_an_underscore_that_bind_refuses_is_reported_as_such(start_named: StartNamed) -> None:
    named = start_named({"corp.test": "options IN A 192.0.2.8\n"}, {"gateway": "hmac-sha256", "reader": "hmac-sha256"})
    arguments = ("--domain", "corp.test", "--host", "g_w.corp.test", "--server", named.server, "--anyway")

    underscore = run("dns.dns", "dns", "publish", *arguments, "--key-file", named.key_file())
    not_allowed = run("dns.dns", "dns", "publish", *arguments, "--key-file", named.key_file("reader"))

    assert "g_w.corp.test has an underscore" in underscore.stderr
    assert named.dig("_vlmcs._tcp.corp.test", "SRV") == []
    assert underscore.stderr.rstrip().endswith("[dns-target]")
    # With a key that may not update at all, the name is not what is wrong.
    assert not_allowed.stderr.rstrip().endswith("[dns-refused]")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("publish", "--domain", "corp.test", "--host", "10.0.0.7"), "A or AAAA record"),
        (("publish", "--domain", "a..b", "--host", "gw.corp.test"), "is not a DNS name"),
        (("publish", "--host", "gw.corp.test"), "--domain D is missing"),
        (("publish", "--domain", "c.test", "--host", "gw.c.test", "--key-file", "/nonexistent"), "cannot be read"),
        (("withdraw", "--domain", "c.test", "--host", "gw.c.test", "--weight", "70000"), "not from 0 to 65535"),
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
