"""Publishing in the zones of a real BIND 9."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred, gatherResults

from kmstwist.addresses import HostPort
from kmstwist.discovery.lookup.resolver import Lookup
from kmstwist.discovery.publishing.publication import Publication
from kmstwist.discovery.publishing.tsig import TsigKey, read_key_file
from kmstwist.discovery.publishing.update import UpdateFailed
from kmstwist.discovery.publishing.updater import Updater
from kmstwist.reasons import Reason
from tests.discovery.named import OTHER_SECRET, PATIENT, Named, StartNamed
from tests.discovery.silent import Misbehaving
from tests.ports import free_port
from tests.reactors import reactor

pytestmark = pytest.mark.needs("named", "dig")

FOREIGN = """\
_vlmcs._tcp 1800 IN SRV 0 100 1688 licensed.corp.test.
_vlmcs._tcp 1800 IN SRV 10 0 1689 other.corp.test.
www              IN A   192.0.2.80
"""
ALIASES = """\
_vlmcs._tcp.lab  IN CNAME _vlmcs._tcp
_vlmcs._tcp.off  IN CNAME no
_vlmcs._tcp.far  IN CNAME _vlmcs._tcp.elsewhere.example.
"""
OURS = Publication("corp.test", "gw.corp.test", priority=5, weight=20)


def updater_for(named: Named, key: TsigKey | None, ahead: float = 0, timeouts: tuple[float, ...] = PATIENT) -> Updater:
    lookup = Lookup(reactor, [named.server], timeouts)
    return Updater(reactor, lookup, key, lambda: time.time() + ahead, named.server, timeouts)


async def refusal(updater: Updater, publication: Publication = OURS) -> UpdateFailed:
    with pytest.raises(UpdateFailed) as caught:
        await updater.publish(publication)
    return caught.value


@ensureDeferred
async def test_publishing_adds_our_record_and_withdrawing_leaves_the_zone_as_it_was(start_named: StartNamed) -> None:
    named = start_named({"corp.test": FOREIGN})
    updater = updater_for(named, read_key_file(named.key_file()))
    before = named.transfer("corp.test")

    done = await updater.publish(OURS)

    added = set(named.transfer("corp.test").splitlines()) - set(before.splitlines())
    assert [line.split() for line in added] == [
        ["_vlmcs._tcp.corp.test.", "1800", "IN", "SRV", "5", "20", "1688", "gw.corp.test."]
    ]
    assert set(before.splitlines()) <= set(named.transfer("corp.test").splitlines())
    assert [record.target for record in done.others] == ["licensed.corp.test", "other.corp.test"]

    await updater.withdraw(OURS)
    assert named.transfer("corp.test") == before


MIXED = """\
_VLMCS._Tcp  1800 IN SRV 0 100 1688 Licensed.CORP.test.
_vlmcs._tcp  1800 IN SRV 5  20 1700 GW.corp.test.
_vlmcs._tcp  1800 IN SRV 5   0 1688 gw.corp.test.
_vlmcs._tcp  1800 IN SRV 0   0 1688 other.example.
WWW               IN TXT "as it is"
"""


@ensureDeferred
async def test_names_written_in_any_case_ports_and_weights_of_others_stay_as_they_are(start_named: StartNamed) -> None:
    named = start_named({"corp.test": MIXED})
    updater = updater_for(named, read_key_file(named.key_file()))
    before = named.transfer("corp.test")
    assert "_VLMCS._Tcp.corp.test." in before

    done = await updater.publish(OURS)
    while_published = named.transfer("corp.test")
    await updater.withdraw(OURS)

    assert set(before.splitlines()) < set(while_published.splitlines())
    assert sorted(record.port for record in done.others) == [1688, 1688, 1700]
    assert [record.weight for record in done.outdated] == [0]
    assert named.transfer("corp.test") == before


@ensureDeferred
async def test_our_record_in_another_case_counts_as_ours(start_named: StartNamed) -> None:
    named = start_named({"corp.test": "_VLMCS._TCP 1800 IN SRV 5 20 1688 GW.Corp.Test.\n"})
    updater = updater_for(named, read_key_file(named.key_file()))
    before = named.transfer("corp.test")

    assert (await updater.publish(OURS.with_ttl(1800))).stood

    assert named.transfer("corp.test") == before


@ensureDeferred
async def test_an_alias_at_the_record_s_name_is_not_a_success(start_named: StartNamed) -> None:
    named = start_named({"corp.test": FOREIGN + ALIASES})
    updater = updater_for(named, read_key_file(named.key_file()))
    before = named.transfer("corp.test")

    for domain, leads_to in (
        ("lab.corp.test", "_vlmcs._tcp.corp.test"),
        ("off.corp.test", "no.corp.test"),
        # This server does not serve the other zone, and refuses to look it up.
        ("far.corp.test", "_vlmcs._tcp.elsewhere.example"),
    ):
        failed = await refusal(updater, Publication(domain, "gw.corp.test"))
        assert failed.reason is Reason.DNS_ALIAS
        assert f"is an alias (CNAME) of {leads_to}" in str(failed)

    assert named.transfer("corp.test") == before


@ensureDeferred
async def test_a_record_that_joins_a_set_takes_its_ttl_so_that_others_keep_theirs(start_named: StartNamed) -> None:
    named = start_named({"corp.test": FOREIGN, "empty.test": ""})
    updater = updater_for(named, read_key_file(named.key_file()))

    joined = await updater.publish(OURS)
    alone = await updater.publish(Publication("empty.test", "gw.corp.test", ttl=900))

    assert joined.publication.ttl == 1800
    assert alone.publication.ttl == 900
    assert "_vlmcs._tcp.empty.test.\t900\t" in named.transfer("empty.test")


@ensureDeferred
async def test_publishing_again_changes_nothing_in_the_zone(start_named: StartNamed) -> None:
    named = start_named({"corp.test": FOREIGN})
    updater = updater_for(named, read_key_file(named.key_file()))
    await updater.publish(OURS)
    zone, serial = named.transfer("corp.test"), named.dig("corp.test", "SOA")

    await updater.publish(OURS)

    assert (named.transfer("corp.test"), named.dig("corp.test", "SOA")) == (zone, serial)


@ensureDeferred
async def test_withdrawing_a_record_that_is_not_there_is_done_and_touches_nothing(start_named: StartNamed) -> None:
    named = start_named({"corp.test": FOREIGN})
    before = named.transfer("corp.test")

    await updater_for(named, read_key_file(named.key_file())).withdraw(OURS)

    assert named.transfer("corp.test") == before


@ensureDeferred
async def test_an_earlier_record_of_ours_with_another_weight_is_reported_and_left(start_named: StartNamed) -> None:
    named = start_named({"corp.test": "_vlmcs._tcp IN SRV 5 99 1688 gw.corp.test.\n"})

    done = await updater_for(named, read_key_file(named.key_file())).publish(OURS)

    assert [record.weight for record in done.outdated] == [99]
    assert done.others == ()
    assert len(named.dig("_vlmcs._tcp.corp.test", "SRV")) == 2


@ensureDeferred
async def test_two_gateways_that_publish_at_once_both_stand_in_the_zone(start_named: StartNamed) -> None:
    named = start_named({"corp.test": FOREIGN})
    key = read_key_file(named.key_file())
    gateways = [Publication("corp.test", f"gw{number}.corp.test") for number in (1, 2)]

    await gatherResults([Deferred.fromCoroutine(updater_for(named, key).publish(one)) for one in gateways])

    assert named.dig("_vlmcs._tcp.corp.test", "SRV") == [
        "0 100 1688 gw1.corp.test.",
        "0 100 1688 gw2.corp.test.",
        "0 100 1688 licensed.corp.test.",
        "10 0 1689 other.corp.test.",
    ]


@pytest.mark.parametrize(
    "algorithm", ["hmac-md5", "hmac-sha1", "hmac-sha224", "hmac-sha256", "hmac-sha384", "hmac-sha512"]
)
@ensureDeferred
async def test_every_common_hmac_is_accepted(start_named: StartNamed, algorithm: str) -> None:
    named = start_named({"corp.test": ""}, {"gateway": algorithm})

    await updater_for(named, read_key_file(named.key_file(algorithm=algorithm))).publish(OURS)

    assert named.dig("_vlmcs._tcp.corp.test", "SRV") == ["5 20 1688 gw.corp.test."]


@ensureDeferred
async def test_each_refusal_says_what_is_wrong(start_named: StartNamed) -> None:
    named = start_named({"corp.test": FOREIGN}, {"gateway": "hmac-sha256", "reader": "hmac-sha256"})
    before = named.transfer("corp.test")
    good = read_key_file(named.key_file())

    unsigned = await refusal(updater_for(named, None))
    assert unsigned.reason is Reason.DNS_REFUSED
    assert "does not allow an update of corp.test that is not signed" in str(unsigned)

    not_allowed = await refusal(updater_for(named, read_key_file(named.key_file("reader"))))
    assert not_allowed.reason is Reason.DNS_REFUSED
    assert "signed with the key reader (REFUSED)" in str(not_allowed)

    unknown = await refusal(updater_for(named, read_key_file(named.key_file("nobody"))))
    assert unknown.reason is Reason.DNS_KEY
    assert "BADKEY" in str(unknown)

    other_secret = await refusal(updater_for(named, read_key_file(named.key_file(secret=OTHER_SECRET))))
    assert other_secret.reason is Reason.DNS_KEY
    assert "BADSIG" in str(other_secret)

    for offset, direction in ((7200, "ahead of"), (-7200, "behind")):
        skewed = await refusal(updater_for(named, good, ahead=offset))
        assert skewed.reason is Reason.DNS_CLOCK
        assert direction in str(skewed)
        assert "BADTIME" in str(skewed)

    elsewhere = await refusal(updater_for(named, good), Publication("other.example", "gw.corp.test"))
    assert elsewhere.reason is Reason.DNS_LOOKUP

    assert named.transfer("corp.test") == before


@ensureDeferred
async def test_the_narrow_policy_of_the_documentation_suffices(start_named: StartNamed) -> None:
    policy = "grant gateway name _vlmcs._tcp.corp.test. SRV;"
    assert policy.replace("corp.test", "corp.example") in (Path(__file__).parents[2] / "docs/dns.md").read_text()
    named = start_named({"corp.test": FOREIGN}, grants=policy)
    updater = updater_for(named, read_key_file(named.key_file()))
    before = named.transfer("corp.test")

    await updater.publish(OURS)
    await updater.withdraw(OURS)

    assert named.transfer("corp.test") == before
    assert (await refusal(updater, Publication("lab.corp.test", "gw.corp.test"))).reason is Reason.DNS_REFUSED


@ensureDeferred
async def test_a_clock_within_the_allowed_difference_is_accepted(start_named: StartNamed) -> None:
    named = start_named({"corp.test": ""})

    await updater_for(named, read_key_file(named.key_file()), ahead=200).publish(OURS)

    assert named.dig("_vlmcs._tcp.corp.test", "SRV") == ["5 20 1688 gw.corp.test."]


@ensureDeferred
async def test_a_server_that_is_away_is_reported_as_silent(start_named: StartNamed) -> None:
    named = start_named({"corp.test": ""})
    updater = updater_for(named, read_key_file(named.key_file()), timeouts=(0.05, 0.05))
    named.stop()
    silent = Misbehaving(port=named.port)

    away = await refusal(updater)
    await silent.stop()

    assert away.reason is Reason.DNS_TIMEOUT
    assert str(named.server) in str(away)


@ensureDeferred
async def test_without_a_server_the_zone_s_primary_is_found_by_its_soa(
    start_named: StartNamed, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = start_named({"corp.test": ""})
    monkeypatch.setattr("kmstwist.discovery.publishing.updater.DNS_PORT", named.port)
    updater = Updater(reactor, Lookup(reactor, [named.server], PATIENT), read_key_file(named.key_file()), time.time)

    done = await updater.publish(Publication("lab.corp.test", "gw.corp.test"))

    assert (done.zone, done.server) == ("corp.test", named.server)
    assert named.dig("_vlmcs._tcp.lab.corp.test", "SRV") == ["0 100 1688 gw.corp.test."]


@ensureDeferred
async def test_every_address_of_the_server_is_tried(start_named: StartNamed) -> None:
    named = start_named({"corp.test": "primary IN A 255.255.255.255\nprimary IN A 127.0.0.1\n"})
    server = HostPort("primary.corp.test", named.port)
    updater = Updater(
        reactor, Lookup(reactor, [named.server], PATIENT), read_key_file(named.key_file()), time.time, server
    )

    assert (await updater.publish(OURS)).server == named.server


@ensureDeferred
async def test_no_trace_of_the_secret_is_in_what_is_raised_or_shown(start_named: StartNamed) -> None:
    named = start_named({"corp.test": ""})
    key = read_key_file(named.key_file(secret=OTHER_SECRET))
    failed = await refusal(updater_for(named, key))

    shown = f"{key!r} {key} {failed!r} {failed} {vars(failed)}"

    assert OTHER_SECRET not in shown
    assert "gateway" in shown


@ensureDeferred
async def test_a_server_that_is_missing_gives_a_message_and_not_a_traceback() -> None:
    server = HostPort("127.0.0.1", free_port())
    lookup = Lookup(reactor, [server], PATIENT)

    failed = await refusal(Updater(reactor, lookup, None, time.time, server, PATIENT))

    assert failed.reason is Reason.DNS_UNREACHABLE


@ensureDeferred
async def test_a_server_s_name_may_be_in_the_hosts_file_only(start_named: StartNamed) -> None:
    named = start_named({"corp.test": FOREIGN})
    # This server answers for its zone only, so DNS has no localhost.
    lookup = Lookup(reactor, [named.server], PATIENT)
    by_name = HostPort("localhost", named.port)
    updater = Updater(reactor, lookup, read_key_file(named.key_file()), time.time, by_name, PATIENT)

    assert (await updater.publish(OURS)).server.port == named.port

    assert "5 20 1688 gw.corp.test." in named.dig("_vlmcs._tcp.corp.test", "SRV")


@ensureDeferred
async def test_a_server_that_cannot_be_found_is_not_blamed_on_the_zone(start_named: StartNamed) -> None:
    named = start_named({"corp.test": "", "own.test": ""})
    lookup = Lookup(reactor, [named.server], PATIENT)

    failed = await refusal(Updater(reactor, lookup, None, time.time, HostPort("away.own.test", 53), PATIENT))

    assert failed.reason is Reason.DNS_LOOKUP
    assert str(failed) == (
        "The DNS server away.own.test cannot be found: "
        f"away.own.test does not exist, says the DNS server {named.server}."
    )
