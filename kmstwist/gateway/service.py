"""The gateway as a running service: it carries each call to a KMS host and the host's answer back, byte for byte.

The message is never changed and, in V5 and V6, never looked into. Upstreams are tried one after the other until one
gives a final answer, within the deadline of the client's call; the client gets the best of the answers.

The time left is divided among the hosts left, so that silent hosts do not use up the time that a healthy one needs.
"""

from __future__ import annotations

from twisted.application.service import Service
from twisted.internet.defer import Deferred, execute
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from kmstwist.gateway.check import HostCheck
from kmstwist.gateway.directory import Directory
from kmstwist.gateway.discover import Discoverer, Resolver
from kmstwist.gateway.outcome import Attempts
from kmstwist.gateway.settings import GatewaySettings
from kmstwist.gateway.upstream import EndpointMaker, Random, Upstream
from kmstwist.kms.activation import ActivationAnswer, ActivationCall
from kmstwist.kms.labids import named
from kmstwist.pacing.bounded import BoundedMap
from kmstwist.transport.errors import UpstreamError


class _Errand(Attempts):
    """A call on its way: the hosts that are left to ask, and the answers of those that were asked."""

    def __init__(self, call: ActivationCall, left: list[Upstream], deadline: float, remembered: str | None) -> None:
        self.call = call
        #: The hosts that have not been asked yet, the next one last.
        self.left = left[::-1]
        self.deadline = deadline
        self.remembered = remembered


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
        self._clock = clock
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
        hosts = directory.in_order(call.client, remembered)
        now = self._clock.seconds()
        return self._ask_next(_Errand(call, hosts, now + self.settings.deadline, remembered), now)

    def _ask_next(self, errand: _Errand, now: float) -> Deferred[ActivationAnswer]:
        """Ask the next host, if one is left and there is time; otherwise conclude."""
        left = errand.left
        # If there is an answer, the client need not wait for hosts that are known to be down.
        if not left or (errand.hresult is not None and not left[-1].circuit.healthy):
            return execute(self._conclude, errand)
        seconds = errand.deadline - now
        if seconds <= 0:
            errand.out_of_time(self.settings.deadline)
            return execute(self._conclude, errand)
        timeout = min(seconds / len(left), self.settings.attempt_timeout)
        upstream = left.pop()
        answer = upstream.pool.request(errand.call.message, timeout)
        return answer.addCallbacks(
            self._answered, self._failed, callbackArgs=(errand, upstream), errbackArgs=(errand, upstream)
        )

    def _answered(
        self, answer: tuple[int, bytes], errand: _Errand, upstream: Upstream
    ) -> ActivationAnswer | Deferred[ActivationAnswer]:
        upstream.answered(answer[0])
        errand.got(upstream.target.name, *answer)
        return self._conclude(errand) if errand.final else self._ask_next(errand, self._clock.seconds())

    def _failed(self, failure: Failure, errand: _Errand, upstream: Upstream) -> Failure | Deferred[ActivationAnswer]:
        error = failure.value
        if not isinstance(error, UpstreamError):
            return failure
        upstream.not_answered(error)
        errand.failed(upstream.name, error)
        return self._ask_next(errand, self._clock.seconds())

    def _conclude(self, errand: _Errand) -> ActivationAnswer:
        """The best of the answers. Raises `ActivationFault` if there is none."""
        if errand.hresult == 0 and (errand.said_no or errand.upstream == errand.remembered):
            self._remembered.set(errand.call.client, errand.upstream)
        return errand.answer(errand.call.facts, known=self.directory)
