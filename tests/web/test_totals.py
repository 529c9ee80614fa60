"""Clients are counted in a thread, at most once a minute, and everybody who asks gets the result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from kmstwist.audit.plain.faults import StoreError
from kmstwist.audit.views.totals import Totals
from kmstwist.web.metrics.totals import EVERY, LatestTotals


class Threads:
    """Threads whose work ends when a test says so."""

    def __init__(self) -> None:
        self.started: list[tuple[Deferred[Any], Callable[..., Any], tuple[Any, ...]]] = []

    def __call__(self, function: Callable[..., Any], *args: Any) -> Deferred[Any]:
        answer: Deferred[Any] = Deferred()
        self.started.append((answer, function, args))
        return answer

    def end(self, result: object) -> None:
        self.started[-1][0].callback(result)


def store() -> Engine:
    raise AssertionError("only a thread asks the store")


def asked(latest: LatestTotals) -> list[Any]:
    answers: list[Any] = []
    latest.latest().addBoth(answers.append)
    return answers


@pytest.fixture
def made() -> tuple[Clock, Threads, LatestTotals]:
    clock, threads = Clock(), Threads()
    return clock, threads, LatestTotals(store, clock.seconds, threads)


def test_all_early_requests_wait_for_one_count(made: tuple[Clock, Threads, LatestTotals]) -> None:
    _, threads, latest = made
    first, second = asked(latest), asked(latest)
    assert (first, second, len(threads.started)) == ([], [], 1)
    threads.end(Totals(1.0))
    assert first == second == [Totals(1.0)]


def test_later_requests_do_not_wait_and_an_old_count_is_made_again(made: tuple[Clock, Threads, LatestTotals]) -> None:
    clock, threads, latest = made
    asked(latest)
    threads.end(Totals(1.0))
    clock.advance(EVERY - 1)
    assert asked(latest) == [Totals(1.0)]
    assert len(threads.started) == 1
    clock.advance(1)
    assert asked(latest) == asked(latest) == [Totals(1.0)]
    assert len(threads.started) == 2
    threads.end(Totals(2.0))
    assert asked(latest) == [Totals(2.0)]


def test_a_count_that_fails_replaces_the_old_one_by_none(made: tuple[Clock, Threads, LatestTotals]) -> None:
    clock, threads, latest = made
    asked(latest)
    threads.end(Totals(1.0))
    clock.advance(EVERY)
    asked(latest)
    threads.end(Failure(StoreError("gone")))
    assert asked(latest) == [None]


def test_a_defect_reaches_whoever_asked(made: tuple[Clock, Threads, LatestTotals]) -> None:
    clock, threads, latest = made
    answers = asked(latest)
    threads.end(Failure(ZeroDivisionError("x")))
    assert answers[0].check(ZeroDivisionError)
    clock.advance(EVERY)
    again = asked(latest)
    threads.end(Totals(3.0))
    assert again == [Totals(3.0)]


def test_without_an_audit_there_is_nothing_to_count() -> None:
    threads = Threads()
    assert asked(LatestTotals(None, Clock().seconds, threads)) == [None]
    assert threads.started == []
