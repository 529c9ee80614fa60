"""Several coroutines at once: a limited number, and none left running."""

from __future__ import annotations

import gc
import warnings

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from kmstwist.discovery.lookup.concurrently import together
from tests.discovery.fakes import result


class Crowd:
    """Coroutines that wait until they are told to go on."""

    def __init__(self) -> None:
        self.waiting: list[Deferred[None]] = []
        self.given_up = 0

    async def come(self, number: int) -> int:
        waiting: Deferred[None] = Deferred()
        self.waiting.append(waiting)
        try:
            await waiting
        except CancelledError:
            self.given_up += 1
            raise
        return number


def test_no_more_than_allowed_are_under_way_and_the_results_are_in_order() -> None:
    crowd, results = Crowd(), list[list[int]]()
    Deferred.fromCoroutine(together((crowd.come(number) for number in range(5)), at_once=2)).addCallback(results.append)
    assert len(crowd.waiting) == 2
    crowd.waiting[1].callback(None)
    assert len(crowd.waiting) == 3
    for place in (0, 2, 3, 4):
        crowd.waiting[place].callback(None)
    assert results == [[0, 1, 2, 3, 4]]


def told(failure: Failure, failed: list[BaseException]) -> None:
    assert failure.value is not None
    failed.append(failure.value)


def test_the_first_error_is_raised_and_the_rest_is_given_up_without_a_trace() -> None:
    crowd, failed = Crowd(), list[BaseException]()
    # Sockets that other tests left do not count.
    gc.collect()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        running = Deferred.fromCoroutine(together([crowd.come(number) for number in range(5)], at_once=2))
        running.addErrback(told, failed)
        crowd.waiting[0].errback(KeyError("x"))
        gc.collect()
    assert isinstance(failed[0], KeyError)
    # The third began when the first failed.
    assert (len(crowd.waiting), crowd.given_up) == (3, 2)


def test_cancelling_the_whole_cancels_all() -> None:
    crowd = Crowd()
    running = Deferred.fromCoroutine(together([crowd.come(number) for number in range(5)], at_once=2))
    failed: list[BaseException] = []
    running.addErrback(told, failed)
    running.cancel()
    assert isinstance(failed[0], CancelledError)
    assert crowd.given_up == len(crowd.waiting)


def test_an_empty_list_is_done_at_once() -> None:
    assert result(together([])) == []


@pytest.mark.parametrize("count", [1, 200])
def test_a_coroutine_that_never_waits_needs_no_turn(count: int) -> None:
    async def ready(number: int) -> int:
        return number

    assert result(together(ready(number) for number in range(count))) == list(range(count))
