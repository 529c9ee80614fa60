"""The gateway as a running service: it carries each call to a KMS host and the host's answer back, byte for byte.

The message is never changed and, in V5 and V6, never looked into. Upstreams are tried one after the other until one
gives a final answer, within the deadline of the client's call; the client gets the best of the answers.

The time left is divided among the hosts left, so that silent hosts do not use up the time that a healthy one needs.
"""

from __future__ import annotations

from collections.abc import Sequence, Sized

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from kmstwist.gateway.circuit import CircuitState
from kmstwist.gateway.connections import PoolBusy
from kmstwist.gateway.directory import Directory
from kmstwist.gateway.discover import Discoverer, Resolver
from kmstwist.gateway.host_check import HostCheck
from kmstwist.gateway.pool import Attempt
from kmstwist.gateway.settings import GatewaySettings
from kmstwist.gateway.upstream import EndpointMaker, Random, Upstream
from kmstwist.kms.activation import ActivationAnswer, ActivationCall, ActivationFault, RequestFacts
from kmstwist.kms.labids import named
from kmstwist.kms.status import Status
from kmstwist.pacing.bounded import BoundedMap
from kmstwist.reasons import Reason
from kmstwist.rpc import FaultStatus
from kmstwist.transport.errors import ConnectError, FaultError, NoRoomError, TimedOut, UpstreamError

#: Statuses that a host gives about itself, so that another may answer better; later ones tell the client more.
NOT_FINAL = (
    int(Status.SL_E_VL_KEY_MANAGEMENT_SERVICE_ID_MISMATCH),
    int(Status.SL_E_VL_KEY_MANAGEMENT_SERVICE_NOT_ACTIVATED),
)


class Attempts:
    """The attempts of one call so far. Call `got` or `failed` for each, and `answer` at the end."""

    # The values before any host was asked; nearly all calls need to set only three of these.
    hresult: int | None = None
    upstream = ""
    #: Whether a host said that it cannot answer this client.
    said_no = False
    _message = b""
    _said: tuple[str, ...] = ()
    _error: tuple[str, UpstreamError] | None = None
    _timeout: float | None = None

    def got(self, upstream: str, hresult: int, message: bytes) -> bool:
        """A host answered with an HRESULT (unsigned) and a response, which is empty unless the HRESULT is 0.

        Whether no other host could answer better.
        """
        if self.hresult is None and hresult not in NOT_FINAL:
            self.hresult, self._message, self.upstream = hresult, message, upstream
            return True
        self.said_no = self.said_no or hresult in NOT_FINAL
        if self.hresult is None or hresult not in NOT_FINAL or _rank(hresult) > _rank(self.hresult):
            if self.hresult is not None:
                self._said += (f"{self.upstream} said 0x{self.hresult:08X}",)
            self.hresult, self._message, self.upstream = hresult, message, upstream
        else:
            self._said += (f"{upstream} said 0x{hresult:08X}",)
        return self.hresult not in NOT_FINAL

    def failed(self, upstream: str, error: UpstreamError) -> None:
        """A host did not answer the call, or answered with a fault."""
        self._said += (f"{upstream}: {error.detail}",)
        if self._error is None or _weight(error) >= _weight(self._error[1]):
            self._error = (upstream, error)

    def out_of_time(self, seconds: float) -> None:
        """The call's deadline passed before all hosts were asked."""
        self._timeout = seconds

    def answer(self, facts: RequestFacts | None, *, known: Sized) -> ActivationAnswer:
        """The best answer. `known` are the upstreams there are. Raises `ActivationFault` if there is no answer."""
        if self.hresult is None:
            raise self._fault(known)
        return ActivationAnswer(
            self.hresult,
            self._message,
            upstream=self.upstream,
            facts=facts,
            reason=Reason.OK if self.hresult == 0 else Reason.UPSTREAM_STATUS,
            detail="; ".join(self._said),
        )

    def _fault(self, known: Sized) -> ActivationFault:
        """The fault for the client when no host answered.

        A host's own fault is passed on as it is. Otherwise it is one that Windows clients understand: "server
        unavailable" (a host that cannot be reached or is silent), "server too busy" or "call failed" (a host that broke
        off).
        """
        if self._error is None:
            if self._timeout is not None:
                detail = f"no answer within {self._timeout:g} s"
            else:
                detail = "every upstream is drained" if len(known) else "no upstream is known"
            return ActivationFault(FaultStatus.SERVER_UNAVAILABLE, Reason.UPSTREAM_NONE, detail)
        upstream, error = self._error
        if isinstance(error, FaultError):
            status: int = error.status
        elif isinstance(error, PoolBusy | NoRoomError):
            status = FaultStatus.SERVER_TOO_BUSY
        elif isinstance(error, ConnectError | TimedOut):
            status = FaultStatus.SERVER_UNAVAILABLE
        else:
            status = FaultStatus.CALL_FAILED
        said = "; ".join(self._said)
        if self._timeout is not None:
            said += f"; the {self._timeout:g} s for the call were over"
        return ActivationFault(status, error.reason, said, upstream)


