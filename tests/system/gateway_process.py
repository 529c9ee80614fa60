"""What the gateway's system tests share: labs of one key, crowds of clients, hosts that misbehave, a counting relay."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from twisted.internet.defer import Deferred, DeferredSemaphore, gatherResults, maybeDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.threads import deferToThread

from kmstwist.kms import interface
from kmstwist.kms.catalogue import find
from kmstwist.kms.interface import KMS_INTERFACE
from kmstwist.lab.cipher import LabCipher
from kmstwist.lab.client import LabClient
from kmstwist.lab.keys import LabKey
from kmstwist.process.control_client import CommandError, ask, socket_path
from kmstwist.rpc import CallReceived, Interface, Response, RpcServer, ServerAssociation, encode
from kmstwist.transport.connection import RpcConnection, call_timed_out, connect
from kmstwist.transport.errors import UpstreamError
from tests.reactors import listen, port_of, reactor
from tests.system.running import Server
from tests.waiting import PATIENCE

WINDOWS = "Windows 11 / 10 Enterprise"
OFFICE = "Office LTSC Professional Plus 2021"
#: For tests that hold a call back, so that no slow machine ends it.
PATIENT = f"[gateway]\ndeadline = {PATIENCE - 1:g}\nattempt_timeout = {PATIENCE - 1:g}\n"


def start_lab(folder: Path, name: str, *options: str, key_of: Server | None = None, port: int | None = None) -> Server:
    """A lab in a separate process; with `key_of` it has that lab's key, as several hosts of one site would."""
    state = folder / name
    if key_of is not None and not state.exists():
        state.mkdir(mode=0o700)
        shutil.copy(key_of.key, state / "lab.key")
        (state / "lab.key").chmod(0o600)
    return Server(state, *options, port=port)


def start_gateway(folder: Path, text: str, *options: str, port: int | None = None) -> Server:
    """A gateway with this configuration file, `folder / "kmstwist.toml"`."""
    (folder / "kmstwist.toml").write_text(text)
    return Server(folder / "gateway", f"--config={folder / 'kmstwist.toml'}", *options, port=port)


def upstream(port: int, name: str, priority: int = 0) -> str:
    """An upstream's table."""
    return f'[[gateway.upstreams]]\naddress = "127.0.0.1:{port}"\nname = "{name}"\npriority = {priority}\n'


async def control(server: Server, command: str, **arguments: Any) -> dict[str, Any]:
    """Send a running server a command; repeat it if a worker was starting too slowly to receive it."""
    path = socket_path(server.state_dir, server.port)
    give_up = reactor.seconds() + PATIENCE
    while True:
        try:
            answer: dict[str, Any] = await deferToThread(ask, path, {"command": command, **arguments}, PATIENCE)
        except CommandError as error:
            if "does not answer" not in str(error) or reactor.seconds() > give_up:
                raise
        else:
            return answer


async def until(server: Server, good: Callable[[dict[str, dict[str, Any]]], bool]) -> dict[str, dict[str, Any]]:
    """Ask for the upstreams until they are as wanted. Each question takes time, so there is no sleep."""
    give_up = reactor.seconds() + PATIENCE
    while True:
        found = {one["name"]: one for one in (await control(server, "upstreams"))["upstreams"]}
        if good(found):
            return found
        assert reactor.seconds() < give_up, found


async def until_nobody_is_connected(server: Server) -> None:
    """Ask until the server counts no client's connection."""
    give_up = reactor.seconds() + PATIENCE
    while (status := await control(server, "status"))["counted"]:
        assert reactor.seconds() < give_up, status


def at_rest(found: dict[str, dict[str, Any]]) -> bool:
    """Whether no call is under way or waiting anywhere."""
    return not any(one["busy"] or one["waiting"] for one in found.values())


@dataclass
class Visit:
    """One client's visit: its HRESULT or its error, and how many seconds it took."""

    hresult: int | None = None
    error: UpstreamError | None = None
    seconds: float = 0.0
    detail: str = ""


@dataclass
class Crowd:
    """Lab clients that ask a server, `at_once` at a time, from `addresses` in turn."""

    server: Server
    key: LabKey
    product: str = WINDOWS
    at_once: int = 32
    addresses: Sequence[str] = ("127.0.0.1",)
    visits: list[Visit] = field(default_factory=list)
    #: Called with the number of visits so far.
    progress: Callable[[int], None] = lambda number: None

    async def come(self, number: int) -> list[Visit]:
        turns = DeferredSemaphore(self.at_once)
        cipher = LabCipher(self.key, os.urandom)
        await gatherResults([turns.run(self._visit, n, cipher) for n in range(number)])
        return self.visits

    def _visit(self, number: int, cipher: LabCipher) -> Deferred[None]:
        return Deferred.fromCoroutine(self._ask(number, cipher))

    async def _ask(self, number: int, cipher: LabCipher) -> None:
        client = LabClient(f"PC-{number}", uuid4(), find(self.product), installed=reactor.seconds())
        visit = Visit()
        begun = reactor.seconds()
        endpoint = TCP4ClientEndpoint(
            reactor,
            "127.0.0.1",
            self.server.port,
            timeout=PATIENCE,
            bindAddress=(self.addresses[number % len(self.addresses)], 0),
        )
        try:
            hresult, message = await one_call(endpoint, client.seal_request(cipher, begun))
            # The client's own check: the answer belongs to its request and comes from a host with its key.
            visit.hresult = hresult
            outcome = client.process_message(cipher, hresult, message, reactor.seconds())
            visit.detail = "" if outcome.count or hresult else outcome.detail
        except UpstreamError as error:
            visit.error = error
        visit.seconds = reactor.seconds() - begun
        self.visits.append(visit)
        self.progress(len(self.visits))


