"""Listening ports as a service: opened before privileges are dropped, closed first when the server stops."""

from __future__ import annotations

import errno
import os
import re
import resource
import socket
from collections.abc import Callable, Sequence
from typing import Any, cast

from twisted.application.service import Service
from twisted.internet import tcp
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.endpoints import (
    AdoptedStreamServerEndpoint,
    TCP4ServerEndpoint,
    TCP6ServerEndpoint,
    UNIXServerEndpoint,
    serverFromString,
)
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IReactorTime, IStreamServerEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from kmstwist.conversation.factory import KmsFactory
from kmstwist.logevents import LISTENING, STOPPED
from kmstwist.process.accepting import Acceptor
from kmstwist.process.inherited import unnamed_descriptor
from kmstwist.process.unix_port import survive_without_name
from kmstwist.reactor import Reactor
from kmstwist.reasons import Reason
from kmstwist.startup import StartupError
from kmstwist.system.binding import bindable
from kmstwist.system.privileges import Identity, acting_as

#: Connections the kernel holds for us until we accept them: a thousand clients may come in one second after an outage.
BACKLOG = 4096
#: A socket whose backlog somebody has chosen: in the description, or whoever opened it for us.
_HAS_BACKLOG = re.compile(r"^systemd:|^descriptor |:backlog=")
#: When the server stops, a client that connected at most this many seconds ago may still ask.
_MOMENT = 2.0
#: How often, in seconds, a stopping server looks for connections that it can end.
_LOOK_EVERY = 0.1

#: Endpoints, each with where it listens as it is shown.
Endpoints = list[tuple[IStreamServerEndpoint, str]]


def port_endpoint(reactor: IReactorTime, port: int) -> tuple[IStreamServerEndpoint, str]:
    """An endpoint for `port` on every address, IPv4 and IPv6 through one socket where the machine has IPv6."""
    if ipv6_works():
        return TCP6ServerEndpoint(reactor, port, backlog=BACKLOG, interface="::"), f"[::]:{port}"
    return TCP4ServerEndpoint(reactor, port, backlog=BACKLOG), f"0.0.0.0:{port}"


