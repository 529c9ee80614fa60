"""Which DNS server is asked, and when, in virtual time."""

from __future__ import annotations

from typing import Any

import dns.message
import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from kmstwist.addresses import HostPort
from kmstwist.discovery.lookup.answers import LookupFailed, LookupProblem
from kmstwist.discovery.lookup.servers import LAST_FOR, Race, Standing

ONE, TWO, THREE = (HostPort(f"192.0.2.{number}", 53) for number in (1, 2, 3))
AWAY = (LookupProblem.TIMEOUT, LookupProblem.CLOSED, LookupProblem.NO_ROUTE)
ANSWER = dns.message.Message()


class Servers:
    """Servers that answer when a test says so; `asked` has each in the order in which it was asked, `given_up` too."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.standing = Standing(self.clock)
        self.asked: list[HostPort] = []
        self.given_up: list[HostPort] = []
        self._waiting: dict[HostPort, Deferred[dns.message.Message]] = {}

    async def _ask(self, server: HostPort) -> dns.message.Message:
        self.asked.append(server)
        self._waiting[server] = Deferred(lambda deferred: self.given_up.append(server))
        return await self._waiting[server]

    def race(self, *servers: HostPort) -> list[Any]:
        """The result of the race, once it is over."""
        self.asked.clear()
        outcome: list[Any] = []
        Race(self.clock, servers, self._ask, self.standing, 2.0).run().addBoth(outcome.append)
        return outcome

    def answers(self, server: HostPort) -> None:
        self._waiting.pop(server).callback(ANSWER)

    def fails(self, server: HostPort, problem: LookupProblem) -> None:
        self._waiting.pop(server).errback(LookupFailed(problem, "name.test", "SRV", server, 5.0))

    @property
    def clean(self) -> bool:
        return not self.clock.getDelayedCalls()


def test_a_server_that_answers_in_time_is_asked_alone() -> None:
    servers = Servers()
    outcome = servers.race(ONE, TWO)
    servers.clock.advance(1.9)
    servers.answers(ONE)
    assert (outcome, servers.asked) == ([(ANSWER, ONE)], [ONE])
    assert servers.clean


def test_while_one_is_silent_the_next_is_asked_beside_it_and_the_first_answer_counts() -> None:
    servers = Servers()
    outcome = servers.race(ONE, TWO, THREE)
    servers.clock.advance(2)
    assert servers.asked == [ONE, TWO]
    servers.clock.advance(2)
    assert servers.asked == [ONE, TWO, THREE]
    servers.answers(ONE)
    assert outcome == [(ANSWER, ONE)]
    assert servers.given_up == [TWO, THREE]
    assert servers.clean


@pytest.mark.parametrize(
    "problem", [*AWAY, LookupProblem.SERVER_FAILURE, LookupProblem.REFUSED, LookupProblem.BAD_ANSWER]
)
def test_a_server_that_fails_is_followed_by_the_next_at_once(problem: LookupProblem) -> None:
    servers = Servers()
    outcome = servers.race(ONE, TWO)
    servers.fails(ONE, problem)
    assert servers.asked == [ONE, TWO]
    servers.answers(TWO)
    assert outcome == [(ANSWER, TWO)]
    assert servers.clean


@pytest.mark.parametrize("problem", AWAY)
def test_a_server_that_was_away_is_asked_last_for_a_while(problem: LookupProblem) -> None:
    servers = Servers()
    servers.race(ONE, TWO)
    servers.fails(ONE, problem)
    servers.answers(TWO)

    servers.race(ONE, TWO)
    assert servers.asked == [TWO]
    servers.answers(TWO)

    servers.clock.advance(LAST_FOR)
    servers.race(ONE, TWO)
    assert servers.asked == [ONE]


def test_a_server_that_fails_for_this_name_only_keeps_its_place() -> None:
    servers = Servers()
    servers.race(ONE, TWO)
    servers.fails(ONE, LookupProblem.SERVER_FAILURE)
    servers.answers(TWO)
    servers.race(ONE, TWO)
    assert servers.asked == [ONE]


def test_a_server_that_answers_late_gets_its_place_back() -> None:
    servers = Servers()
    servers.race(ONE, TWO)
    servers.clock.advance(2)
    servers.answers(ONE)
    servers.race(ONE, TWO)
    assert servers.asked == [ONE]


def test_if_all_fail_the_first_failure_is_reported_once_the_last_has_failed() -> None:
    servers = Servers()
    outcome = servers.race(ONE, TWO)
    servers.clock.advance(2)
    servers.fails(TWO, LookupProblem.REFUSED)
    assert outcome == []
    servers.fails(ONE, LookupProblem.TIMEOUT)
    assert outcome[0].value.server == ONE
    assert servers.clean


def test_if_all_were_away_the_one_that_was_away_first_is_asked_first() -> None:
    servers = Servers()
    outcome = servers.race(ONE, TWO)
    servers.fails(ONE, LookupProblem.CLOSED)
    servers.clock.advance(1)
    servers.fails(TWO, LookupProblem.CLOSED)
    assert outcome[0].value.server == ONE
    servers.race(TWO, ONE)
    assert servers.asked == [ONE]


def test_cancelling_a_question_cancels_it_at_every_server_asked() -> None:
    servers = Servers()
    ended: list[Any] = []
    asking = Race(servers.clock, (ONE, TWO, THREE), servers._ask, servers.standing, 2.0).run()
    asking.addErrback(ended.append)
    servers.clock.advance(2)
    asking.cancel()
    assert servers.given_up == [ONE, TWO]
    assert len(ended) == 1
    assert servers.clean


def test_a_server_named_twice_is_asked_once() -> None:
    servers = Servers()
    outcome = servers.race(ONE, ONE)
    servers.fails(ONE, LookupProblem.TIMEOUT)
    assert servers.asked == [ONE]
    assert outcome[0].value.server == ONE
