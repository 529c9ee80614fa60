"""One KMS host behind the gateway: its pool, its circuit, its probes, and whether it is drained by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime, IStreamClientEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure

from kmstwist.addresses import HostPort
from kmstwist.findings import Health
from kmstwist.gateway.circuit import Circuit, CircuitState
from kmstwist.gateway.connections import PoolState
from kmstwist.gateway.pool import AssociationPool
from kmstwist.gateway.settings import GatewaySettings
from kmstwist.logevents import UPSTREAM_DOWN, UPSTREAM_UP
from kmstwist.reasons import Reason
from kmstwist.transport.errors import FaultError, TimedOut, UpstreamError
from kmstwist.transport.probe import ProbeReport, probe

#: For how many seconds after it did not answer a host is asked after the others of its priority.
SILENCE_REMEMBERED = 30.0

#: Makes the endpoint of an upstream: (target, timeout in seconds) to endpoint.
EndpointMaker = Callable[["Target", float], IStreamClientEndpoint]
#: A random number from 0 to below 1.
Random = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Target:
    """An upstream as configured or discovered. `addresses` are those that DNS gave; empty if it was not asked."""

    name: str
    address: HostPort
    priority: int = 0
    weight: int = 100
    addresses: tuple[str, ...] = ()
    discovered: bool = False


@dataclass(slots=True)
class Tally:
    """The outcomes of the calls sent to an upstream."""

    answered: int = 0
    refused: int = 0
    failed: int = 0


class Upstream:
    """One KMS host. `start` it, ask its `pool`, and `retire` it when it is no longer wanted."""

    def __init__(
        self,
        target: Target,
        settings: GatewaySettings,
        make_endpoint: EndpointMaker,
        clock: IReactorTime,
        random: Random,
        log: Logger,
        *,
        when_changed: Callable[[], object] = lambda: None,
    ) -> None:
        """`when_changed` is called after any change that may move it in the order in which hosts are asked."""
        self.target = target
        self._when_changed = when_changed
        self.drained = False
        self.tally = Tally()
        self.last_error = ""
        #: When a call to it last timed out, in the clock's seconds; None once it has answered.
        self.silent_since: float | None = None
        #: When, by the clock, it came into its state, was probed last (None: never), and went wrong last, and how.
        self.changed = clock.seconds()
        self.checked: float | None = None
        self.last_failure: tuple[float, str] | None = None
        self._settings = settings
        self._endpoint = make_endpoint(target, settings.attempt_timeout)
        self._clock = clock
        self._random = random
        self._log = log
        self._next_probe: IDelayedCall | None = None
        self._probing: Deferred[ProbeReport] | None = None
        #: The Deferreds that wait for the probe under way.
        self._curious: list[Deferred[bool]] = []
        self.circuit = Circuit(self, settings.health, clock, random)
        self.pool = AssociationPool(
            self._endpoint,
            clock,
            floor=settings.pool.floor,
            ceiling=settings.pool.ceiling,
            queue=settings.pool.queue,
            timeout=settings.attempt_timeout,
            when_failed=self.circuit.failed,
        )

    @property
    def name(self) -> str:
        """Its name in logs and commands."""
        return self.target.name

    @property
    def priority(self) -> int:
        """Lower is asked first."""
        return self.target.priority

    @property
    def share(self) -> float:
        """Its weight at present. A weight of 0, which only DNS can give, means the smallest chance (RFC 2782)."""
        return max(self.target.weight, 0.1) * self.circuit.share

    @property
    def load(self) -> int:
        """Calls under way or waiting."""
        return self.pool.busy + self.pool.waiting

    @property
    def silent(self) -> bool:
        """Whether it recently did not answer: it is then asked after the others."""
        return self.silent_since is not None and self._clock.seconds() - self.silent_since < SILENCE_REMEMBERED

    @property
    def steady(self) -> bool:
        """Whether time alone changes nothing about its place in the order: it is neither warming nor was it silent."""
        return self.circuit.state is CircuitState.CLOSED and self.silent_since is None

    @property
    def state(self) -> str:
        """Its state in one word: up, down, trying, warming or drained."""
        return "drained" if self.drained else str(self.circuit.state)

    @property
    def serves(self) -> bool:
        """Whether calls are sent there."""
        return not self.drained and self.circuit.healthy

    def age(self, moment: float) -> float:
        """How many seconds ago this moment of the upstream's clock was."""
        return self._clock.seconds() - moment

    def start(self) -> None:
        """Fill the pool and begin to probe."""
        self.pool.start(held=self.drained)
        self._schedule_probe()

    def stop(self) -> None:
        """Stop everything at once."""
        if self._next_probe is not None:
            self._next_probe.cancel()
            self._next_probe = None
        if self._probing is not None:
            self._probing.cancel()
        self.pool.stop()
        self.circuit.stop()

    def retire(self) -> Deferred[None]:
        """Stop once the calls under way are done; the Deferred fires then."""
        return self.pool.retire().addCallback(lambda _: self.stop())

    def drain(self) -> None:
        """Send no more calls there; those under way go on."""
        self.drained = True
        self._note_change()
        self.pool.hold()

    def undrain(self) -> None:
        """Send calls there again."""
        self.drained = False
        self._note_change()
        if self.circuit.healthy:
            self.pool.resume()

    # Called with the outcome by whoever uses `pool`.

    def answered(self, hresult: int) -> None:
        """The host answered a call."""
        if hresult == 0:
            self.tally.answered += 1
        else:
            self.tally.refused += 1
        self.silent_since = None
        self._is_well()

    def not_answered(self, error: UpstreamError) -> None:
        """The host did not answer a call, or answered with a fault."""
        if isinstance(error, FaultError):
            # A fault is an answer: a client that sends nonsense must not make a host count as down.
            self.tally.refused += 1
            self._is_well()
        else:
            # The pool tells the circuit, which must hear of a refused connection only once.
            self.tally.failed += 1
            if isinstance(error, TimedOut):
                self.silent_since = self._clock.seconds()
                self._when_changed()

    def _is_well(self) -> None:
        # The last call of a host that is no longer wanted hears of its answer when all here has stopped.
        if self.pool.state is not PoolState.STOPPED:
            self.circuit.succeeded()

    # Called by the circuit.

    def circuit_opened(self, error: Exception | None) -> None:
        """Log the change, and stop filling the reserve: the circuit's trials find out when the host is back."""
        self.last_error = error.detail if isinstance(error, UpstreamError) else str(error)
        self._note_change()
        self.last_failure = self.changed, self.last_error
        reason = error.reason if isinstance(error, UpstreamError) else Reason.UPSTREAM_PROTOCOL
        UPSTREAM_DOWN.emit(self._log, upstream=self.name, reason=str(reason), detail=self.last_error)
        self.pool.hold()

    def circuit_closed(self) -> None:
        """Log the change and fill the reserve."""
        self.last_error = ""
        self._note_change()
        UPSTREAM_UP.emit(self._log, upstream=self.name)
        if not self.drained:
            self.pool.resume()

    def try_host(self) -> None:
        """Probe now."""
        self._probe()

    def _note_change(self) -> None:
        self.changed = self._clock.seconds()
        self._when_changed()

    # Probes.

    def check(self) -> Deferred[bool]:
        """Probe now, or wait for the probe under way. Fires with whether the host answers; never fails."""
        told: Deferred[bool] = Deferred()
        self._curious.append(told)
        self._probe()
        return told

    def _schedule_probe(self) -> None:
        # Spread over a fifth of the interval, so that gateways started together do not probe together.
        wait = self._settings.health.interval * (0.9 + self._random() / 5)
        self._next_probe = self._clock.callLater(wait, self._probe_due)

    def _probe_due(self) -> None:
        self._schedule_probe()
        # While the circuit is open, its own trials probe the host.
        if self.circuit.state in (CircuitState.CLOSED, CircuitState.WARMING) and self._probing is None:
            self._probe()

    def _probe(self) -> None:
        if self._probing is not None:
            return
        self._probing = probe(self._clock, self._endpoint, self._settings.health.timeout)
        self._probing.addBoth(self._probed)

    def _probed(self, report: ProbeReport | Failure) -> None:
        self._probing = None
        curious, self._curious = self._curious, []
        for told in curious:
            told.callback(isinstance(report, ProbeReport) and report.health is not Health.DOWN)
        if not isinstance(report, ProbeReport) or self._next_probe is None:
            # The upstream has stopped.
            return
        if report.reason is Reason.UPSTREAM_BUSY and self.circuit.state in (CircuitState.CLOSED, CircuitState.WARMING):
            # This machine had no room for a connection, which says nothing about the host.
            return
        self.checked = self._clock.seconds()
        if report.health is Health.DOWN:
            self.circuit.failed(UpstreamError(f"probe: {report.summary}", report.reason))
        else:
            self.circuit.succeeded()
