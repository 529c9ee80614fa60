"""The count of clients is made in a thread, once a minute at most, and told to whoever asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from kmstwist.audit.engine import StoreError
from kmstwist.audit.views.estate import Estate
from kmstwist.web.metrics.estate import EVERY, Estates


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


def asked(estates: Estates) -> list[Any]:
    answers: list[Any] = []
    estates.latest().addBoth(answers.append)
    return answers


@pytest.fixture
def made() -> tuple[Clock, Threads, Estates]:
    clock, threads = Clock(), Threads()
    return clock, threads, Estates(store, clock.seconds, threads)


def test_all_who_ask_first_wait_for_one_count(made: tuple[Clock, Threads, Estates]) -> None:
    _, threads, estates = made
    first, second = asked(estates), asked(estates)
    assert (first, second, len(threads.started)) == ([], [], 1)
    threads.end(Estate(1.0))
    assert first == second == [Estate(1.0)]


def test_later_ones_wait_for_nothing_and_an_old_count_is_made_anew(made: tuple[Clock, Threads, Estates]) -> None:
    clock, threads, estates = made
    asked(estates)
    threads.end(Estate(1.0))
    clock.advance(EVERY - 1)
    assert asked(estates) == [Estate(1.0)]
    assert len(threads.started) == 1
    clock.advance(1)
    assert asked(estates) == asked(estates) == [Estate(1.0)]
    assert len(threads.started) == 2
    threads.end(Estate(2.0))
    assert asked(estates) == [Estate(2.0)]


def test_what_cannot_be_read_is_not_told_any_more(made: tuple[Clock, Threads, Estates]) -> None:
    clock, threads, estates = made
    asked(estates)
    threads.end(Estate(1.0))
    clock.advance(EVERY)
    asked(estates)
    threads.end(Failure(StoreError("gone")))
    assert asked(estates) == [None]


def test_a_defect_reaches_who_asked(made: tuple[Clock, Threads, Estates]) -> None:
    clock, threads, estates = made
    answers = asked(estates)
    threads.end(Failure(ZeroDivisionError("x")))
    assert answers[0].check(ZeroDivisionError)
    clock.advance(EVERY)
    again = asked(estates)
    threads.end(Estate(3.0))
    assert again == [Estate(3.0)]


def test_without_an_audit_there_is_nothing_to_count() -> None:
    threads = Threads()
    assert asked(Estates(None, Clock().seconds, threads)) == [None]
    assert threads.started == []