class _Errand(Attempts):
    """A call on its way: the hosts that are left to ask, and the answers of those that were asked.

    `done` fires with the best of the answers, or fails with an `ActivationFault`; cancelling it gives the call up.
    """

    def __init__(
        self,
        service: GatewayService,
        call: ActivationCall,
        hosts: Sequence[Upstream],
        deadline: float,
        remembered: str | None,
    ) -> None:
        self._service = service
        self._call = call
        #: The hosts that have not been asked yet, the next one last.
        self._left = list(reversed(hosts))
        self._deadline = deadline
        self._remembered = remembered
        #: The host that is being asked, and the attempt, which can be given up.
        self._asked: Upstream | None = None
        self._attempt: Attempt | None = None
        self.done: Deferred[ActivationAnswer] | None = Deferred(self._give_up)

    def ask_next(self, now: float) -> None:
        """Ask the next host, if one is left and there is time; otherwise conclude."""
        left, settings = self._left, self._service.settings
        # If there is an answer, the client need not wait for hosts that are known to be down.
        if not left or (self.hresult is not None and not left[-1].circuit.healthy):
            self._conclude()
            return
        seconds = self._deadline - now
        if seconds <= 0:
            self.out_of_time(settings.deadline)
            self._conclude()
            return
        timeout = min(seconds / len(left), settings.attempt_timeout)
        self._asked = upstream = left.pop()
        attempt = upstream.pool.request(self._call.message, timeout, self)
        if attempt is not None:
            self._attempt = attempt

    def host_answered(self, hresult: int, message: bytes) -> None:
        """The host that was asked answered."""
        upstream = self._asked
        assert upstream is not None
        try:
            circuit = upstream.circuit
            if (
                hresult
                or circuit.failures
                or circuit.state is not CircuitState.CLOSED
                or upstream.silent_since is not None
            ):
                upstream.answered(hresult)
            else:
                # Nearly every call: no news of a healthy host.
                upstream.tally.answered += 1
            if self.got(upstream.target.name, hresult, message):
                self._conclude()
            else:
                self.ask_next(self._service.clock.seconds())
        except Exception:
            self._end(Failure())

    def host_failed(self, error: Exception) -> None:
        """It did not, or answered with a fault."""
        upstream = self._asked
        assert upstream is not None
        if not isinstance(error, UpstreamError):
            self._end(Failure(error))
            return
        try:
            upstream.not_answered(error)
            self.failed(upstream.name, error)
            self.ask_next(self._service.clock.seconds())
        except Exception:
            self._end(Failure())

    def _conclude(self) -> None:
        """Give the caller the best of the answers, or a fault if there is none."""
        service = self._service
        if self.hresult == 0 and (self.said_no or self.upstream == self._remembered):
            service.remember(self._call.client, self.upstream)
        try:
            answer = self.answer(self._call.facts, known=service.directory)
        except ActivationFault as fault:
            self._end(Failure(fault))
        else:
            self._end(answer)

    def _end(self, outcome: ActivationAnswer | Failure) -> None:
        # It has this as its canceller: no cycle is left for the garbage collector.
        done, self.done = self.done, None
        if done is None:
            return
        if isinstance(outcome, Failure):
            done.errback(outcome)
        else:
            done.callback(outcome)

    def _give_up(self, _done: Deferred[ActivationAnswer]) -> None:
        self.done = None
        if self._attempt is not None:
            self._attempt.give_up()


class GatewayService(Service):
    """Answers activation calls with the answers of the KMS hosts behind it."""

    def __init__(
        self,
        settings: GatewaySettings,
        make_endpoint: EndpointMaker,
        clock: IReactorTime,
        *,
        random: Random,
        resolver: Resolver,
        log: Logger | None = None,
    ) -> None:
        """`random` gives numbers from 0 to below 1; `resolver` finds the hosts of a domain."""
        self._log = log or Logger(namespace="kmstwist.gateway")
        self.clock = clock
        self.settings = settings
        self.directory = Directory(settings, make_endpoint, clock, random, self._log)
        self.check = HostCheck(
            lambda: [upstream for upstream in self.directory.upstreams if not upstream.drained], clock
        )
        self._discoverer = Discoverer(self.directory.discovered, resolver, clock, random, self._log)
        self._remembered: BoundedMap[str, str] = BoundedMap(
            settings.remember_clients, settings.remember_for, clock.seconds
        )

    def startService(self) -> None:
        """Fill the pools, and start probing and discovery."""
        super().startService()
        self.directory.start()
        self._discoverer.look_in(self.settings.discover)

    def stopService(self) -> None:
        """Close all connections to the hosts."""
        super().stopService()
        self.check.stop()
        self._discoverer.stop()
        self.directory.stop()

    @property
    def serves(self) -> bool:
        """Whether there is a host that calls are sent to."""
        return any(upstream.serves for upstream in self.directory.upstreams)

    def apply(self, settings: GatewaySettings) -> None:
        """Apply changed settings; no call is cut off."""
        old, self.settings = self.settings, settings
        self._remembered.resize(settings.remember_clients, settings.remember_for)
        self.directory.apply(settings)
        if settings.discover != old.discover:
            self._discoverer.look_in(settings.discover)

    def activate(self, call: ActivationCall) -> Deferred[ActivationAnswer]:
        """Carry one call; fails with an `ActivationFault` that says what to tell the client."""
        if call.facts is not None:
            call.facts = named(call.facts)
        directory = self.directory
        remembered = self._remembered.get(call.client) if directory.several else None
        hosts = None if remembered else directory.known_orders.get(call.client)
        if hosts is None:
            hosts = directory.in_order(call.client, remembered)
        now = self.clock.seconds()
        errand = _Errand(self, call, hosts, now + self.settings.deadline, remembered)
        done = errand.done
        assert done is not None
        errand.ask_next(now)
        return done

    def remember(self, client: str, upstream: str) -> None:
        """Ask this upstream first when the client comes again."""
        self._remembered.set(client, upstream)


def _rank(hresult: int) -> int:
    return NOT_FINAL.index(hresult) if hresult in NOT_FINAL else len(NOT_FINAL)


def _weight(error: UpstreamError) -> int:
    """How much a failure tells the client: a host's own fault tells most, then one that allows it to try again."""
    if isinstance(error, FaultError):
        return 2
    return 1 if isinstance(error, PoolBusy | NoRoomError) else 0