def ipv6_works() -> bool:
    """Whether this machine can listen on IPv6 addresses."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def adopted_endpoint(reactor: Reactor, descriptor: int, where: str | None = None) -> tuple[IStreamServerEndpoint, str]:
    """An endpoint for a listening socket that another process opened and left to this one; `where` it listens."""
    with socket.socket(fileno=os.dup(descriptor)) as adopted:
        family = adopted.family
    os.set_blocking(descriptor, False)
    return AdoptedStreamServerEndpoint(reactor, descriptor, family), where or f"descriptor {descriptor}"


def described_endpoint(reactor: Reactor, description: str) -> tuple[IStreamServerEndpoint, str]:
    """The endpoint a `--listen` describes. Raises `StartupError` where it is not an endpoint description."""
    try:
        return serverFromString(reactor, description), description
    except IndexError:
        descriptor = unnamed_descriptor(description)
        if descriptor is not None:
            return adopted_endpoint(reactor, descriptor, description)
        raise StartupError(
            f"--listen={description}: systemd has not opened that socket", "enable the socket unit, or listen on --port"
        ) from None
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise StartupError(
            f"--listen={description}: not a Twisted endpoint ({error})", "write for example tcp:1688:interface=10.0.0.1"
        ) from None


def try_port(port: int) -> None:
    """Raise `StartupError` where `port` cannot be opened; found out before the process goes into the background."""
    try:
        _Trial().listenTCP(port, None, interface="::" if ipv6_works() else "")
    except OSError as error:
        raise explain_listen_error(str(port), error) from None


def try_described(description: str) -> None:
    """As `try_port`, for what a `--listen` describes; an endpoint that is not of TCP is found out when it is opened."""
    if description.startswith(("tcp:", "tcp6:")):
        failures: list[Failure] = []
        serverFromString(_Trial(), description).listen(Factory()).addErrback(failures.append)
        for failure in failures:
            raise _why_not_opened(description, failure.value)


class _Trial:
    """What an endpoint needs of a reactor: takes an address as Twisted would, and gives it back at once."""

    def listenTCP(self, port: int, factory: object, backlog: int = 50, interface: str = "") -> None:
        """Raises `OSError` where the address cannot be opened."""
        with socket.socket(socket.AF_INET6 if ":" in interface else socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(bindable(interface, port))
            probe.listen(1)


def explain_listen_error(where: str, error: OSError) -> StartupError:
    """Why `where`, a port's number or an endpoint's description, cannot be opened, and what to do."""
    what, option = (f"port {where}", "--port") if where.isdigit() else (where, "--listen")
    if error.errno == errno.EADDRINUSE:
        return _in_use(what, option, where)
    if error.errno == errno.EACCES:
        return StartupError(
            f"{what} needs privileges", f"start as root with --uid, or choose a port above 1023 with {option}"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return StartupError(
            f"cannot listen on {where}: no interface of this machine has that address", "list those it has: ip address"
        )
    if error.errno == errno.EINVAL:
        return StartupError(
            f"cannot listen on {where}: {error.strerror}",
            "name the interface of a link-local address, as in [fe80::1%eth0]:1688",
        )
    return StartupError(f"cannot listen on {where}: {error.strerror or error}")


def _in_use(what: str, option: str, where: str) -> StartupError:
    """The error for a port that is taken, with who has it. Its cure never is to end what may be the running gateway."""
    # Imported here: nearly every start finds its port free.
    from kmstwist.system.portholder import holder_of, our_server

    port = re.search(r"(?:^|:)(\d+)", where)
    holder = holder_of(int(port[1])) if port else None
    if holder is not None and (pid := our_server(holder)) is not None:
        return StartupError(
            f"{what} is in use by another kmstwist, process {pid}", f"stop it, or choose another with {option}"
        )
    if holder is not None and holder.others:
        return StartupError(
            f"{what} is in use by a program of {', '.join(holder.others)}",
            f"look whose it is (sudo ss -ltnp), or choose another with {option}",
        )
    return StartupError(
        f"{what} is in use by another program", f"end it (ss -ltnp shows it) or choose another with {option}"
    )


def _why_not_opened(where: str, error: BaseException | None) -> StartupError:
    cause = error.socketError if isinstance(error, CannotListenError) else error
    if isinstance(cause, OSError):
        return explain_listen_error(where, cause)
    return StartupError(f"cannot listen on {where}: {cause}")


def raise_file_limit() -> int:
    """Raise the soft limit of open files to the hard one, since every client is a file; the limit now in force."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


class Listeners:
    """The listening sockets of a server, each with the words that say where it listens."""

    def __init__(
        self, endpoints: Sequence[tuple[IStreamServerEndpoint, str]], identity: Identity | None = None
    ) -> None:
        """`identity` is whom this process becomes when the sockets are open."""
        self._endpoints = endpoints
        self._identity = identity
        self._left = False
        self.ports: list[tuple[str, Any]] = []
        self._acceptors: list[Acceptor] = []
        #: Called when no client can be accepted for want of descriptors or memory.
        self.no_room: Callable[[], object] = lambda: None

    def open(self, factory: Factory) -> None:
        """Open every endpoint. Raises `StartupError` where one cannot be opened."""
        for endpoint, where in self._endpoints:
            failures: list[Failure] = []
            # A socket in the file system may lie in a folder of the user that we become, and is made as that user.
            with acting_as(self._identity if isinstance(endpoint, UNIXServerEndpoint) else None):
                endpoint.listen(factory).addCallbacks(self._opened, failures.append, callbackArgs=(where,))
            # Raised here: nobody would hear of it from within the Deferred. All endpoints of Twisted's answer at once.
            for failure in failures:
                raise _why_not_opened(where, failure.value)

    def _opened(self, port: IListeningPort, where: str) -> None:
        survive_without_name(port)
        self.ports.append((where, port))
        if isinstance(port, tcp.Port):
            if not _HAS_BACKLOG.search(where):
                # Twisted's endpoints begin with 50. Past that, the kernel lets a client try again after a second.
                cast(socket.socket, port.socket).listen(BACKLOG)
            acceptor = Acceptor(port, lambda: self.no_room())
            acceptor.start()
            self._acceptors.append(acceptor)

    def pause(self) -> None:
        """Accept nothing; new clients wait in the kernel's queue."""
        for acceptor in self._acceptors:
            acceptor.stop()

    def resume(self) -> None:
        """Accept again after a pause, unless another process does."""
        if not self._left:
            for acceptor in self._acceptors:
                acceptor.start()

    def leave(self) -> None:
        """Accept nothing any more, and let the sockets be when they are closed: another process has them, too."""
        self._left = True
        self.pause()

    def close(self) -> Deferred[Any]:
        """Stop listening; those who are connected are served on."""
        self.pause()
        self._acceptors.clear()
        # A port of Twisted's shuts its socket down before it closes it, which ends it for every process that has it.
        # So one that was left to another process is left open until this one's end.
        ports = [] if self._left else self.ports
        return DeferredList([stopped for _, port in ports if (stopped := port.stopListening()) is not None])


