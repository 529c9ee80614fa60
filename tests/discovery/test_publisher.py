"""The publishing service, in virtual time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel

from kmstwist.addresses import HostPort
from kmstwist.discovery.lookup.srv import SrvRecord
from kmstwist.discovery.publishing.publication import Publication
from kmstwist.discovery.publishing.publisher import PublisherService
from kmstwist.discovery.publishing.update import UpdateFailed
from kmstwist.discovery.publishing.updater import UpdateDone
from kmstwist.pacing.waits import doubled, spread
from kmstwist.reasons import Reason
from tests.discovery.fakes import Log

ONE = Publication("one.test", "gw.corp.test")
TWO = Publication("two.test", "gw.corp.test")
SERVER = HostPort("192.0.2.53", 53)
REFUSED = UpdateFailed(Reason.DNS_REFUSED, "The DNS server does not allow it.")


class FakeUpdater:
    """Does what the test says; `calls` is what it was asked."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.calls: list[tuple[float, str, str]] = []
        self.answer: Callable[[Publication], UpdateDone | Exception | Deferred[UpdateDone]] = done
        self.problem = ""

    async def _do(self, verb: str, publication: Publication) -> UpdateDone:
        self.calls.append((self.clock.seconds(), verb, publication.domain))
        answer = self.answer(publication)
        if isinstance(answer, Exception):
            raise answer
        return await answer if isinstance(answer, Deferred) else answer

    async def publish(self, publication: Publication) -> UpdateDone:
        return await self._do("publish", publication)

    async def withdraw(self, publication: Publication) -> UpdateDone:
        return await self._do("withdraw", publication)

    async def target_problem(self, publication: Publication) -> str:
        return self.problem


def done(publication: Publication) -> UpdateDone:
    return UpdateDone(publication, publication.domain, SERVER, (), ())


def made(
    publications: tuple[Publication, ...] = (ONE,), random: Callable[[], float] = lambda: 1.0, **options: Any
) -> tuple[Clock, FakeUpdater, Log, PublisherService]:
    clock, log = Clock(), Log()
    updater = FakeUpdater(clock)
    service = PublisherService(clock, updater, publications, random, log=log.logger, **options)
    return clock, updater, log, service


def test_it_publishes_at_start_and_again_after_each_refresh() -> None:
    clock, updater, log, service = made((ONE, TWO), refresh=100.0)

    service.startService()
    clock.advance(100)
    clock.advance(100)

    assert updater.calls == [
        (seconds, "publish", domain) for seconds in (0, 100, 200) for domain in ("one.test", "two.test")
    ]
    assert set(log.words()) == {"dns-published"}
    assert service.problems == {"one.test": "", "two.test": ""}


def test_the_log_line_says_what_was_published_where() -> None:
    _, _, log, service = made()

    service.startService()

    assert log.lines == [
        'dns-published domain=one.test record="_vlmcs._tcp.one.test. 3600 IN SRV 0 100 1688 gw.corp.test." '
        "zone=one.test server=192.0.2.53:53 others=0 took_ms=0.0"
    ]
    assert log.events[0]["log_level"] is LogLevel.info


def test_a_failure_is_tried_again_with_waits_that_double_up_to_the_longest() -> None:
    clock, updater, log, service = made(retry_first=10.0, retry_longest=35.0)
    updater.answer = lambda publication: REFUSED

    service.startService()
    for _ in range(120):
        clock.advance(1)

    assert [seconds for seconds, _, _ in updater.calls] == [0, 10, 30, 65, 100]
    assert log.lines[1] == (
        'dns-publish-failed domain=one.test record="_vlmcs._tcp.one.test. 3600 IN SRV 0 100 1688 gw.corp.test." '
        'reason=dns-refused detail="The DNS server does not allow it." attempt=2 retry_s=20'
    )
    assert log.events[0]["log_level"] is LogLevel.warn
    assert service.problems == {"one.test": "The DNS server does not allow it."}


def test_after_a_success_the_waits_begin_again() -> None:
    clock, updater, _, service = made(retry_first=10.0, refresh=1000.0)
    updater.answer = lambda publication: REFUSED
    service.startService()
    clock.advance(10)
    updater.answer = done
    clock.advance(20)
    updater.answer = lambda publication: REFUSED
    clock.advance(1000)
    clock.advance(10)
    assert [seconds for seconds, _, _ in updater.calls] == [0, 10, 30, 1030, 1040]


