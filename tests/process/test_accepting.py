"""Clients are accepted on Twisted's ports: over IPv4, IPv6 and sockets in the file system, and beneath TLS."""

from __future__ import annotations

import errno
import gc
import resource
import socket
import subprocess
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor as installed
from twisted.internet import tcp
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    TCP6ServerEndpoint,
    UNIXServerEndpoint,
    connectProtocol,
    serverFromString,
    wrapClientTLS,
)
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import CertificateOptions
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from zope.interface import implementer

from kmstwist.process.accepting import AT_ONCE, Acceptor
from kmstwist.process.listening import Listeners
from kmstwist.transport.fdset import Accepted
from tests.waiting import PATIENCE

reactor: Any = installed


@implementer(IHalfCloseableProtocol)
class Echo(Protocol):
    """Sends back what comes, then closes, and keeps how it ended."""

    def __init__(self, peer: Any, ended: Deferred[Any]) -> None:
        self.peer = peer
        self.ended = ended
        self.fault: Exception | None = None

    def connectionMade(self) -> None:
        if self.fault is not None:
            raise self.fault

    def dataReceived(self, data: bytes) -> None:
        transport: Any = self.transport
        if data == b"abort":
            transport.abortConnection()
            transport.abortConnection()
        elif data == b"close":
            transport.write(b"last words")
            transport.loseConnection()
        else:
            transport.write(data)

    def readConnectionLost(self) -> None:
        transport: Any = self.transport
        transport.loseConnection()

    def writeConnectionLost(self) -> None:
        pass

    def connectionLost(self, reason: Failure = Failure(ZeroDivisionError())) -> None:  # noqa: B008
        self.ended.callback(reason.type)


class Echoes(Factory):
    """Makes those protocols."""

    noisy = False

    def __init__(self) -> None:
        self.made: list[Echo] = []
        #: What happens to a connection at once.
        self.fault: Exception | None = None

    def buildProtocol(self, addr: Any) -> Any:
        self.made.append(Echo(addr, Deferred()))
        self.made[-1].fault = self.fault
        return self.made[-1]


def hold(address: Any, family: int, sent: bytes) -> bytes:
    """Connect, send, and read until the other side closes."""
    with socket.socket(family, socket.SOCK_STREAM) as peer:
        peer.settimeout(PATIENCE)
        peer.connect(address)
        peer.sendall(sent)
        if sent not in (b"abort", b"close"):
            try:
                peer.shutdown(socket.SHUT_WR)
            except OSError as error:
                if error.errno != errno.ENOTCONN:
                    raise
                raise ConnectionResetError("before our side was closed") from error
        read = b""
        while True:
            data = peer.recv(100)
            if not data:
                return read
            read += data


async def opened(endpoint: Any) -> tuple[Listeners, Echoes, Any]:
    """Listeners with this endpoint, their factory, and the port."""
    listeners, echoes = Listeners([(endpoint, "here")]), Echoes()
    listeners.open(echoes)
    return listeners, echoes, listeners.ports[0][1]


async def thread(function: Callable[..., Any], *arguments: Any) -> Any:
    """A blocking function's result."""
    answer: Awaitable[Any] = deferToThread(function, *arguments)
    return await answer


