from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.error import AlreadyCalled, AlreadyCancelled
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import Clock, LoopingCall
from zope.interface.verify import verifyObject

from kmstwist.lab.fleet.clock import VirtualClock

# Each step is (what, which earlier call, a whole number of seconds).
Steps = list[tuple[str, int, int]]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["call", "call", "call again", "cancel", "advance"]), st.integers(0, 30), st.integers(0, 20)
    ),
    max_size=60,
)


def play(clock: Clock | VirtualClock, steps: Steps) -> list[object]:
    """Take these steps on a clock. Returns what happened."""
    happened: list[object] = []
    calls: list[IDelayedCall] = []
    for what, which, seconds in steps:
        name = len(calls)
        if what == "call":
            calls.append(clock.callLater(seconds, lambda name=name: happened.append((name, clock.seconds()))))
        elif what == "call again":

            def again(name: int = name, seconds: int = seconds) -> None:
                happened.append((name, clock.seconds()))
                clock.callLater(seconds + 1, lambda: happened.append((name, "again", clock.seconds())))

            calls.append(clock.callLater(seconds, again))
        elif what == "advance":
            clock.advance(seconds)
        elif which < len(calls):
            try:
                calls[which].cancel()
            except (AlreadyCalled, AlreadyCancelled) as error:
                happened.append(type(error))
    happened.append([call.getTime() for call in clock.getDelayedCalls()])
    return happened


@given(STEPS)
@settings(max_examples=300, deadline=None)
def test_it_does_what_twisteds_own_clock_does(steps: Steps) -> None:
    assert play(VirtualClock(), steps) == play(Clock(), steps)


@given(
    st.permutations(range(12)), st.lists(st.tuples(st.integers(0, 11), st.booleans(), st.integers(0, 9)), max_size=8)
)
@settings(max_examples=200, deadline=None)
def test_a_call_put_off_is_made_when_twisteds_own_clock_makes_it(
    delays: list[int], changes: list[tuple[int, bool, int]]
) -> None:
    def run(clock: Clock | VirtualClock) -> list[object]:
        happened: list[object] = []
        calls = [clock.callLater(delay, happened.append, delay) for delay in delays]
        clock.advance(2)
        for number, (which, reset, whole) in enumerate(changes):
            # Each change has a different fraction: two calls due at once would have no defined order.
            seconds = whole + 2.0 ** -(number + 1)
            if calls[which].active():
                (calls[which].reset if reset else calls[which].delay)(seconds)
        clock.advance(50)
        return happened

    assert run(VirtualClock()) == run(Clock())


def test_it_provides_twisteds_interfaces() -> None:
    clock = VirtualClock()
    assert verifyObject(IReactorTime, clock)
    assert verifyObject(IDelayedCall, clock.callLater(1, list))


def test_a_looping_call_runs_on_it() -> None:
    clock = VirtualClock(100.0)
    moments: list[float] = []
    loop = LoopingCall(lambda: moments.append(clock.seconds()))
    loop.clock = clock
    loop.start(10)
    clock.run_until(135.0)
    assert moments == [100.0, 110.0, 120.0, 130.0]
    assert clock.seconds() == 135.0


def test_running_until_a_moment_makes_each_call_at_its_own_time() -> None:
    clock = VirtualClock()
    seen: list[float] = []
    clock.call_at(0.1, lambda: seen.append(clock.seconds()))
    clock.call_at(0.3, lambda: seen.append(clock.seconds()))
    clock.run_until(0.3)
    assert seen == [0.1, 0.3]


def test_the_past_is_refused() -> None:
    with pytest.raises(ValueError, match="seconds ago"):
        VirtualClock().callLater(-1, list)
