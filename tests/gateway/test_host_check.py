"""Checks of the hosts on request: the answer is true, and their number is bounded however many clients ask."""

from __future__ import annotations

from kmstwist.gateway.settings import HealthSettings
from kmstwist.kms.reach import PATIENCE, Reach, Role
from tests.gateway.fakes import Site


def check(site: Site, wait: float = 0.5) -> Reach | None:
    found: list[Reach] = []
    site.gateway.check.ask().addCallback(found.append)
    site.wait(wait)
    return found[0] if found else None


def test_the_hosts_are_asked_now_and_counted() -> None:
    site = Site("a", "b", "c")
    attempts = site.hosts["a"].attempts
    site.hosts["b"].down()
    found = check(site)
    assert found is not None
    assert (found.role, found.asked, found.answered) == (Role.GATEWAY, 3, 2)
    assert site.hosts["a"].attempts == attempts + 1


def test_drained_hosts_are_not_asked_and_without_hosts_the_count_is_zero() -> None:
    site = Site("a", "b")
    site.gateway.directory.drain(["a"])
    attempts = site.hosts["a"].attempts
    assert check(site) == Reach(Role.GATEWAY, 1, 1, 6)
    assert site.hosts["a"].attempts == attempts
    assert check(Site()) == Reach(Role.GATEWAY)


def test_however_many_ask_one_check_is_made_a_second() -> None:
    site = Site("a")
    before = site.hosts["a"].attempts
    found: list[Reach] = []
    for _ in range(50):
        site.gateway.check.ask().addCallback(found.append)
    site.wait(0.5)
    for _ in range(50):
        site.gateway.check.ask().addCallback(found.append)
    assert len(found) == 100
    assert {reach.answered for reach in found} == {1}
    assert found[-1].age > 0
    assert site.hosts["a"].attempts == before + 1
    site.wait(1)
    check(site)
    assert site.hosts["a"].attempts == before + 2


def test_a_silent_host_does_not_hold_up_a_check_beyond_its_time() -> None:
    site = Site("a", "b")
    site.hosts["a"].mute = True
    assert check(site, PATIENCE - 0.1) is None
    site.wait(0.2)
    found = check(site, 0)
    assert found is not None
    assert (found.asked, found.answered) == (2, 1)
    # An answer that comes too late does not count for the next check.
    site.hosts["a"].mute = False
    site.wait(20)
    assert (again := check(site)) is not None
    assert again.answered == 2


def test_a_host_that_is_back_is_found_and_used_at_once() -> None:
    site = Site("a", health=HealthSettings(failures=1, backoff_first=1000, backoff_longest=1000))
    site.hosts["a"].down()
    site.wait(40)
    assert not site.gateway.serves
    site.hosts["a"].reachable = True
    assert (found := check(site)) is not None
    assert found.answered == 1
    assert site.gateway.serves


def test_a_gateway_that_stops_leaves_nobody_waiting() -> None:
    site = Site("a")
    site.hosts["a"].mute = True
    found: list[Reach] = []
    site.gateway.check.ask().addCallback(found.append)
    site.gateway.stopService()
    assert [(each.asked, each.answered) for each in found] == [(1, 0)]
    assert not [call for call in site.clock.getDelayedCalls() if call.getTime() > site.clock.seconds() + PATIENCE]