@ensureDeferred
async def test_a_client_over_ipv4_is_served_and_its_address_is_known() -> None:
    listeners, echoes, port = await opened(TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1"))
    address = port.getHost().host, port.getHost().port
    assert await thread(hold, address, socket.AF_INET, b"x" * 100_000) == b"x" * 100_000
    assert isinstance(echoes.made[0].peer, IPv4Address)
    assert echoes.made[0].peer.host == "127.0.0.1"
    assert await thread(hold, address, socket.AF_INET, b"close") == b"last words"
    with pytest.raises(ConnectionResetError):
        await thread(hold, address, socket.AF_INET, b"abort")
    ended = [(await echo.ended).__name__ for echo in echoes.made]
    assert ended == ["ConnectionDone", "ConnectionDone", "ConnectionAborted"]
    await listeners.close()
    with pytest.raises(ConnectionRefusedError):
        await thread(hold, address, socket.AF_INET, b"x")


@ensureDeferred
async def test_a_client_over_ipv6_is_served_and_so_is_one_over_ipv4_on_the_same_socket() -> None:
    listeners, echoes, port = await opened(TCP6ServerEndpoint(reactor, 0, interface="::"))
    number = port.getHost().port
    assert await thread(hold, ("::1", number), socket.AF_INET6, b"hello") == b"hello"
    assert await thread(hold, ("127.0.0.1", number), socket.AF_INET, b"hello") == b"hello"
    peers = [echo.peer for echo in echoes.made]
    assert [type(peer) for peer in peers] == [IPv6Address, IPv6Address]
    assert [peer.host for peer in peers] == ["::1", "::ffff:127.0.0.1"]
    await listeners.close()


@ensureDeferred
async def test_a_client_over_a_socket_in_the_file_system_is_served(tmp_path: Path) -> None:
    place = str(tmp_path / "kms.sock")
    listeners, echoes, _ = await opened(UNIXServerEndpoint(reactor, place))
    assert await thread(hold, place, socket.AF_UNIX, b"hello") == b"hello"
    assert echoes.made[0].peer == UNIXAddress(None)
    await listeners.close()
    assert not Path(place).exists()


@ensureDeferred
async def test_a_transport_knows_both_ends() -> None:
    listeners, echoes, port = await opened(TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1"))
    with socket.create_connection(("127.0.0.1", port.getHost().port), timeout=PATIENCE) as peer:
        name = peer.getsockname()
        peer.sendall(b"x")
        assert await thread(peer.recv, 1) == b"x"
        transport: Any = echoes.made[0].transport
        assert (transport.getPeer().host, transport.getPeer().port) == name
        assert transport.getHost().port == port.getHost().port
        assert transport.server is port
    await echoes.made[0].ended
    await listeners.close()


@ensureDeferred
async def test_the_tls_of_an_endpoint_works_above_our_transport(tmp_path: Path) -> None:
    certificate = tmp_path / "server.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-keyout", str(certificate), "-out", str(tmp_path / "server.crt")),
        ],
        check=True,
        capture_output=True,
    )
    with certificate.open("a") as file:
        file.write((tmp_path / "server.crt").read_text())
    endpoint = serverFromString(reactor, f"ssl:0:privateKey={certificate}:certKey={certificate}:interface=127.0.0.1")
    listeners, echoes, port = await opened(endpoint)
    client = TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port)
    read: Deferred[bytes] = Deferred()

    class Client(Protocol):
        def connectionMade(self) -> None:
            assert self.transport is not None
            self.transport.write(b"hello")

        def dataReceived(self, data: bytes) -> None:
            read.callback(data)

    connected: Any = await connectProtocol(wrapClientTLS(CertificateOptions(verify=False), client), Client())
    assert await read == b"hello"
    connected.transport.loseConnection()
    await echoes.made[0].ended
    await listeners.close()


