"""A pool's requests: each hears its outcome once."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import fail
from twisted.internet.task import Clock

from kmstwist.gateway.connections import PoolBusy
from kmstwist.gateway.pool import AssociationPool, Attempt
from kmstwist.kms.activation import ActivationCall, ActivationFault
from kmstwist.transport.errors import LostError, TimedOut
from tests.gateway.fakes import FakeEndpoint, FakeHost, Site

MESSAGE = b"\0\0\6\0 a message"


class Told:
    """Records what it is told."""

    def __init__(self) -> None:
        self.ends: list[object] = []

    def host_answered(self, hresult: int, message: bytes) -> None:
        self.ends.append((hresult, message))

    def host_failed(self, error: Exception) -> None:
        self.ends.append(type(error))


class Pool:
    """A pool of at most one connection, and its host, which is silent until the test changes that."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.host = FakeHost(self.clock, "kms1")
        self.host.answer = lambda message: None
        self.failures: list[Exception] = []
        self.pool = AssociationPool(
            FakeEndpoint(self.host), self.clock, floor=1, ceiling=1, queue=2, when_failed=self.failures.append
        )
        self.pool.start()
        self.clock.pump([0.001] * 5)

    def ask(self, told: Told, timeout: float = 1.0) -> Attempt | None:
        return self.pool.request(MESSAGE, timeout, told)

    @property
    def deadlines(self) -> int:
        return sum(map(len, self.pool._deadlines.values()))


def test_a_request_that_got_no_turn_fails_as_busy_and_the_host_as_silent_for_the_other() -> None:
    scene, first, second = Pool(), Told(), Told()
    scene.ask(first, timeout=3.0)
    scene.ask(second)
    scene.clock.advance(1.0)
    assert (first.ends, second.ends) == ([], [PoolBusy])
    assert scene.failures == []
    scene.clock.advance(2.0)
    assert first.ends == [TimedOut]
    assert [type(error) for error in scene.failures] == [TimedOut]
    assert scene.deadlines == 0


def test_a_request_for_which_no_connection_opens_in_time_is_the_hosts_silence() -> None:
    scene, told = Pool(), Told()
    scene.host.mute = True
    scene.host.connections[0].lose(LostError("cut"))
    scene.clock.advance(0)
    scene.ask(told)
    scene.clock.advance(1.0)
    assert told.ends == [TimedOut]
    # The attempt to connect, which takes longer, will report that itself.
    assert scene.failures == []


def test_more_requests_than_may_wait_fail_at_once() -> None:
    scene = Pool()
    told = [Told() for _ in range(4)]
    attempts = [scene.ask(one) for one in told]
    assert [one.ends for one in told] == [[], [], [], [PoolBusy]]
    assert [attempt is None for attempt in attempts] == [False, False, False, True]


@pytest.mark.parametrize("waits", [False, True])
def test_a_cancelled_request_is_told_nothing(waits: bool) -> None:
    scene, told = Pool(), Told()
    if waits:
        scene.ask(Told())
    attempt = scene.ask(told)
    assert attempt is not None
    attempt.give_up()
    # An answer on its connection now comes too late.
    attempt.answered(0, b"late")
    attempt.failed(LostError("late"))
    attempt.give_up()
    scene.clock.advance(5.0)
    assert told.ends == []
    assert (scene.pool.waiting, scene.deadlines) == (0, 0)


def test_a_request_may_be_answered_before_it_has_a_deadline() -> None:
    class AtOnce:
        """A connection that answers at once."""

        alive = True

        def ask(self, message: bytes, asker: Any) -> None:
            asker.answered(0, message)

    scene, told = Pool(), Told()
    at_once: Any = AtOnce()
    scene.pool._idle = [at_once]
    assert scene.ask(told) is None
    assert told.ends == [(0, MESSAGE)]
    assert (scene.pool._idle, scene.pool.busy, scene.deadlines) == ([at_once], 0, 0)


def test_a_call_whose_time_is_over_asks_no_further_host() -> None:
    site = Site("kms1", "kms2", deadline=1.0)
    for host in site.hosts.values():
        host.answer = lambda message: None
    outcome: list[Any] = []
    site.gateway.activate(ActivationCall(MESSAGE, "10.0.0.7", 50000)).addErrback(
        lambda failure: outcome.append(failure.value)
    )
    # The process was suspended, so both times are over when it looks at the first.
    site.clock.advance(10.0)
    [fault] = outcome
    assert isinstance(fault, ActivationFault)
    assert fault.detail.endswith("the 1 s for the call were over")
    assert sum(len(host.messages) for host in site.hosts.values()) <= 1


@pytest.mark.parametrize("what", ["answered", "not_answered", "open_for_call"])
def test_a_defect_on_the_way_ends_the_call_with_it(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def defect(*_: object) -> Any:
        raise ZeroDivisionError("a defect")

    site = Site("kms1")
    upstream, host = site.upstream("kms1"), site.hosts["kms1"]
    if what == "open_for_call":
        monkeypatch.setattr(AssociationPool, what, lambda pool: fail(ZeroDivisionError("a defect")))
        upstream.pool.close_reserve()
    else:
        monkeypatch.setattr(upstream, what, defect)
        host.answer = lambda message: (0xC004F042, b"") if what == "answered" else "lost"
    assert isinstance(site.ask(), ZeroDivisionError)
