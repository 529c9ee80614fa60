"""The gateway as a running service: it carries each call to a KMS host and the host's answer back, byte for byte.

The message is never changed and, in V5 and V6, never looked into. Upstreams are tried in the order they were named
until one answers; if none does, the client gets an RPC fault within the time that one call may take.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.logger import Logger

from kmstwist.gateway.pool import AssociationPool, PoolBusy
from kmstwist.kms.activation import ActivationAnswer, ActivationCall, ActivationFault, RequestFacts
from kmstwist.kms.messages import V4_REQUEST_SIZE, MessageError, read_v4_request
from kmstwist.logevents import UPSTREAM_DOWN, UPSTREAM_UP
from kmstwist.reasons import Reason
from kmstwist.rpc.status import FaultStatus
from kmstwist.transport.address import HostPort
from kmstwist.transport.errors import ConnectError, FaultError, TimedOut, UpstreamError

#: Makes the endpoint of an upstream: (address, timeout in seconds) to endpoint.
EndpointMaker = Callable[[HostPort, float], IStreamClientEndpoint]


class Upstream:
    """One KMS host, its pool, and whether it answered last time."""

    def __init__(self, address: HostPort, pool: AssociationPool, log: Logger) -> None:
        self.name = str(address)
        self.pool = pool
        self.up = True
        self._log = log

    def answered(self) -> None:
        """Note that the host answers."""
        if not self.up:
            self.up = True
            UPSTREAM_UP.emit(self._log, upstream=self.name)

    def failed(self, error: UpstreamError) -> None:
        """Note that the host did not answer; one log line for the change, not one for every call."""
        if self.up and not isinstance(error, PoolBusy):
            self.up = False
            UPSTREAM_DOWN.emit(self._log, upstream=self.name, reason=str(error.reason), detail=error.detail)


class GatewayService(Service):
    """Answers activation calls from KMS hosts behind it."""

    def __init__(
        self,
        addresses: Sequence[HostPort],
        make_endpoint: EndpointMaker,
        clock: IReactorTime,
        *,
        timeout: float = 5.0,
        log: Logger | None = None,
    ) -> None:
        """`timeout` is how many seconds one call may take in all, whatever number of upstreams it tries."""
        self._log = log or Logger(namespace="kmstwist.gateway")
        self._clock = clock
        self._timeout = timeout
        self.upstreams = [
            Upstream(address, AssociationPool(make_endpoint(address, timeout), clock, timeout=timeout), self._log)
            for address in addresses
        ]

    def startService(self) -> None:
        """Open the reserve of every pool."""
        super().startService()
        for upstream in self.upstreams:
            upstream.pool.start()

    def stopService(self) -> None:
        """Close all connections to the hosts."""
        super().stopService()
        for upstream in self.upstreams:
            upstream.pool.stop()

    def activate(self, call: ActivationCall) -> Deferred[ActivationAnswer]:
        """Carry one call; fails with an `ActivationFault` that says what to tell the client."""
        answer = Deferred.fromCoroutine(self._activate(call))
        return answer.addTimeout(self._timeout, self._clock, onTimeoutCancel=self._out_of_time)

    async def _activate(self, call: ActivationCall) -> ActivationAnswer:
        last: tuple[Upstream, UpstreamError] | None = None
        for upstream in self._in_order():
            try:
                hresult, message = await upstream.pool.request(call.message)
            except FaultError as error:
                upstream.answered()
                last = (upstream, error)
            except UpstreamError as error:
                upstream.failed(error)
                last = (upstream, error)
            else:
                upstream.answered()
                reason = Reason.OK if hresult == 0 else Reason.UPSTREAM_STATUS
                facts = readable_facts(call.message)
                return ActivationAnswer(hresult, message, upstream=upstream.name, facts=facts, reason=reason)
        assert last is not None, "a gateway has an upstream"
        raise fault_for(*last)

    def _in_order(self) -> list[Upstream]:
        """Those that answered last time first, each group in the order it was named."""
        return sorted(self.upstreams, key=lambda upstream: not upstream.up)

    def _out_of_time(self, result: object, timeout: float) -> ActivationAnswer:
        names = ", ".join(upstream.name for upstream in self.upstreams)
        raise ActivationFault(
            FaultStatus.SERVER_UNAVAILABLE, Reason.UPSTREAM_TIMEOUT, f"no answer from {names} within {timeout:g} s"
        )


def fault_for(upstream: Upstream, error: UpstreamError) -> ActivationFault:
    """What the client is told when this was the last upstream to fail.

    A host's own fault is passed on as it is. Otherwise Windows clients understand "server unavailable" (a host that
    cannot be reached or is silent), "server too busy" and "call failed" (a host that broke off).
    """
    if isinstance(error, FaultError):
        status: int = error.status
    elif isinstance(error, PoolBusy):
        status = FaultStatus.SERVER_TOO_BUSY
    elif isinstance(error, ConnectError | TimedOut):
        status = FaultStatus.SERVER_UNAVAILABLE
    else:
        status = FaultStatus.CALL_FAILED
    return ActivationFault(status, error.reason, f"{upstream.name}: {error.detail}", upstream.name)


def readable_facts(message: bytes) -> RequestFacts | None:
    """What a V4 message says in clear; None for V5 and V6, whose bodies are not ours to read."""
    if len(message) != V4_REQUEST_SIZE:
        return None
    try:
        return read_v4_request(message).facts()
    except MessageError:
        return None