@ensureDeferred
async def test_a_pause_leaves_new_clients_in_the_kernel_s_queue() -> None:
    listeners, echoes, port = await opened(TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1"))
    listeners.pause()
    listeners.pause()
    with socket.create_connection(("127.0.0.1", port.getHost().port), timeout=PATIENCE) as peer:
        peer.sendall(b"x")
        assert await thread(lambda: "a turn of the loop") == "a turn of the loop"
        assert echoes.made == []
        listeners.resume()
        assert await thread(peer.recv, 1) == b"x"
    await echoes.made[0].ended
    await listeners.close()


# What the kernel may say to accept(2).


class Listening:
    """A listening socket whose answers are given."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked = 0

    def accept(self) -> Any:
        self.asked += 1
        answer = self.answers.pop(0) if self.answers else BlockingIOError()
        if isinstance(answer, Exception):
            raise answer
        return answer


class Reactor(Clock):
    """Remembers what it would read from."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: set[Any] = set()

    def addReader(self, reader: Any) -> None:
        self.readers.add(reader)

    def removeReader(self, reader: Any) -> None:
        self.readers.discard(reader)


class Scene:
    """An acceptor on such a socket."""

    def __init__(self, *answers: Any, family: int = socket.AF_INET) -> None:
        self.reactor = Reactor()
        self.listening = Listening(*answers)
        self.told = 0
        self.built: list[Any] = []
        self.faults: list[Exception] = []
        port: Any = SimpleNamespace(
            reactor=self.reactor,
            socket=self.listening,
            factory=self,
            addressFamily=family,
            fileno=lambda: 99,
            stopReading=lambda: None,
        )
        self.acceptor = Acceptor(port, self._no_room)
        self.acceptor.start()

    def _no_room(self) -> None:
        self.told += 1

    def buildProtocol(self, addr: Any) -> None:
        self.built.append(addr.host)
        if self.faults:
            raise self.faults.pop()

    @property
    def accepts(self) -> bool:
        """Whether the reactor would let it accept clients."""
        return self.acceptor in self.reactor.readers


def client() -> tuple[socket.socket, Any]:
    return socket.socket(), ("192.0.2.1", 1000)


def error(number: int) -> OSError:
    return OSError(number, "said by the kernel")


def test_a_client_that_has_gone_does_not_hide_those_behind_it() -> None:
    scene = Scene(error(errno.ECONNABORTED), error(errno.EPERM), client(), client())
    scene.acceptor.doRead()
    assert scene.built == ["192.0.2.1"] * 2
    assert scene.accepts


@pytest.mark.parametrize(
    ("limit", "at_once"), [(16, 1), (256, 8), (1024, 32), (65536, AT_ONCE), (resource.RLIM_INFINITY, AT_ONCE)]
)
def test_one_turn_accepts_a_number_that_fits_the_descriptors(
    monkeypatch: pytest.MonkeyPatch, limit: int, at_once: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    scene = Scene(*(client() for _ in range(at_once + 1)))
    scene.acceptor.doRead()
    assert len(scene.built) == at_once
    scene.acceptor.doRead()
    assert len(scene.built) == at_once + 1


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
def test_without_room_it_says_so_and_tries_again_a_second_later(number: int) -> None:
    scene = Scene(error(number), client())
    scene.acceptor.doRead()
    assert scene.told == 1
    assert not scene.accepts
    assert scene.acceptor.fileno() == 99
    scene.reactor.advance(1)
    assert scene.accepts
    scene.acceptor.doRead()
    assert scene.built == ["192.0.2.1"]


def test_an_acceptor_stopped_while_it_rests_stays_stopped() -> None:
    scene = Scene(error(errno.EMFILE))
    scene.acceptor.doRead()
    scene.acceptor.stop()
    scene.reactor.advance(10)
    assert not scene.accepts
    scene.acceptor.start()
    assert scene.accepts


def test_an_error_of_the_socket_itself_does_not_make_the_loop_spin() -> None:
    scene = Scene(error(errno.EINVAL))
    scene.acceptor.doRead()
    assert scene.told == 0
    assert not scene.accepts
    scene.reactor.advance(1)
    assert scene.accepts


def test_a_fault_turns_one_client_away_and_no_other() -> None:
    first, second = client(), client()
    scene = Scene(first, second)
    scene.faults.append(ZeroDivisionError("a defect"))
    scene.acceptor.doRead()
    assert scene.built == ["192.0.2.1"] * 2
    # The factory took neither.
    assert first[0].fileno() == second[0].fileno() == -1
    assert scene.accepts


def test_an_acceptor_started_while_it_rests_accepts_at_once() -> None:
    scene = Scene(error(errno.EMFILE))
    scene.acceptor.doRead()
    scene.acceptor.start()
    assert scene.accepts
    scene.acceptor.stop()
    scene.reactor.advance(10)
    assert not scene.accepts


@ensureDeferred
async def test_a_protocol_that_fails_at_once_keeps_no_later_client_from_being_served() -> None:
    listeners, echoes, port = await opened(TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1"))
    address = port.getHost().host, port.getHost().port
    echoes.fault = ZeroDivisionError("a defect")
    # It is closed, and reset if the client's bytes had arrived already or arrive later.
    with suppress(ConnectionResetError, BrokenPipeError):
        assert await thread(hold, address, socket.AF_INET, b"hello") == b""
    echoes.fault = None
    for _ in range(3):
        assert await thread(hold, address, socket.AF_INET, b"hello") == b"hello"
    await listeners.close()


def test_twisted_s_own_port_does_not_read() -> None:
    port: Any = reactor.listenTCP(0, Echoes(), interface="127.0.0.1")
    assert isinstance(port, tcp.Port)
    acceptor = Acceptor(port, lambda: None)
    assert port not in reactor.getReaders()
    acceptor.start()
    assert acceptor in reactor.getReaders()
    acceptor.stop()
    port.stopListening()


def test_a_link_local_address_is_shown_with_its_link() -> None:
    scene = Scene((socket.socket(), ("fe80::1", 1000, 0, socket.if_nametoindex("lo"))), family=socket.AF_INET6)
    scene.acceptor.doRead()
    assert scene.built == ["fe80::1%lo"]


@ensureDeferred
async def test_a_connection_that_is_over_leaves_nothing_for_the_garbage_collector() -> None:
    listeners, echoes, port = await opened(TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1"))
    address = port.getHost().host, port.getHost().port

    def converse() -> None:
        for sent in (b"hello", b"close"):
            hold(address, socket.AF_INET, sent)

    async def left() -> list[Any]:
        """What only the collector finds after a few connections."""
        await thread(converse)
        for echo in echoes.made:
            await echo.ended
        echoes.made.clear()
        gc.collect()
        await thread(converse)
        for echo in echoes.made:
            await echo.ended
        echoes.made.clear()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            gc.collect()
            return [each for each in gc.garbage if isinstance(each, Accepted | Echo | socket.socket)]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()

    assert await left() == []
    await listeners.close()
