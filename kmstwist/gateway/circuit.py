"""The circuit breaker of one KMS host: whether calls are sent there.

Why it is a machine: whether a failure matters depends on what was known before it. A host is `closed` (calls flow)
until so many failures in a row trip it; `open` (no calls, unless nothing else is left) until a trial is due;
`half_open` while a probe tries it; and `warming` while it is given its share of calls step by step after it came back.
The wait for the next trial doubles with each that fails, and is drawn at random from its upper half, so that several
gateways do not try a host that just comes up in the same instant.

Probes and live calls report to the same machine. An RPC fault or a KMS status is an answer: the host is up.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Protocol

from automat import TypeMachineBuilder
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from kmstwist.gateway.settings import HealthSettings
from kmstwist.rpc.machine import build

#: The share of its weight that a host has at the begin of its slow start.
_FIRST_SHARE = 0.1


class CircuitState(StrEnum):
    """What the circuit is at, in the word that `kmstwist upstreams list` shows."""

    CLOSED = "up"
    OPEN = "down"
    HALF_OPEN = "trying"
    WARMING = "warming"


class CircuitOwner(Protocol):
    """Who is told of the circuit's changes: the upstream."""

    def circuit_opened(self, error: Exception | None) -> None:
        """The host counts as down."""

    def circuit_closed(self) -> None:
        """The host is back."""

    def try_host(self) -> None:
        """Probe the host now, and report with `succeeded` or `failed`."""


class CircuitInputs(Protocol):
    """What can happen to a circuit."""

    def succeeded(self) -> None:
        """The host answered, a call or a probe."""

    def failed(self, error: Exception) -> None:
        """The host did not answer."""

    def tripped(self, error: Exception) -> None:
        """It was one failure too many."""

    def trial_due(self) -> None:
        """The wait after the last failure is over."""

    def warmed(self) -> None:
        """The slow start is over."""


class Circuit:
    """The machine with its timers. `state` and `share` are what choosing an upstream needs."""

    def __init__(
        self, owner: CircuitOwner, settings: HealthSettings, clock: IReactorTime, random: Callable[[], float]
    ) -> None:
        """`random` gives numbers from 0 to below 1."""
        self.settings = settings
        self.state = CircuitState.CLOSED
        self.since = clock.seconds()
        self.failures = 0
        self.trials = 0
        self._owner = owner
        self._clock = clock
        self._random = random
        self._timer: IDelayedCall | None = None
        self._machine = CircuitMachine(self)

    def succeeded(self) -> None:
        """The host answered."""
        self._machine.succeeded()

    def failed(self, error: Exception) -> None:
        """The host did not answer."""
        self._machine.failed(error)

    def stop(self) -> None:
        """Stop the timers."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    @property
    def healthy(self) -> bool:
        """Whether calls are sent to the host."""
        return self.state is CircuitState.CLOSED or self.state is CircuitState.WARMING

    @property
    def share(self) -> float:
        """The part of its weight the host has at present, above 0 to 1."""
        if self.state is not CircuitState.WARMING or not self.settings.slow_start:
            return 1.0
        gone = (self._clock.seconds() - self.since) / self.settings.slow_start
        return min(1.0, max(_FIRST_SHARE, gone))

    def _enter(self, state: CircuitState) -> None:
        self.state = state
        self.since = self._clock.seconds()

    def _after(self, seconds: float, happen: Callable[[], None]) -> None:
        self.stop()
        self._timer = self._clock.callLater(seconds, happen)


# The machine's outputs: `(inputs, circuit, what the input carried)`.


def forget_failures(inputs: CircuitInputs, circuit: Circuit) -> None:
    """A success ends a row of failures."""
    circuit.failures = 0


def count_failure(inputs: CircuitInputs, circuit: Circuit, error: Exception) -> None:
    """Count it, and trip if that was enough."""
    circuit.failures += 1
    if circuit.failures >= circuit.settings.failures:
        inputs.tripped(error)


def open_circuit(inputs: CircuitInputs, circuit: Circuit, error: Exception) -> None:
    """Tell the owner, and wait for a trial; one that fails again while it warms goes on waiting longer."""
    circuit._owner.circuit_opened(error)
    wait_for_trial(inputs, circuit, error)


def wait_for_trial(inputs: CircuitInputs, circuit: Circuit, error: Exception) -> None:
    """Wait, twice as long as last time, for the next trial."""
    circuit._enter(CircuitState.OPEN)
    settings = circuit.settings
    # The exponent is bounded because a float's is; long before, the wait is the longest allowed.
    wait = min(settings.backoff_longest, settings.backoff_first * 2.0 ** min(circuit.trials, 64))
    circuit.trials += 1
    circuit._after(wait * (0.5 + circuit._random() / 2), inputs.trial_due)


def start_trial(inputs: CircuitInputs, circuit: Circuit) -> None:
    """Have the host probed."""
    circuit._enter(CircuitState.HALF_OPEN)
    circuit._owner.try_host()


def start_warming(inputs: CircuitInputs, circuit: Circuit) -> None:
    """The host is back: give it calls, few at first."""
    circuit.failures = 0
    circuit._enter(CircuitState.WARMING)
    circuit._after(circuit.settings.slow_start, inputs.warmed)
    circuit._owner.circuit_closed()


def finish_warming(inputs: CircuitInputs, circuit: Circuit) -> None:
    """The host has its whole share again."""
    circuit._enter(CircuitState.CLOSED)
    circuit.trials = 0


def do_nothing(inputs: CircuitInputs, circuit: Circuit) -> None:
    """The state says it all."""


def ignore_failure(inputs: CircuitInputs, circuit: Circuit, error: Exception) -> None:
    """That the host is down is known."""


_builder = TypeMachineBuilder(CircuitInputs, Circuit)
closed = _builder.state("closed")
open_ = _builder.state("open")
half_open = _builder.state("half_open")
warming = _builder.state("warming")

#: state, input, next state, what is done. This table is the circuit.
TRANSITIONS = [
    (closed, CircuitInputs.succeeded, closed, forget_failures),
    (closed, CircuitInputs.failed, closed, count_failure),
    (closed, CircuitInputs.tripped, open_, open_circuit),
    (closed, CircuitInputs.trial_due, closed, do_nothing),
    (closed, CircuitInputs.warmed, closed, do_nothing),
    (open_, CircuitInputs.succeeded, warming, start_warming),
    (open_, CircuitInputs.failed, open_, ignore_failure),
    (open_, CircuitInputs.tripped, open_, ignore_failure),
    (open_, CircuitInputs.trial_due, half_open, start_trial),
    (open_, CircuitInputs.warmed, open_, do_nothing),
    (half_open, CircuitInputs.succeeded, warming, start_warming),
    (half_open, CircuitInputs.failed, open_, wait_for_trial),
    (half_open, CircuitInputs.tripped, half_open, ignore_failure),
    (half_open, CircuitInputs.trial_due, half_open, do_nothing),
    (half_open, CircuitInputs.warmed, half_open, do_nothing),
    (warming, CircuitInputs.succeeded, warming, forget_failures),
    (warming, CircuitInputs.failed, warming, count_failure),
    (warming, CircuitInputs.tripped, open_, open_circuit),
    (warming, CircuitInputs.trial_due, warming, do_nothing),
    (warming, CircuitInputs.warmed, closed, finish_warming),
]
CircuitMachine = build(_builder, TRANSITIONS)