async def one_call(endpoint: Any, message: bytes) -> tuple[int, bytes]:
    """Connect, bind, ask once, close."""
    connection = await connect(reactor, endpoint, PATIENCE)
    try:
        return await connection.request_activation(message).addTimeout(
            PATIENCE, reactor, onTimeoutCancel=call_timed_out
        )
    finally:
        connection.close()


async def ask_once(server: Server, message: bytes = b"\0\0\6\0" + bytes(256), address: str = "127.0.0.1") -> Any:
    """One call with any message: (HRESULT, response), or the error."""
    endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", server.port, timeout=PATIENCE, bindAddress=(address, 0))
    try:
        return await one_call(endpoint, message)
    except UpstreamError as error:
        return error


async def bound_client(server: Server) -> RpcConnection:
    """A client that has bound but not yet asked."""
    return await connect(reactor, TCP4ClientEndpoint(reactor, "127.0.0.1", server.port, timeout=PATIENCE), PATIENCE)


class OddHost(Factory):
    """A host in the test's own process whose `execute(protocol, call, message)` answers as the test says."""

    noisy = False

    def __init__(self, execute: Callable[[OddProtocol, Any, bytes], None], *, binds: bool = True) -> None:
        self.execute = execute
        self.binds = binds
        self.messages: list[bytes] = []
        self.protocols: list[OddProtocol] = []
        self.lost = 0
        self.port = listen(self)

    @property
    def number(self) -> int:
        """The TCP port."""
        return port_of(self.port)

    @property
    def open(self) -> int:
        """How many connections are open."""
        return len(self.protocols) - self.lost

    def buildProtocol(self, addr: Any) -> OddProtocol:
        return OddProtocol(self)

    async def stop(self) -> None:
        await maybeDeferred(self.port.stopListening)
        for protocol in self.protocols:
            protocol.transport.abortConnection()


class OddProtocol(Protocol):
    """One connection to an odd host."""

    transport: Any

    def __init__(self, host: OddHost) -> None:
        self.host = host
        self.association = ServerAssociation(RpcServer((Interface(KMS_INTERFACE, 1),)), "1688")

    def connectionMade(self) -> None:
        self.host.protocols.append(self)

    def dataReceived(self, data: bytes) -> None:
        if not self.host.binds:
            return
        for event in self.association.receive_data(data):
            if isinstance(event, CallReceived):
                message = interface.decode_request(event.call.stub, ndr64=event.call.ndr64)
                self.host.messages.append(message)
                self.host.execute(self, event.call, message)
        self.flush()

    def connectionLost(self, reason: Any = None) -> None:
        self.host.lost += 1
        self.association.connection_lost()

    def flush(self) -> None:
        self.transport.write(self.association.data_to_send())

    def answer(self, call: Any, response: bytes) -> None:
        self.association.respond(call, interface.encode_response(0, response, ndr64=call.ndr64))
        self.flush()

    def raw_answer(self, call: Any, response: bytes, call_id: int | None = None) -> bytes:
        """An answer's bytes, with another call id if one is given."""
        stub = interface.encode_response(0, response, ndr64=call.ndr64)
        return encode(Response(call.call_id if call_id is None else call_id, call.context_id, stub, len(stub)))


class Relay(Factory):
    """Carries connections to a port with a delay each way, and counts how often the direction changes."""

    noisy = False

    def __init__(self, target: int, delay: float) -> None:
        self.target = target
        self.delay = delay
        #: ">" for bytes towards the target, "<" for bytes back, as they crossed.
        self.crossed: list[str] = []
        self.sides: list[Any] = []
        self.port = listen(self)

    @property
    def number(self) -> int:
        return port_of(self.port)

    def buildProtocol(self, addr: Any) -> Protocol:
        return _RelaySide(self, None)

    async def stop(self) -> None:
        await maybeDeferred(self.port.stopListening)
        for side in self.sides:
            side.transport.abortConnection()


class _RelaySide(Protocol):
    transport: Any

    def __init__(self, relay: Relay, other: _RelaySide | None) -> None:
        self.relay = relay
        self.other = other
        self.early: list[bytes] = []

    def connectionMade(self) -> None:
        self.relay.sides.append(self)
        if self.other is None:
            endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", self.relay.target)
            factory = Factory.forProtocol(lambda: _RelaySide(self.relay, self))
            factory.noisy = False
            endpoint.connect(factory)
        else:
            self.other.other = self
            for data in self.other.early:
                self.transport.write(data)

    def dataReceived(self, data: bytes) -> None:
        towards = self.transport.getHost().port == self.relay.number
        self.relay.crossed.append(">" if towards else "<")
        reactor.callLater(self.relay.delay, self._pass, data)

    def _pass(self, data: bytes) -> None:
        if self.other is None:
            self.early.append(data)
        else:
            self.other.transport.write(data)

    def connectionLost(self, reason: Any = None) -> None:
        if self.other is not None:
            self.other.transport.loseConnection()
