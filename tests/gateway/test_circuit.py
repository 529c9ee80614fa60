from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from kmstwist.gateway.circuit import Circuit, CircuitState
from kmstwist.gateway.settings import HealthSettings

ERROR = Exception("no answer")


class Owner:
    def __init__(self) -> None:
        self.told: list[str] = []
        self.trials = 0

    def circuit_opened(self, error: Exception | None) -> None:
        self.told.append("opened")

    def circuit_closed(self) -> None:
        self.told.append("closed")

    def try_host(self) -> None:
        self.trials += 1


class Bench:
    def __init__(self, random: float = 1.0, **settings: float) -> None:
        self.clock = Clock()
        self.owner = Owner()
        health = HealthSettings.model_validate(
            {"failures": 2, "backoff_first": 1, "backoff_longest": 8, "slow_start": 10, **settings}
        )
        self.circuit = Circuit(self.owner, health, self.clock, lambda: random)

    def fail(self, times: int = 1) -> None:
        for _ in range(times):
            self.circuit.failed(ERROR)


def test_failures_in_a_row_open_the_circuit_and_its_owner_is_told_once() -> None:
    bench = Bench()
    bench.fail()
    assert bench.circuit.healthy
    bench.fail(3)
    assert bench.circuit.state is CircuitState.OPEN
    assert bench.owner.told == ["opened"]


def test_a_success_between_failures_keeps_it_closed() -> None:
    bench = Bench()
    for _ in range(10):
        bench.fail()
        bench.circuit.succeeded()
    assert bench.circuit.state is CircuitState.CLOSED


def test_a_trial_that_succeeds_brings_the_host_back_step_by_step() -> None:
    bench = Bench()
    bench.fail(2)
    bench.clock.advance(1)
    assert (bench.circuit.state, bench.owner.trials) == (CircuitState.HALF_OPEN, 1)
    bench.circuit.succeeded()
    assert bench.owner.told == ["opened", "closed"]
    shares = []
    for _ in range(10):
        shares.append(round(bench.circuit.share, 3))
        bench.clock.advance(1)
    assert shares == [0.1, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    assert (bench.circuit.state, bench.circuit.share) == (CircuitState.CLOSED, 1.0)


def test_each_trial_that_fails_doubles_the_wait_up_to_the_longest() -> None:
    bench = Bench()
    bench.fail(2)
    waits = []
    for _ in range(6):
        begun = bench.clock.seconds()
        while bench.circuit.state is CircuitState.OPEN:
            bench.clock.advance(0.25)
        waits.append(bench.clock.seconds() - begun)
        bench.fail()
    assert waits == [1, 2, 4, 8, 8, 8]


@pytest.mark.parametrize(("random", "wait"), [(0.0, 0.5), (0.5, 0.75), (1.0, 1.0)])
def test_the_wait_is_drawn_from_its_upper_half(random: float, wait: float) -> None:
    bench = Bench(random)
    bench.fail(2)
    [timer] = bench.clock.getDelayedCalls()
    assert timer.getTime() == wait


def test_a_host_that_fails_while_warming_up_resumes_its_earlier_wait() -> None:
    bench = Bench()
    bench.fail(2)
    bench.clock.advance(1)
    bench.circuit.succeeded()
    bench.fail(2)
    [timer] = bench.clock.getDelayedCalls()
    assert timer.getTime() - bench.clock.seconds() == 2


def test_a_call_that_is_answered_by_a_host_thought_down_brings_it_back() -> None:
    bench = Bench()
    bench.fail(2)
    bench.circuit.succeeded()
    assert bench.circuit.state is CircuitState.WARMING


def test_without_a_slow_start_the_whole_share_is_there_at_once() -> None:
    bench = Bench(slow_start=0)
    bench.fail(2)
    bench.circuit.succeeded()
    assert bench.circuit.share == 1.0


@given(st.lists(st.sampled_from(["succeeded", "failed", "wait"])))
def test_no_order_of_events_breaks_it_and_an_open_circuit_always_has_a_trial_ahead(steps: list[str]) -> None:
    bench = Bench()
    for step in steps:
        if step == "succeeded":
            bench.circuit.succeeded()
        elif step == "failed":
            bench.fail()
        else:
            bench.clock.advance(1.5)
        assert 0 < bench.circuit.share <= 1
        if bench.circuit.state is CircuitState.OPEN:
            assert len(bench.clock.getDelayedCalls()) == 1
    bench.circuit.stop()
    assert bench.clock.getDelayedCalls() == []
