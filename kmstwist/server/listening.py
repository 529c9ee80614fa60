"""Listening ports as a service: opened before privileges are dropped, closed first when the server stops."""

from __future__ import annotations

import errno
import os
import resource
import socket
from collections.abc import Callable, Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.endpoints import (
    AdoptedStreamServerEndpoint,
    TCP4ServerEndpoint,
    TCP6ServerEndpoint,
    serverFromString,
)
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IReactorTime, IStreamServerEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure

from kmstwist.logevents import LISTENING, STOPPED
from kmstwist.reasons import Reason
from kmstwist.server.errors import StartupError
from kmstwist.server.protocol import KmsFactory, KmsProtocol

#: Connections the kernel holds for us until we accept them: a thousand clients may come in one second after an outage.
BACKLOG = 4096
#: Seconds that clients which have not asked yet are given when the server stops.
_MOMENT = 0.5


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


def adopted_endpoint(reactor: Any, descriptor: int) -> tuple[IStreamServerEndpoint, str]:
    """An endpoint for a listening socket that another process opened and left to this one."""
    with socket.socket(fileno=os.dup(descriptor)) as adopted:
        family = adopted.family
    os.set_blocking(descriptor, False)
    return AdoptedStreamServerEndpoint(reactor, descriptor, family), f"descriptor {descriptor}"


def described_endpoint(reactor: IReactorTime, description: str) -> tuple[IStreamServerEndpoint, str]:
    """The endpoint a `--listen` describes. Raises `StartupError` where it is no endpoint description."""
    try:
        return serverFromString(reactor, description), description
    except IndexError:
        raise StartupError(
            f"--listen={description}: systemd has not opened that socket; enable the socket unit, or listen on --port"
        ) from None
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise StartupError(
            f"--listen={description}: not a Twisted endpoint ({error}); write for example tcp:1688:interface=10.0.0.1"
        ) from None


def try_port(port: int) -> None:
    """Raise `StartupError` where `port` cannot be had; found out before the process goes into the background."""
    family, address = (socket.AF_INET6, "::") if ipv6_works() else (socket.AF_INET, "0.0.0.0")  # noqa: S104
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
            probe.listen(1)
        except OSError as error:
            raise StartupError(explain_listen_error(str(port), error)) from None


def explain_listen_error(where: str, error: OSError) -> str:
    """Why a port cannot be had, and what to do, as one sentence."""
    if error.errno == errno.EADDRINUSE:
        return f"port {where} is in use by another program; end it (ss -ltnp shows it) or choose another with --port"
    if error.errno == errno.EACCES:
        return f"port {where} needs privileges: start as root with --uid, or choose a port above 1023 with --port"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"cannot listen on {where}: no interface of this machine has that address"
    return f"cannot listen on {where}: {error.strerror or error}"


def raise_file_limit() -> int:
    """Raise the soft limit of open files to the hard one, since every client is a file; the limit now in force."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


class ListeningService(Service):
    """Opens the endpoints' ports for a factory; at the end stops accepting, lets calls finish, then closes."""

    def __init__(
        self,
        endpoints: Sequence[tuple[IStreamServerEndpoint, str]],
        factory: KmsFactory,
        clock: IReactorTime,
        *,
        drain: float = 10.0,
        log: Logger | None = None,
    ) -> None:
        """`drain` is how many seconds calls under way are given at the end."""
        self._endpoints = endpoints
        self._factory = factory
        self._clock = clock
        self.drain = drain
        self._log = log or Logger(namespace="kmstwist.server")
        self.ports: list[IListeningPort] = []

    def privilegedStartService(self) -> None:
        """Open the ports, still with the privileges that a low port needs."""
        super().privilegedStartService()
        for endpoint, where in self._endpoints:
            endpoint.listen(self._factory).addCallbacks(
                self._opened, self._not_opened, callbackArgs=(where,), errbackArgs=(where,)
            )

    def _opened(self, port: IListeningPort, where: str) -> None:
        self.ports.append(port)

    def _not_opened(self, failure: Failure, where: str) -> None:
        error = failure.value
        if isinstance(error, CannotListenError):
            cause = error.socketError
            raise StartupError(
                explain_listen_error(where, cause) if isinstance(cause, OSError) else f"cannot listen on {where}"
            )
        raise StartupError(f"cannot listen on {where}: {failure.getErrorMessage()}")

    def startService(self) -> None:
        """Say where clients can connect."""
        super().startService()
        for port in self.ports:
            host: Any = port.getHost()
            address = getattr(host, "host", None)
            if address is None:
                LISTENING.emit(self._log, address=str(getattr(host, "name", host)))
            elif ":" in address:
                LISTENING.emit(
                    self._log, address=f"[{address}]:{host.port}", protocols="IPv6,IPv4" if address == "::" else "IPv6"
                )
            else:
                LISTENING.emit(self._log, address=f"{address}:{host.port}", protocols="IPv4")

    def stopService(self) -> Deferred[None]:
        """Stop accepting, end idle connections, give busy ones the drain time, then end them too.

        A client that has connected and not asked yet is given a moment: most are done in a few milliseconds, and one
        that is cut would come back after two hours.
        """
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        await DeferredList([d for port in self.ports if (d := port.stopListening()) is not None])
        factory = self._factory
        gone: Deferred[None] = Deferred()
        factory.when_idle = lambda: None if gone.called else gone.callback(None)
        self._end(lambda protocol: protocol.answered)
        if not factory.connections:
            factory.when_idle()
        moment = self._clock.callLater(min(_MOMENT, self.drain), self._end, lambda protocol: not protocol.busy)
        deadline = self._clock.callLater(self.drain, self._cut)
        await gone
        for timer in (moment, deadline):
            if timer.active():
                timer.cancel()
        STOPPED.emit(self._log, conversations=factory.conversations, activations=factory.activations)

    def _end(self, which: Callable[[KmsProtocol], bool]) -> None:
        for protocol in list(self._factory.connections):
            if which(protocol):
                protocol.end(Reason.SERVER_STOPPING, "kmstwist is stopping")

    def _cut(self) -> None:
        for protocol in list(self._factory.connections):
            protocol.transport.abortConnection()