def test_one_domain_s_failure_does_not_hold_up_another() -> None:
    clock, updater, _, service = made((ONE, TWO), retry_first=10.0, refresh=1000.0)
    updater.answer = lambda publication: REFUSED if publication is ONE else done(publication)
    service.startService()
    clock.advance(10)
    assert updater.calls == [(0, "publish", "one.test"), (0, "publish", "two.test"), (10, "publish", "one.test")]


def test_the_wait_is_shortened_at_random_by_up_to_half() -> None:
    assert spread(doubled(30.0, 3600.0, 1), lambda: 0.0) == 15.0
    assert spread(doubled(30.0, 3600.0, 3), lambda: 0.5) == 90.0
    assert doubled(30.0, 3600.0, 1000) == 3600.0


def test_a_stop_ends_refreshing_and_withdraws_only_if_asked_to() -> None:
    clock, updater, _, service = made(refresh=100.0)
    service.startService()
    stopped: list[Any] = []
    service.stopService().addCallback(stopped.append)
    clock.advance(1000)
    assert stopped
    assert updater.calls == [(0, "publish", "one.test")]
    assert clock.getDelayedCalls() == []


def test_an_orderly_stop_withdraws_every_record() -> None:
    clock, updater, log, service = made((ONE, TWO), withdraw=True)
    service.startService()
    stopped: list[Any] = []
    service.stopService().addCallback(stopped.append)
    assert stopped
    assert updater.calls[2:] == [(0, "withdraw", "one.test"), (0, "withdraw", "two.test")]
    assert log.words()[2:] == ["dns-withdrawn", "dns-withdrawn"]
    assert service.problems == {}
    assert clock.getDelayedCalls() == []


def test_a_withdrawal_that_hangs_holds_the_stop_up_no_longer_than_allowed() -> None:
    clock, updater, log, service = made(withdraw=True, stop_within=5.0)
    service.startService()
    updater.answer = lambda publication: Deferred()
    stopped: list[Any] = []
    service.stopService().addCallback(stopped.append)
    clock.advance(4)
    assert stopped == []
    clock.advance(1)
    assert stopped
    assert "reason=dns-timeout" in log.lines[-1]
    assert "It was not done within 5 seconds." in log.lines[-1]


def test_a_withdrawal_that_is_refused_is_logged_and_the_stop_goes_on() -> None:
    _, updater, log, service = made(withdraw=True)
    service.startService()
    updater.answer = lambda publication: REFUSED
    stopped: list[Any] = []
    service.stopService().addCallback(stopped.append)
    assert stopped
    assert log.words()[-1] == "dns-withdraw-failed"


def test_an_update_under_way_is_given_up_at_a_stop() -> None:
    clock, updater, log, service = made()
    cancelled: list[Any] = []
    updater.answer = lambda publication: Deferred(cancelled.append)
    service.startService()
    service.stopService()
    assert len(cancelled) == 1
    assert clock.getDelayedCalls() == []
    assert log.lines == []


def test_a_defect_is_logged_whole_and_the_publishing_goes_on() -> None:
    clock, updater, log, service = made(retry_first=10.0)
    updater.answer = lambda publication: ZeroDivisionError("oops")
    service.startService()
    updater.answer = done
    clock.advance(10)
    assert log.words() == ["defect", "dns-publish-failed", "dns-published"]
    assert "ZeroDivisionError: oops" in log.lines[0]


def test_an_earlier_record_of_ours_is_reported_with_the_command_that_removes_it() -> None:
    _, updater, log, service = made()
    old = SrvRecord(0, 7, 1688, "gw.corp.test", 3600)
    updater.answer = lambda publication: UpdateDone(publication, "one.test", SERVER, (), (old,))
    service.startService()
    assert log.words() == ["dns-published", "dns-outdated"]
    assert (
        "kmstwist dns withdraw --domain one.test --host gw.corp.test --port 1688 --priority 0 --weight 7"
        in (log.lines[1])
    )


@pytest.mark.parametrize("random", [0.0, 0.25, 0.999])
def test_no_wait_is_longer_than_the_longest_nor_shorter_than_half_the_first(random: float) -> None:
    for attempt in range(1, 200):
        assert 15.0 <= spread(doubled(30.0, 3600.0, attempt), lambda: random) <= 3600.0


def test_a_fault_of_our_host_s_name_is_reported_before_the_record_is_published() -> None:
    _, updater, log, service = made()
    updater.problem = "gw.corp.test does not exist."

    service.startService()

    assert log.words() == ["dns-target-unusable", "dns-published"]
    assert 'detail="gw.corp.test does not exist."' in log.lines[0]
