"""KMS hosts in memory, on the test's own clock: each answers, refuses, stays silent or breaks off as the test says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone, ConnectionLost, ConnectionRefusedError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from kmstwist.gateway.service import GatewayService
from kmstwist.gateway.settings import GatewaySettings, UpstreamSettings
from kmstwist.gateway.upstream import Target
from kmstwist.kms import interface
from kmstwist.kms.activation import ActivationAnswer, ActivationCall
from kmstwist.kms.interface import KMS_INTERFACE
from kmstwist.rpc import CallReceived, FaultStatus, Interface, RpcServer, ServerAssociation

NOT_COVERED = 0xC004F042
NOT_ACTIVATED = 0xC004F041
#: The network's latency in one direction, in seconds.
LATENCY = 0.001


class FakeHost:
    """A KMS host: for each message, `answer` returns (HRESULT, response), a `FaultStatus`, raw bytes, "lost", or None
    for silence."""

    def __init__(self, clock: Clock, name: str) -> None:
        self.clock = clock
        self.name = name
        self.reachable = True
        #: The error that an attempt to connect meets while the host is down.
        self.refusal: Exception = ConnectionRefusedError()
        #: Whether it accepts connections but sends nothing.
        self.mute = False
        self.answer: Callable[[bytes], Any] = lambda message: (0, b"answer of " + name.encode())
        self.messages: list[bytes] = []
        self.connections: list[FakeTransport] = []
        self.attempts = 0

    @property
    def open(self) -> list[FakeTransport]:
        return [connection for connection in self.connections if not connection.closed]

    def down(self) -> None:
        """Accept no more connections, and cut those that are open."""
        self.reachable = False
        for connection in self.open:
            connection.lose(ConnectionLost())


@implementer(IStreamClientEndpoint)
class FakeEndpoint:
    """Connects to a fake host at once, or is refused."""

    def __init__(self, host: FakeHost) -> None:
        self.host = host

    def connect(self, factory: Any) -> Deferred[Any]:
        self.host.attempts += 1
        if not self.host.reachable:
            return fail(self.host.refusal)
        protocol = factory.buildProtocol(None)
        transport = FakeTransport(self.host, protocol)
        self.host.connections.append(transport)
        protocol.makeConnection(transport)
        return succeed(protocol)


class FakeTransport:
    """Takes a client protocol's bytes to the host's association, and the answers back, each way with its latency."""

    def __init__(self, host: FakeHost, protocol: Any) -> None:
        self.host = host
        self.protocol = protocol
        self.closed = False
        self.association = ServerAssociation(RpcServer((Interface(KMS_INTERFACE, 1),)), "1688")

    def write(self, data: bytes) -> None:
        self.host.clock.callLater(LATENCY, self._arrived, data)

    def loseConnection(self) -> None:
        self.lose(ConnectionDone())

    def abortConnection(self) -> None:
        self.lose(ConnectionLost())

    def lose(self, error: Exception) -> None:
        if not self.closed:
            self.closed = True
            self.host.clock.callLater(0, self.protocol.connectionLost, Failure(error))

    def _arrived(self, data: bytes) -> None:
        if self.closed or self.host.mute:
            return
        for event in self.association.receive_data(data):
            if isinstance(event, CallReceived):
                self._execute(event)
        self._send(self.association.data_to_send())

    def _execute(self, event: CallReceived) -> None:
        call = event.call
        message = interface.decode_request(call.stub, ndr64=call.ndr64)
        self.host.messages.append(message)
        answer = self.host.answer(message)
        if isinstance(answer, FaultStatus):
            self.association.fault(call, answer)
        elif isinstance(answer, bytes):
            self._send(answer)
        elif answer == "lost":
            self.lose(ConnectionLost())
        elif answer is not None:
            self.association.respond(call, interface.encode_response(*answer, ndr64=call.ndr64))

    def _send(self, data: bytes) -> None:
        if data:
            self.host.clock.callLater(LATENCY, self._deliver, data)

    def _deliver(self, data: bytes) -> None:
        if not self.closed:
            self.protocol.dataReceived(data)


class Site:
    """Fake hosts and a gateway before them, started."""

    def __init__(self, *hosts: str, start: bool = True, random: float = 0.5, **settings: Any) -> None:
        self.clock = Clock()
        self.hosts = {name: FakeHost(self.clock, name) for name in hosts}
        self.lookups: list[Deferred[Any]] = []
        self.settings = site_settings(*hosts, **settings)
        self.gateway = GatewayService(
            self.settings, self.endpoint, self.clock, random=lambda: random, resolver=self.resolve
        )
        if start:
            self.gateway.startService()
            self.wait(0.1)

    def endpoint(self, target: Target, timeout: float) -> FakeEndpoint:
        return FakeEndpoint(self.hosts.setdefault(target.name, FakeHost(self.clock, target.name)))

    def resolve(self, domain: str) -> Deferred[Any]:
        self.lookups.append(Deferred())
        return self.lookups[-1]

    def wait(self, seconds: float) -> None:
        """Advance the clock in steps shorter than the latency."""
        end = self.clock.seconds() + seconds
        while self.clock.seconds() < end:
            due = [call.getTime() for call in self.clock.getDelayedCalls() if call.getTime() <= end]
            self.clock.advance(max(0.0, min([*due, end]) - self.clock.seconds()))
            if not due:
                break

    def ask(self, client: str = "10.0.0.7", message: bytes = b"\0\0\6\0 a message", wait: float = 0.1) -> Any:
        """The answer to a call, or the exception it failed with; None while there is none."""
        outcome: list[Any] = []
        self.gateway.activate(ActivationCall(message, client, 50000)).addCallbacks(
            outcome.append, lambda failure: outcome.append(failure.value)
        )
        self.wait(wait)
        return outcome[0] if outcome else None

    def answered_by(self, client: str = "10.0.0.7") -> str | None:
        answer = self.ask(client)
        assert isinstance(answer, ActivationAnswer), answer
        return answer.upstream

    def upstream(self, name: str) -> Any:
        return self.gateway.directory.named(name)


def site_settings(*hosts: str, **settings: Any) -> GatewaySettings:
    """Settings with these hosts, each "name" or "name/priority"."""
    upstreams = []
    for text in hosts:
        name, _, priority = text.partition("/")
        upstreams.append(UpstreamSettings(name=text, address=f"{name}.example", priority=int(priority or 0)))
    return GatewaySettings(upstreams=tuple(upstreams), **settings)
