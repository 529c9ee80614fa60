"""The gateway as a running service: it carries each call to a KMS host and the host's answer back, byte for byte.

The message is never changed and, in V5 and V6, never looked into. Upstreams are tried one after the other until one
answers for good, within the one deadline that a client's call has; what is best of the answers goes back.
"""

from __future__ import annotations

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from kmstwist.bounded import BoundedMap
from kmstwist.gateway.directory import Directory
from kmstwist.gateway.discover import Discoverer, Resolver
from kmstwist.gateway.outcome import Attempts
from kmstwist.gateway.settings import GatewaySettings
from kmstwist.gateway.upstream import EndpointMaker, Random
from kmstwist.kms.activation import ActivationAnswer, ActivationCall
from kmstwist.transport.errors import UpstreamError


class GatewayService(Service):
    """Answers activation calls from KMS hosts behind it."""

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
        self._discoverer = Discoverer(self.directory.discovered, resolver, clock, random, self._log)
        self._remembered: BoundedMap[str, str] = BoundedMap(
            settings.remember_clients, settings.remember_for, clock.seconds
        )

    def startService(self) -> None:
        """Fill the pools, begin to probe and to discover."""
        super().startService()
        self.directory.start()
        self._discoverer.look_in(self.settings.discover)

    def stopService(self) -> None:
        """Close all connections to the hosts."""
        super().stopService()
        self._discoverer.stop()
        self.directory.stop()

    def apply(self, settings: GatewaySettings) -> None:
        """Take changed settings; no call is cut off."""
        old, self.settings = self.settings, settings
        self._remembered.resize(settings.remember_clients, settings.remember_for)
        self.directory.apply(settings)
        if settings.discover != old.discover:
            self._discoverer.look_in(settings.discover)

    def activate(self, call: ActivationCall) -> Deferred[ActivationAnswer]:
        """Carry one call; fails with an `ActivationFault` that says what to tell the client."""
        return Deferred.fromCoroutine(self._activate(call))

    async def _activate(self, call: ActivationCall) -> ActivationAnswer:
        settings = self.settings
        clock = self._clock
        deadline = clock.seconds() + settings.deadline
        client = call.client
        attempts = Attempts()
        remembered = self._remembered.get(client)
        for upstream in self.directory.in_order(client, remembered):
            if attempts.answered and not upstream.circuit.healthy:
                # An answer there is: the client need not wait for what is known to be down.
                break
            left = deadline - clock.seconds()
            if left <= 0:
                attempts.out_of_time(settings.deadline)
                break
            try:
                hresult, message = await upstream.ask(call.message, min(left, settings.attempt_timeout))
            except UpstreamError as error:
                attempts.failed(upstream.name, error)
                continue
            attempts.got(upstream.name, hresult, message)
            if attempts.final:
                break
        if attempts.hresult == 0 and (attempts.said_no or attempts.upstream == remembered):
            self._remembered.set(client, attempts.upstream)
        return attempts.answer(call.facts, known=len(self.directory))
