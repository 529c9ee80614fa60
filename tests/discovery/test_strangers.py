"""The watch for strangers, in virtual time."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from kmstwist.discovery.lookup.answers import LookupProblem, SrvAnswer
from kmstwist.discovery.lookup.dns_names import identity
from kmstwist.discovery.strangers import Stranger, StrangerWatch, strangers_in
from tests.discovery.fakes import FakeLookup, Log, failed, record, result

OURS = record("kms.corp.test", weight=100)
THEIRS = record("rogue.corp.test", priority=3, weight=7, port=1999)
HOSTS: dict[str, Any] = {"kms.corp.test": ["192.0.2.7"], "rogue.corp.test": ["192.0.2.66", "2001:db8::66"]}


def watching(lookup: FakeLookup, known: set[str]) -> tuple[Clock, Log, StrangerWatch]:
    clock, log = Clock(), Log()
    watch = StrangerWatch(clock, lookup, ["corp.test"], lambda: known, interval=100.0, log=log.logger)
    return clock, log, watch


def test_a_host_that_the_configuration_does_not_name_is_a_stranger() -> None:
    lookup = FakeLookup({"corp.test": [OURS, THEIRS]}, HOSTS)
    assert result(strangers_in(lookup, "corp.test", {"kms.corp.test"})) == (
        Stranger("corp.test", "rogue.corp.test", 1999, 3, 7, ("2001:db8::66", "192.0.2.66")),
    )


def test_a_host_known_by_its_address_is_not_a_stranger() -> None:
    lookup = FakeLookup({"corp.test": [OURS, THEIRS]}, HOSTS)
    assert result(strangers_in(lookup, "corp.test", {"192.0.2.7", "2001:db8::66"})) == ()


@pytest.mark.parametrize(
    "known",
    [
        "alias.corp.test",  # the configuration has an alias, the record the host's own name
        "same.corp.test",  # it has another name of the same address
        "KMS.Corp.Test.",
        "kms",
        "2001:DB8:0:0::7",
    ],
)
def test_a_host_is_known_by_any_of_its_names(known: str) -> None:
    lookup = FakeLookup(
        {"corp.test": [OURS]},
        {"kms.corp.test": ["2001:db8::7"], "alias.corp.test": ["2001:db8::7"], "same.corp.test": ["2001:db8::7"]},
    )
    assert result(strangers_in(lookup, "corp.test", {identity(known)})) == ()


def test_a_known_name_that_does_not_resolve_makes_no_host_known() -> None:
    lookup = FakeLookup({"corp.test": [THEIRS]}, {**HOSTS, "gone.test": failed(LookupProblem.TIMEOUT)})
    assert [one.host for one in result(strangers_in(lookup, "corp.test", {"gone.test"}))] == ["rogue.corp.test"]


def test_each_look_passes_on_what_it_found() -> None:
    remembered: list[Any] = []
    lookup = FakeLookup({"corp.test": [OURS, THEIRS]}, HOSTS)
    clock = Clock()
    watch = StrangerWatch(clock, lookup, ["corp.test"], lambda: {"kms.corp.test"}, 100.0, Log().logger)
    watch.remember = lambda *told: remembered.append(told)
    watch.startService()
    lookup.services["corp.test"] = failed(LookupProblem.TIMEOUT)
    clock.advance(100)
    lookup.services["corp.test"] = [OURS]
    clock.advance(100)
    assert [(domain, [one.host for one in found]) for domain, found in remembered] == [
        ("corp.test", ["rogue.corp.test"]),
        ("corp.test", []),
    ]


def test_a_stranger_whose_name_does_not_resolve_still_counts() -> None:
    lookup = FakeLookup({"corp.test": [THEIRS]})
    assert [stranger.addresses for stranger in result(strangers_in(lookup, "corp.test", set()))] == [()]


def test_a_domain_without_kms_hosts_has_no_strangers() -> None:
    assert result(strangers_in(FakeLookup({}), "corp.test", set())) == ()


def test_the_watch_reports_a_stranger_once_and_its_disappearance() -> None:
    lookup = FakeLookup({"corp.test": [OURS, THEIRS]}, HOSTS)
    clock, log, watch = watching(lookup, {"kms.corp.test"})

    watch.startService()
    clock.advance(100)
    assert log.lines == [
        "dns-stranger domain=corp.test host=rogue.corp.test port=1999 priority=3 weight=7 "
        "addresses=2001:db8::66,192.0.2.66 reason=dns-stranger"
    ]
    assert [stranger.host for stranger in watch.strangers["corp.test"]] == ["rogue.corp.test"]

    lookup.services["corp.test"] = [OURS]
    clock.advance(100)
    assert log.lines[1:] == ["dns-stranger-gone domain=corp.test host=rogue.corp.test port=1999"]
    assert watch.strangers == {"corp.test": ()}


def test_a_dns_failure_keeps_what_was_known_and_the_watch_goes_on() -> None:
    lookup = FakeLookup({"corp.test": [THEIRS]}, HOSTS)
    clock, log, watch = watching(lookup, set())
    watch.startService()
    lookup.services["corp.test"] = failed(LookupProblem.TIMEOUT)
    clock.advance(100)
    assert "dns-watch-failed domain=corp.test problem=timeout" in log.lines[1]
    assert len(watch.strangers["corp.test"]) == 1
    lookup.services["corp.test"] = []
    clock.advance(100)
    assert watch.strangers == {"corp.test": ()}


def test_a_defect_in_one_look_does_not_end_the_watch() -> None:
    lookup = FakeLookup({"corp.test": [THEIRS]}, HOSTS)
    known: list[Any] = [None, {"kms.corp.test"}]
    clock, log = Clock(), Log()
    watch = StrangerWatch(clock, lookup, ["corp.test"], lambda: known.pop(0), interval=100.0, log=log.logger)
    watch.startService()
    clock.advance(100)
    assert log.words() == ["defect", "dns-stranger"]


def test_a_host_configured_later_is_not_a_stranger_at_the_next_check() -> None:
    known: set[str] = set()
    clock, log, watch = watching(FakeLookup({"corp.test": [THEIRS]}, HOSTS), known)
    watch.startService()
    known.add("rogue.corp.test")
    clock.advance(100)
    assert log.words() == ["dns-stranger", "dns-stranger-gone"]


def test_a_stop_ends_the_watch_and_cancels_what_is_under_way() -> None:
    class Hanging(FakeLookup):
        async def service(self, domain: str) -> SrvAnswer:
            return await hanging

    hanging: Deferred[SrvAnswer] = Deferred()
    clock, log, watch = watching(Hanging({}), set())
    watch.startService()
    watch.stopService()
    clock.advance(1000)
    assert log.lines == []
    assert clock.getDelayedCalls() == []
