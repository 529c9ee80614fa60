"""The circuit breaker of one KMS host: whether calls are sent there.

Why it is a machine: whether a failure matters depends on what was known before it. A circuit is `closed` (calls flow)
until a number of failures in a row trips it; `open` (no calls, unless nothing else is left) until a trial is due;
`half_open` while a probe tries the host; and `warming` while the host gets its share of calls back step by step. The
wait for the next trial doubles with each failed one, and is drawn at random from its upper half, so that several
gateways do not all try a host at the moment when it comes up.

Probes and live calls report to the same machine. An RPC fault or a KMS status is an answer: the host is up.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from kmstwist.gateway.settings import HealthSettings
from kmstwist.pacing.waits import doubled, spread
from kmstwist.statemachine import ANY, SAME, Machine, Table

#: The part of its weight that a host has at the beginning of its slow start.
_FIRST_SHARE = 0.1


class CircuitState(StrEnum):
    """The circuit's state, in the word that `kmstwist upstreams list` shows."""

    CLOSED = "up"
    OPEN = "down"
    HALF_OPEN = "trying"
    WARMING = "warming"


#: The states in which calls are sent to the host.
SERVING = frozenset({CircuitState.CLOSED, CircuitState.WARMING})


class CircuitOwner(Protocol):
    """What hears of the circuit's changes: the upstream."""

    def circuit_opened(self, error: Exception | None) -> None:
        """The host is considered down."""

    def circuit_closed(self) -> None:
        """The host is back."""

    def try_host(self) -> None:
        """Probe the host now, and report the result with `succeeded` or `failed`."""


class CircuitInput(StrEnum):
    """What can happen to a circuit."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TRIPPED = "tripped"
    TRIAL_DUE = "trial due"
    WARMED = "warmed"


class Circuit(Machine[CircuitState, CircuitInput]):
    """The machine with its timers. `state` and `share` are what choosing an upstream needs."""

    __slots__ = ("_clock", "_random", "_timer", "failures", "owner", "settings", "since", "trials")

    def __init__(
        self, owner: CircuitOwner, settings: HealthSettings, clock: IReactorTime, random: Callable[[], float]
    ) -> None:
        """`random` gives numbers from 0 to below 1."""
        super().__init__(CIRCUIT)
        self.owner = owner
        self.settings = settings
        self.since = clock.seconds()
        self.failures = 0
        self.trials = 0
        self._clock = clock
        self._random = random
        self._timer: IDelayedCall | None = None

    def succeeded(self) -> None:
        """The host answered."""
        self.step(CircuitInput.SUCCEEDED)

    def failed(self, error: Exception) -> None:
        """The host did not answer."""
        self.step(CircuitInput.FAILED, error)

    def stop(self) -> None:
        """Stop the timers."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    @property
    def healthy(self) -> bool:
        """Whether calls are sent to the host."""
        return self.state in SERVING

    @property
    def share(self) -> float:
        """The part of its weight that the host has at present: more than 0, at most 1."""
        if self.state is not CircuitState.WARMING or not self.settings.slow_start:
            return 1.0
        gone = (self._clock.seconds() - self.since) / self.settings.slow_start
        return min(1.0, max(_FIRST_SHARE, gone))

    def mark_change(self) -> None:
        """Note when the present state began."""
        self.since = self._clock.seconds()

    def wait_for_trial(self) -> None:
        """Wait for the next trial, twice as long as the last time."""
        settings = self.settings
        self.trials += 1
        wait = doubled(settings.backoff_first, settings.backoff_longest, self.trials)
        self._after(spread(wait, self._random), CircuitInput.TRIAL_DUE)

    def wait_for_warmth(self) -> None:
        """Wait for the end of the slow start."""
        self._after(self.settings.slow_start, CircuitInput.WARMED)

    def _after(self, seconds: float, happens: CircuitInput) -> None:
        self.stop()
        self._timer = self._clock.callLater(seconds, self.step, happens)


# The machine's actions: each takes the circuit and the input's own data.


def forget_failures(circuit: Circuit) -> None:
    """Reset the count of failures in a row."""
    circuit.failures = 0


def count_failure(circuit: Circuit, error: Exception) -> None:
    """Count the failure, and trip if there were enough."""
    circuit.failures += 1
    if circuit.failures >= circuit.settings.failures:
        circuit.step(CircuitInput.TRIPPED, error)


def open_circuit(circuit: Circuit, error: Exception) -> None:
    """Tell the owner, and wait for a trial; a host that fails again while it warms up waits longer."""
    circuit.owner.circuit_opened(error)
    wait_for_trial(circuit, error)


def wait_for_trial(circuit: Circuit, error: Exception) -> None:
    """Wait for the next trial, twice as long as the last time."""
    circuit.mark_change()
    circuit.wait_for_trial()


def start_trial(circuit: Circuit) -> None:
    """Probe the host."""
    circuit.mark_change()
    circuit.owner.try_host()


def start_warming(circuit: Circuit) -> None:
    """Give calls to a host that is back, few at first."""
    circuit.failures = 0
    circuit.mark_change()
    circuit.wait_for_warmth()
    circuit.owner.circuit_closed()


def finish_warming(circuit: Circuit) -> None:
    """Give the host its whole share again."""
    circuit.mark_change()
    circuit.trials = 0


#: What can happen to a circuit, and what each thing means.
INPUTS = {
    CircuitInput.SUCCEEDED: "The host answered a call or a probe.",
    CircuitInput.FAILED: "The host did not answer.",
    CircuitInput.TRIPPED: "The number of failures in a row reached the limit.",
    CircuitInput.TRIAL_DUE: "The wait after the last failure is over.",
    CircuitInput.WARMED: "The slow start is over.",
}

#: This table is the circuit. An input without a row changes nothing: a timer of an earlier state, a failure of a host
#: that is known to be down.
CIRCUIT: Table[CircuitState, CircuitInput] = Table(
    "circuit",
    INPUTS,
    [
        # state, input, next state, what is done
        (CircuitState.CLOSED, CircuitInput.SUCCEEDED, SAME, forget_failures),
        (CircuitState.CLOSED, CircuitInput.FAILED, SAME, count_failure),
        (CircuitState.CLOSED, CircuitInput.TRIPPED, CircuitState.OPEN, open_circuit),
        (CircuitState.OPEN, CircuitInput.SUCCEEDED, CircuitState.WARMING, start_warming),
        (CircuitState.OPEN, CircuitInput.TRIAL_DUE, CircuitState.HALF_OPEN, start_trial),
        (CircuitState.HALF_OPEN, CircuitInput.SUCCEEDED, CircuitState.WARMING, start_warming),
        (CircuitState.HALF_OPEN, CircuitInput.FAILED, CircuitState.OPEN, wait_for_trial),
        (CircuitState.WARMING, CircuitInput.SUCCEEDED, SAME, forget_failures),
        (CircuitState.WARMING, CircuitInput.FAILED, SAME, count_failure),
        (CircuitState.WARMING, CircuitInput.TRIPPED, CircuitState.OPEN, open_circuit),
        (CircuitState.WARMING, CircuitInput.WARMED, CircuitState.CLOSED, finish_warming),
        (ANY, ANY, SAME, None),
    ],
)
