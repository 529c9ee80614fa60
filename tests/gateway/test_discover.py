from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from kmstwist.addresses import HostPort
from kmstwist.discovery.lookup.answers import HostAnswer, LookupFailed, LookupProblem, SrvAnswer
from kmstwist.discovery.lookup.srv import SrvRecord
from kmstwist.gateway.discover import DiscoveryFailed, without_ourselves
from kmstwist.gateway.hosts_in_dns import HostsFound, find_hosts
from kmstwist.gateway.ownaddress import is_own_address
from kmstwist.gateway.settings import GatewaySettings, UpstreamSettings
from kmstwist.gateway.upstream import Target
from tests.gateway.fakes import Site

SERVER = HostPort("127.0.0.1", 53)


def found(*names: str, ttl: float = 300.0, unsure: frozenset[str] = frozenset()) -> HostsFound:
    return HostsFound(tuple(Target(name, HostPort(name), discovered=True) for name in names), ttl, unsure)


def names(site: Site) -> list[str]:
    return [upstream.name for upstream in site.gateway.directory.upstreams]


def test_hosts_found_in_dns_become_upstreams() -> None:
    site = Site(discover="corp.example.com")
    site.lookups[0].callback(found("kms1", "kms2"))
    site.wait(0.1)
    assert names(site) == ["kms1", "kms2"]
    assert site.answered_by() in ("kms1", "kms2")


def test_dns_is_asked_again_when_the_answer_s_time_to_live_is_over() -> None:
    site = Site(discover="corp.example.com")
    site.lookups[0].callback(found("kms1", ttl=300))
    site.wait(299)
    assert len(site.lookups) == 1
    site.wait(2)
    site.lookups[1].callback(found("kms2"))
    assert names(site) == ["kms2"]


def test_an_answer_with_a_ttl_of_zero_does_not_make_it_ask_without_pause() -> None:
    site = Site(discover="corp.example.com")
    site.lookups[0].callback(found("kms1", ttl=0))
    site.wait(4.9)
    assert len(site.lookups) == 1


def test_the_last_good_answer_is_kept_while_dns_fails_and_asked_for_with_growing_waits() -> None:
    site = Site(discover="corp.example.com")
    site.lookups[0].callback(found("kms1", ttl=10))
    site.wait(11)
    for attempt in range(1, 6):
        site.lookups[attempt].errback(DiscoveryFailed("DNS gave no answer"))
        site.wait(300)
    assert names(site) == ["kms1"]
    site.lookups[6].callback(found("kms2"))
    assert names(site) == ["kms2"]


def test_a_host_whose_address_lookup_fails_this_time_is_kept_as_it_was() -> None:
    site = Site(discover="corp.example.com")
    site.lookups[0].callback(found("kms1", "kms2", ttl=10))
    site.wait(11)
    before = site.upstream("kms1")
    site.lookups[1].callback(found("kms2", ttl=10, unsure=frozenset({"kms1", "kms3"})))
    assert names(site) == ["kms1", "kms2"]
    assert site.upstream("kms1") is before
    site.wait(11)
    site.lookups[2].callback(found("kms2"))
    assert names(site) == ["kms2"]


def test_configured_hosts_stay_beside_those_found() -> None:
    site = Site("a", discover="corp.example.com")
    assert names(site) == ["a"]
    site.lookups[0].callback(found("kms1"))
    assert sorted(names(site)) == ["a", "kms1"]


@pytest.mark.parametrize("written", ["Kms1.Corp.example", "kms1.corp.example.", "KMS1.corp.example.:1688"])
def test_a_configured_host_is_not_found_again_however_its_name_is_written(written: str) -> None:
    site = Site(discover="corp.example")
    site.gateway.apply(
        GatewaySettings(upstreams=(UpstreamSettings(address=written, name="first"),), discover="x.example")
    )
    site.lookups[1].callback(found("kms1.corp.example", "kms2.corp.example"))
    assert names(site) == ["first", "kms2.corp.example"]


def test_a_call_before_dns_has_answered_is_told_unavailable() -> None:
    site = Site(discover="corp.example.com")
    assert site.ask().status == 0x6BA


def test_stopping_cancels_the_question() -> None:
    site = Site(discover="corp.example.com")
    site.gateway.stopService()
    site.lookups[0].addErrback(lambda _: None)
    assert site.clock.getDelayedCalls() == []


