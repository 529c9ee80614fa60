"""What a client with given settings does, with a DNS and a network made of dictionaries."""

from __future__ import annotations

from itertools import count
from random import Random
from typing import Any

import pytest

from kmstwist.addresses import HostPort
from kmstwist.discovery.client.as_client import Journey, walk_as_client
from kmstwist.discovery.lookup.answers import LookupProblem
from kmstwist.discovery.lookup.search import ClientSettings
from tests.discovery.fakes import FakeLookup, FakeNetwork, failed, record, result

CORP: dict[str, Any] = {"corp.test": [record("first.test", weight=1), record("second.test", priority=5)]}
HOSTS: dict[str, Any] = {"first.test": ["192.0.2.1"], "second.test": ["192.0.2.2"], "set.test": ["192.0.2.9"]}
IN_CORP = ClientSettings(search_list=("nowhere.test", "corp.test"))


def walk(settings: ClientSettings, network: FakeNetwork, lookup: FakeLookup | None = None) -> Journey:
    ticks = count()
    journey = result(
        walk_as_client(settings, lookup or FakeLookup(CORP, HOSTS), network, Random(1), lambda: float(next(ticks)))
    )
    assert isinstance(journey, Journey)
    return journey


def test_a_host_set_by_hand_is_asked_and_nothing_else() -> None:
    lookup, network = FakeLookup(CORP, HOSTS), FakeNetwork("192.0.2.1")
    settings = ClientSettings(
        host=HostPort("set.test", 1700), cached=HostPort("first.test"), search_list=("corp.test",)
    )

    journey = walk(settings, network, lookup)

    assert network.probed == ["192.0.2.9:1700"]
    assert lookup.asked == ["host set.test"]
    assert journey.code == "0xC004F074"


def test_the_cached_host_comes_before_dns() -> None:
    lookup, network = FakeLookup(CORP, HOSTS), FakeNetwork("192.0.2.2")
    journey = walk(ClientSettings(cached=HostPort("second.test"), search_list=("corp.test",)), network, lookup)
    assert lookup.asked == ["host second.test"]
    assert journey.host == HostPort("192.0.2.2")


def test_discovery_follows_a_cached_host_that_is_away() -> None:
    network = FakeNetwork("192.0.2.1")
    journey = walk(ClientSettings(cached=HostPort("192.0.2.77"), search_list=("corp.test",)), network)
    assert network.probed == ["192.0.2.77:1688", "192.0.2.1:1688"]
    assert journey.ending == "The client asks first.test at 192.0.2.1:1688, which answers."


def test_with_caching_off_the_cached_host_is_not_asked_and_none_is_remembered() -> None:
    network = FakeNetwork("192.0.2.1", "192.0.2.77")
    journey = walk(ClientSettings(cached=HostPort("192.0.2.77"), caching=False, search_list=("corp.test",)), network)
    assert network.probed == ["192.0.2.1:1688"]
    assert not any("remembered" in step.outcome for step in journey.steps)


def test_the_next_host_is_tried_when_one_is_away_and_the_working_one_remembered() -> None:
    network = FakeNetwork("192.0.2.2")
    journey = walk(IN_CORP, network)
    assert network.probed == ["192.0.2.1:1688", "192.0.2.2:1688"]
    assert journey.steps[-1].outcome == "second.test:1688 is remembered"


def test_every_step_that_waits_is_timed() -> None:
    journey = walk(IN_CORP, FakeNetwork("192.0.2.1"))
    assert [(step.action.value, step.seconds) for step in journey.steps if step.seconds is not None] == [
        ("query", 1.0),
        ("query", 1.0),
        ("resolve", 1.0),
        ("contact", 1.0),
    ]


@pytest.mark.parametrize(
    ("services", "code"),
    [
        ({}, "0x8007232B"),
        ({"corp.test": failed(LookupProblem.NO_RECORDS)}, "0x8007251D"),
        ({"nowhere.test": failed(LookupProblem.SERVER_FAILURE)}, "0x8007232A"),
        ({"nowhere.test": failed(LookupProblem.TIMEOUT)}, "0x8007232A"),
        ({"corp.test": [record("")]}, "0xC004F074"),
        (CORP, "0xC004F074"),
        ({"corp.test": [record("unresolvable.test")]}, "0xC004F074"),
    ],
)
def test_each_dead_end_has_microsoft_s_code(services: dict[str, Any], code: str) -> None:
    journey = walk(IN_CORP, FakeNetwork(), FakeLookup(services, HOSTS))
    assert journey.code == code
    assert journey.host is None
    assert code in journey.ending


def test_a_client_without_a_domain_ends_at_once() -> None:
    assert walk(ClientSettings(), FakeNetwork()).code == "0x8007007B"


def test_a_lookup_domain_is_the_only_one_asked() -> None:
    lookup = FakeLookup(CORP, HOSTS)
    walk(ClientSettings(lookup_domain="kms.test", search_list=("corp.test",)), FakeNetwork(), lookup)
    assert lookup.asked == ["SRV kms.test"]


def test_ipv6_is_tried_before_ipv4() -> None:
    lookup = FakeLookup({"corp.test": [record("both.test")]}, {"both.test": ["192.0.2.1", "2001:db8::1"]})
    network = FakeNetwork("192.0.2.1")
    walk(IN_CORP, network, lookup)
    assert network.probed == ["[2001:db8::1]:1688", "192.0.2.1:1688"]


@pytest.mark.parametrize(
    ("settings", "asked"),
    [
        # A search list replaces every other suffix.
        (
            {"search_list": ("a.test", "b.test"), "primary_suffix": "corp.test"},
            ["host gw.a.test", "host gw.b.test"],
        ),
        (
            {"primary_suffix": "sub.corp.test", "connection_suffixes": ("dhcp.test",), "devolution": True},
            ["host gw.sub.corp.test", "host gw.dhcp.test", "host gw.corp.test"],
        ),
        # The domain it is a member of is not a suffix of its names.
        ({"primary_suffix": "sub.corp.test", "ad_domain": "ad.test"}, ["host gw.sub.corp.test"]),
        ({}, []),
    ],
)
def test_a_short_name_is_looked_up_with_each_suffix_and_never_as_it_is(
    settings: dict[str, Any], asked: list[str]
) -> None:
    lookup = FakeLookup({}, {"gw": ["192.0.2.1"]})
    journey = walk(ClientSettings(host=HostPort("gw"), **settings), FakeNetwork("192.0.2.1"), lookup)
    assert lookup.asked == asked
    assert journey.code == "0xC004F074"
    assert "LLMNR" in journey.steps[-1].outcome


def test_the_first_suffix_that_has_a_short_name_wins() -> None:
    lookup = FakeLookup({}, {"gw.b.test": ["192.0.2.2"], "gw.c.test": ["192.0.2.3"]})
    settings = ClientSettings(cached=HostPort("gw", 1700), search_list=("a.test", "b.test", "c.test"))
    journey = walk(settings, FakeNetwork("192.0.2.2", "192.0.2.3"), lookup)
    assert journey.host == HostPort("192.0.2.2", 1700)
    assert lookup.asked == ["host gw.a.test", "host gw.b.test"]


def test_a_name_with_a_dot_gets_no_suffix() -> None:
    lookup = FakeLookup({})
    walk(ClientSettings(host=HostPort("gw.sub"), primary_suffix="corp.test"), FakeNetwork(), lookup)
    assert lookup.asked == ["host gw.sub"]