class ListeningService(Service):
    """Opens the endpoints' ports for a factory; at the end stops accepting, lets calls finish, then closes."""

    def __init__(
        self,
        endpoints: Sequence[tuple[IStreamServerEndpoint, str]],
        factory: KmsFactory,
        clock: IReactorTime,
        *,
        drain: float = 10.0,
        identity: Identity | None = None,
        log: Logger | None = None,
    ) -> None:
        """`drain` is how many seconds calls under way are given at the end; `identity` is as in `Listeners`."""
        self.listeners = Listeners(endpoints, identity)
        self._factory = factory
        self._clock = clock
        self.drain = drain
        self._log = log or Logger(namespace="kmstwist.server")

    def privilegedStartService(self) -> None:
        """Open the ports, still with the privileges that a low port needs."""
        super().privilegedStartService()
        self.listeners.open(self._factory)

    def startService(self) -> None:
        """Say where clients can connect."""
        super().startService()
        for _, port in self.listeners.ports:
            host: Any = port.getHost()
            address = getattr(host, "host", None)
            if address is None:
                LISTENING.emit(self._log, address=os.fsdecode(getattr(host, "name", None) or str(host)))
            elif ":" in address:
                LISTENING.emit(
                    self._log, address=f"[{address}]:{host.port}", protocols="IPv6,IPv4" if address == "::" else "IPv6"
                )
            else:
                LISTENING.emit(self._log, address=f"{address}:{host.port}", protocols="IPv4")

    def stopService(self) -> Deferred[None]:
        """Stop accepting, end idle connections, give busy ones the drain time, then end them too.

        A client that has just connected is given a moment to ask: most are done in a few milliseconds, and one that is
        cut would come back after two hours.
        """
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        await self.listeners.close()
        factory = self._factory
        gone: Deferred[None] = Deferred()
        factory.when_idle = lambda: None if gone.called else gone.callback(None)
        ending = LoopingCall(self._end_idle)
        ending.clock = self._clock
        ending.start(_LOOK_EVERY)
        if not factory.connections:
            factory.when_idle()
        deadline = self._clock.callLater(self.drain, self._cut)
        await gone
        ending.stop()
        if deadline.active():
            deadline.cancel()
        STOPPED.emit(self._log, conversations=factory.conversations, activations=factory.activations)

    def _end_idle(self) -> None:
        newest = self._clock.seconds() - _MOMENT
        for protocol in list(self._factory.connections):
            if protocol.answered or (not protocol.busy and protocol.log.opened <= newest):
                protocol.end(Reason.SERVER_STOPPING, "kmstwist is stopping")

    def _cut(self) -> None:
        for protocol in list(self._factory.connections):
            protocol.cut(Reason.SERVER_STOPPING, "not finished within the drain time")


def tried_endpoints(
    reactor: Reactor, listen: Sequence[str], port: int, handed: Callable[[str], int | None] | None = None
) -> Endpoints:
    """What to listen on: the endpoints of these descriptions or, if there are none, the port; each with its address.

    `handed` gives the descriptor of a socket that a predecessor hands over, by where it listens. Raises `StartupError`
    where an endpoint is none or cannot be opened.
    """
    wanted = [described_endpoint(reactor, text) for text in listen] or [port_endpoint(reactor, port)]
    found = []
    for endpoint, where in wanted:
        descriptor = None if handed is None else handed(where)
        if descriptor is not None:
            found.append(adopted_endpoint(reactor, descriptor, where))
            continue
        if listen:
            try_described(where)
        elif port:
            try_port(port)
        found.append((endpoint, where))
    return found