class FakeLookup:
    """Answers from dictionaries, as `kmstwist.discovery.lookup.resolver.Lookup` does."""

    def __init__(
        self,
        records: list[SrvRecord] | None,
        hosts: dict[str, tuple[str, ...]],
        problem: LookupProblem = LookupProblem.NO_SUCH_NAME,
    ) -> None:
        self.records = records
        self.hosts = hosts
        self.problem = problem

    async def service(self, domain: str) -> SrvAnswer:
        name = f"_vlmcs._tcp.{domain}"
        if self.records is None:
            raise LookupFailed(LookupProblem.NO_SUCH_NAME, name, "SRV", SERVER, 5)
        return SrvAnswer(name, name, tuple(self.records), SERVER)

    async def host(self, name: str) -> HostAnswer:
        if name not in self.hosts:
            raise LookupFailed(self.problem, name, "A", SERVER, 5)
        return HostAnswer(name, (), (), self.hosts[name], 600)


def look(lookup: Any, own_ports: frozenset[int] = frozenset()) -> Any:
    outcome: list[Any] = []
    Deferred.fromCoroutine(
        find_hosts("corp.example.com", lookup, lambda targets: without_ourselves(targets, own_ports))
    ).addCallbacks(outcome.append, lambda failure: outcome.append(failure.value))
    return outcome[0]


RECORDS = [SrvRecord(0, 10, 1688, "kms1", 300), SrvRecord(5, 20, 1689, "kms2", 300)]


def test_each_record_s_priority_weight_port_and_addresses_are_taken() -> None:
    answer = look(FakeLookup(RECORDS, {"kms1": ("10.0.0.1",), "kms2": ("10.0.0.2", "10.0.0.3")}))
    assert answer.ttl == 300
    assert [(t.name, t.priority, t.weight, t.addresses) for t in answer.targets] == [
        ("kms1:1688", 0, 10, ("10.0.0.1",)),
        ("kms2:1689", 5, 20, ("10.0.0.2", "10.0.0.3")),
    ]


def test_a_target_that_resolves_to_nothing_is_left_out_and_dns_asked_again_soon() -> None:
    answer = look(FakeLookup(RECORDS, {"kms2": ("10.0.0.2",)}))
    assert ([t.name for t in answer.targets], answer.ttl) == (["kms2:1689"], 60)


@pytest.mark.parametrize(
    ("problem", "unsure"),
    [
        (LookupProblem.TIMEOUT, {"kms1:1688"}),
        (LookupProblem.SERVER_FAILURE, {"kms1:1688"}),
        (LookupProblem.NO_SUCH_NAME, set()),
    ],
)
def test_a_target_on_which_dns_is_silent_differs_from_one_that_dns_denies(
    problem: LookupProblem, unsure: set[str]
) -> None:
    assert look(FakeLookup(RECORDS, {"kms2": ("10.0.0.2",)}, problem)).unsure == unsure


def test_another_order_of_a_host_s_addresses_does_not_change_the_host() -> None:
    first, second = ("10.0.0.2", "10.0.0.3"), ("10.0.0.3", "10.0.0.2")
    answers = [look(FakeLookup(RECORDS[1:], {"kms2": addresses})) for addresses in (first, second)]
    assert answers[0] == answers[1]


@pytest.mark.parametrize(
    ("lookup", "sentence"),
    [
        (FakeLookup(None, {}), "_vlmcs._tcp.corp.example.com does not exist, says the DNS server 127.0.0.1:53"),
        (FakeLookup(RECORDS, {}), "no target of _vlmcs._tcp.corp.example.com has an address: kms1, kms2"),
        (FakeLookup([SrvRecord(0, 0, 0, "", 60)], {}), "says that the domain has no KMS host"),
        (
            FakeLookup([SrvRecord(0, 0, 1688, "me", 60)], {"me": ("127.0.0.1",)}),
            "_vlmcs._tcp.corp.example.com names no host but this gateway",
        ),
    ],
)
def test_what_dns_cannot_answer_is_reported_in_a_sentence(lookup: Any, sentence: str) -> None:
    failed = look(lookup, frozenset({1688}))
    assert isinstance(failed, DiscoveryFailed)
    assert sentence in str(failed)


def test_our_own_address_is_never_chosen_but_another_port_of_ours_may_be() -> None:
    here = Target("here", HostPort("here", 1688), addresses=("127.0.0.1",))
    beside = Target("beside", HostPort("beside", 1700), addresses=("127.0.0.1",))
    there = Target("there", HostPort("there", 1688), addresses=("192.0.2.1",))
    assert without_ourselves([here, beside, there], {1688}) == (beside, there)


@pytest.mark.parametrize(("address", "own"), [("127.0.0.1", True), ("192.0.2.1", False), ("2001:db8::1", False)])
def test_an_address_is_ours_if_it_can_be_bound(address: str, own: bool) -> None:
    assert is_own_address(address) is own


def test_a_stopped_gateway_asks_dns_nothing() -> None:
    site = Site(discover="corp.example.com")
    site.lookups[0].callback(found("kms1", ttl=10))
    site.gateway.stopService()
    site.wait(300)
    assert len(site.lookups) == 1
