"""Lookups at a real BIND 9, and at servers that misbehave."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path
from random import Random

import dns.flags
import dns.message
import dns.rcode
import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred

from kmstwist.addresses import HostPort
from kmstwist.discovery.lookup.answers import HostAnswer, LookupFailed, LookupProblem
from kmstwist.discovery.lookup.dns_names import DEFAULT_TIMEOUTS
from kmstwist.discovery.lookup.resolver import Lookup
from kmstwist.discovery.lookup.search import Origin, SearchDomain
from kmstwist.discovery.lookup.srv import SrvRecord
from kmstwist.discovery.survey import survey
from tests.discovery.named import PATIENT, StartNamed, program
from tests.discovery.silent import Misbehaving, VirtualTime
from tests.ports import free_port
from tests.reactors import in_place_of_one, reactor
from tests.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.needs("named", "dig")

MANY = "".join(
    f"_vlmcs._tcp IN SRV {number % 7} {number} {1600 + number} a-rather-long-name-{number:03}.corp.test.\n"
    for number in range(80)
)

ZONE = """\
_vlmcs._tcp     600 IN SRV 0 100 1688 kms.corp.test.
_vlmcs._tcp     600 IN SRV 0 50 1689 alias.corp.test.
kms             IN A     192.0.2.7
kms             IN AAAA  2001:db8::7
only6           IN AAAA  2001:db8::8
alias       300 IN CNAME second
second          IN CNAME kms
dangling        IN CNAME gone
loop1           IN CNAME loop2
loop2           IN CNAME loop1
text            IN TXT   "no address"
_vlmcs._tcp.sub IN CNAME _vlmcs._tcp
strange         IN CNAME bad\\027[31m\\.name
"""


async def failure(lookup: Lookup, domain: str) -> LookupFailed:
    with pytest.raises(LookupFailed) as caught:
        await lookup.service(domain)
    return caught.value


async def host_failure(lookup: Lookup, name: str) -> LookupFailed:
    with pytest.raises(LookupFailed) as caught:
        await lookup.host(name)
    return caught.value


@ensureDeferred
async def test_srv_records_come_with_their_ttl(start_named: StartNamed) -> None:
    named = start_named({"corp.test": ZONE})

    answer = await Lookup(reactor, [named.server], PATIENT).service("corp.test")

    assert set(answer.records) == {
        SrvRecord(0, 100, 1688, "kms.corp.test", 600),
        SrvRecord(0, 50, 1689, "alias.corp.test", 600),
    }
    assert sorted(str(record) for record in answer.records) == named.dig("_vlmcs._tcp.corp.test", "SRV")


@ensureDeferred
async def test_an_answer_too_long_for_udp_is_fetched_whole_over_tcp(start_named: StartNamed) -> None:
    named = start_named({"corp.test": MANY})
    truncated = named.dig("_vlmcs._tcp.corp.test", "SRV", "+noedns", "+ignore")

    answer = await Lookup(reactor, [named.server], PATIENT).service("corp.test")

    assert len(truncated) < 80
    assert sorted(str(record) for record in answer.records) == named.dig("_vlmcs._tcp.corp.test", "SRV", "+tcp")
    assert len(answer.records) == 80


@ensureDeferred
async def test_addresses_of_both_kinds_and_through_aliases(start_named: StartNamed) -> None:
    lookup = Lookup(reactor, [start_named({"corp.test": ZONE}).server], PATIENT)

    plain = await lookup.host("kms.corp.test")
    alias = await lookup.host("alias.corp.test")

    assert (plain.addresses, plain.aliases, plain.ttl) == (("2001:db8::7", "192.0.2.7"), (), 7200)
    assert (alias.addresses, alias.aliases) == (plain.addresses, ("second.corp.test", "kms.corp.test"))


@ensureDeferred
async def test_a_host_with_ipv6_only_is_found(start_named: StartNamed) -> None:
    found = await Lookup(reactor, [start_named({"corp.test": ZONE}).server], PATIENT).host("only6.corp.test")
    assert (found.ipv6, found.ipv4) == (("2001:db8::8",), ())


@ensureDeferred
async def test_an_alias_of_the_service_name_is_followed(start_named: StartNamed) -> None:
    answer = await Lookup(reactor, [start_named({"corp.test": ZONE}).server], PATIENT).service("sub.corp.test")
    assert answer.owner == "_vlmcs._tcp.corp.test"
    assert len(answer.records) == 2


@ensureDeferred
async def test_the_kinds_of_no_are_distinguished(start_named: StartNamed) -> None:
    named = start_named({"corp.test": ZONE})
    lookup = Lookup(reactor, [named.server], PATIENT)

    missing = await failure(lookup, "nowhere.corp.test")
    assert missing.problem is LookupProblem.NO_SUCH_NAME
    assert str(missing) == f"_vlmcs._tcp.nowhere.corp.test does not exist, says the DNS server {named.server}."
    assert (await host_failure(lookup, "text.corp.test")).problem is LookupProblem.NO_RECORDS
    assert (await host_failure(lookup, "dangling.corp.test")).problem is LookupProblem.NO_SUCH_NAME
    loop = await host_failure(lookup, "loop1.corp.test")
    assert loop.problem in (LookupProblem.ALIAS_LOOP, LookupProblem.SERVER_FAILURE)
    # With recursion off, BIND refuses names outside its zones.
    assert (await failure(lookup, "other.example")).problem is LookupProblem.REFUSED
    assert (await host_failure(lookup, f"{'a' * 64}.test")).problem is LookupProblem.BAD_NAME


@ensureDeferred
async def test_control_characters_of_a_name_never_come_out_of_dns(start_named: StartNamed) -> None:
    named = start_named({"corp.test": ZONE})
    failed = await host_failure(Lookup(reactor, [named.server], PATIENT), "strange.corp.test")
    assert "\x1b" not in str(failed)
    assert str(failed).startswith(r"bad\027[31m")


@ensureDeferred
async def test_a_resolver_that_never_answers_is_a_timeout_and_not_a_no() -> None:
    silent, time = Misbehaving(), VirtualTime()
    failing = Deferred.fromCoroutine(failure(Lookup(in_place_of_one(time), [silent.server], (2.0, 3.0)), "corp.test"))
    for seconds in (2, 3):
        await silent.hears()
        time.advance(seconds)
    failed = await failing
    await silent.stop()

    assert failed.problem is LookupProblem.TIMEOUT
    assert not failed.says_no
    assert str(failed).endswith("within 5 seconds.")
    assert len(silent.heard) == 2


@ensureDeferred
async def test_the_next_server_is_asked_when_one_is_silent_or_fails(start_named: StartNamed) -> None:
    named = start_named({"corp.test": ZONE})
    silent = Misbehaving()
    broken = Misbehaving(lambda datagram: answer_with(datagram, dns.rcode.SERVFAIL))

    time = VirtualTime()
    asking = Deferred.fromCoroutine(
        Lookup(in_place_of_one(time), [silent.server, broken.server, named.server], (2.0,)).service("corp.test")
    )
    await silent.hears()
    time.advance(2)
    answer = await asking
    await silent.stop()
    await broken.stop()

    assert answer.server == named.server
    assert (len(silent.heard), len(broken.heard)) == (1, 1)


@ensureDeferred
async def test_the_next_server_is_not_asked_when_one_says_no(start_named: StartNamed) -> None:
    named, second = start_named({"corp.test": ZONE}), Misbehaving()

    failed = await failure(Lookup(reactor, [named.server, second.server], PATIENT), "nowhere.corp.test")
    await second.stop()

    assert failed.says_no
    assert second.heard == []


@pytest.mark.parametrize(
    ("rcode", "problem"),
    [
        (dns.rcode.SERVFAIL, LookupProblem.SERVER_FAILURE),
        (dns.rcode.REFUSED, LookupProblem.REFUSED),
        (dns.rcode.FORMERR, LookupProblem.BAD_ANSWER),
        (dns.rcode.NOTIMP, LookupProblem.BAD_ANSWER),
        (dns.rcode.NOERROR, LookupProblem.NO_RECORDS),
        (dns.rcode.NXDOMAIN, LookupProblem.NO_SUCH_NAME),
    ],
)
@ensureDeferred
async def test_each_result_code_is_its_own_problem(rcode: dns.rcode.Rcode, problem: LookupProblem) -> None:
    answering = Misbehaving(lambda datagram: answer_with(datagram, rcode))
    failed = await failure(Lookup(reactor, [answering.server], PATIENT), "corp.test")
    await answering.stop()
    assert failed.problem is problem


@ensureDeferred
async def test_a_long_answer_without_a_tcp_server_is_reported() -> None:
    answering = Misbehaving(lambda datagram: answer_with(datagram, dns.rcode.NOERROR, truncated=True))
    failed = await failure(Lookup(reactor, [answering.server], PATIENT), "corp.test")
    await answering.stop()
    assert failed.problem is LookupProblem.UNREACHABLE


@ensureDeferred
async def test_a_server_this_machine_cannot_send_to_is_reported_and_the_next_asked(
    start_named: StartNamed,
) -> None:
    # Sending to the broadcast address is refused by the system, as sending to a network without a route is.
    no_way = HostPort("255.255.255.255", 53)
    failed = await failure(Lookup(reactor, [no_way], PATIENT), "corp.test")
    assert failed.problem is LookupProblem.NO_ROUTE
    assert str(failed) == "This machine has no route to the DNS server 255.255.255.255:53."

    named = start_named({"corp.test": ZONE})
    assert (await Lookup(reactor, [no_way, named.server], PATIENT).service("corp.test")).server == named.server


@ensureDeferred
async def test_a_closed_port_is_reported_at_once_and_the_next_server_asked(start_named: StartNamed) -> None:
    closed, named = HostPort("127.0.0.1", free_port()), start_named({"corp.test": ZONE})
    # This reactor's clock never advances, so nothing here depends on waiting.
    failed = await failure(Lookup(in_place_of_one(VirtualTime()), [closed], (2.0,)), "corp.test")
    assert failed.problem is LookupProblem.CLOSED
    assert str(failed).startswith(f"Nothing answers at {closed}")

    assert (
        await Lookup(in_place_of_one(VirtualTime()), [closed, named.server], (2.0,)).service("corp.test")
    ).server == named.server


@ensureDeferred
async def test_a_silent_server_costs_three_hosts_one_wait(start_named: StartNamed) -> None:
    hosts = "".join(
        f"_vlmcs._tcp IN SRV 0 0 {1688 + n} kms{n}.corp.test.\nkms{n} IN A 192.0.2.{n}\n" for n in (1, 2, 3)
    )
    silent, named, time = Misbehaving(), start_named({"corp.test": hosts}), VirtualTime()
    lookup = Lookup(in_place_of_one(time), [silent.server, named.server])

    found = Deferred.fromCoroutine(survey(lookup, [SearchDomain("corp.test", Origin.GIVEN)], Random(1)))
    await silent.hears()
    time.advance(DEFAULT_TIMEOUTS[0])
    (domain,) = await found
    await silent.stop()

    assert {host.record.target for host in domain.hosts} == {f"kms{n}.corp.test" for n in (1, 2, 3)}
    assert all(isinstance(host.host, HostAnswer) for host in domain.hosts)
    # Only the first question went there, and its second try; all later ones went to the other server.
    assert len(set(silent.heard)) == 1
    assert time.seconds() < 3


@pytest.mark.needs("dnsmasq")
@ensureDeferred
async def test_what_dnsmasq_serves_is_found_while_the_first_server_is_silent(tmp_path: Path) -> None:
    port, silent, time = free_port(), Misbehaving(), VirtualTime()
    file = tmp_path / "dnsmasq.conf"
    file.write_text("srv-host=_vlmcs._tcp.corp.test,kms.corp.test,1688,3,7\nhost-record=kms.corp.test,192.0.2.7\n")
    options = [
        "--keep-in-foreground",
        "--no-resolv",
        "--local=/test/",
        "--no-hosts",
        f"--port={port}",
        "--listen-address=127.0.0.1",
    ]
    options += ["--bind-interfaces", f"--conf-file={file}", "--user=", "--pid-file="]
    process = subprocess.Popen([program("dnsmasq"), *options])
    try:
        wait_until(lambda: listens(port))
        lookup = Lookup(in_place_of_one(time), [silent.server, HostPort("127.0.0.1", port)], (2.0, 3.0))
        asking = Deferred.fromCoroutine(lookup.service("corp.test"))
        await silent.hears()
        time.advance(2)
        answer = await asking
        host = await lookup.host("kms.corp.test")
    finally:
        process.terminate()
        process.wait(PATIENCE)
        await silent.stop()

    assert [record.data for record in answer.records] == [(3, 7, 1688, "kms.corp.test")]
    assert host.addresses == ("192.0.2.7",)
    assert len(set(silent.heard)) == 1


def listens(port: int) -> bool:
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) == 0


def answer_with(datagram: bytes, rcode: dns.rcode.Rcode, truncated: bool = False) -> bytes:
    answer = dns.message.make_response(dns.message.from_wire(datagram))
    answer.set_rcode(rcode)
    if truncated:
        answer.flags |= dns.flags.TC
    return answer.to_wire()
