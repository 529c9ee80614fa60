"""A scenario's hosts and gateways as real `twistd kms` processes on loopback, started and stopped as it says."""

from __future__ import annotations

import os
import random
import socket
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from kmstwist.lab.fleet.scenario import Gateway, Host, Scenario
from kmstwist.lab.keys import KEY_FILE_NAME, LabKey
from kmstwist.reactor import Reactor

START_TIMEOUT = 120.0
"""The most seconds until a process listens."""

_PORTS = range(12_000, 32_000)
_TWISTD = "from twisted.scripts.twistd import run; run()"


class ProcessFailed(Exception):
    """A server process did not start; the text has its last line of output."""


class ServerProcess(ProcessProtocol):
    """One `twistd kms`, started and stopped as often as the scenario wants. It keeps its port and its state folder."""

    def __init__(self, reactor: Reactor, name: str, folder: Path, port: int, options: list[str]) -> None:
        self.name = name
        self.port = port
        self._reactor = reactor
        self._folder = folder
        self._options = options
        self._said = b""
        self._listening: Deferred[None] | None = None
        self._ended: Deferred[None] | None = None

    @property
    def runs(self) -> bool:
        """Whether the process runs."""
        return self.transport is not None

    def start(self) -> Deferred[None]:
        """Start the process, after the end of the last one. Fires when it listens; fails with `ProcessFailed`."""
        if self.transport is not None and self._ended is not None:
            started: Deferred[None] = Deferred()

            def again(_: None) -> None:
                self.start().chainDeferred(started)

            self._ended.addCallback(again)
            return started
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._said = b""
        self._listening = Deferred()
        self._ended = Deferred()
        command = [
            sys.executable,
            "-c",
            _TWISTD,
            "-n",
            "--pidfile=",
            "kms",
            f"--listen=tcp:{self.port}:interface=127.0.0.1",
            f"--state-dir={self._folder}",
            *self._options,
        ]
        self._reactor.spawnProcess(self, sys.executable, command, env=os.environ, path=str(self._folder))
        listening = self._listening
        listening.addTimeout(START_TIMEOUT, self._reactor, onTimeoutCancel=self._too_late)
        return listening

    def stop(self) -> Deferred[None]:
        """Stop the process cleanly. Fires when it has ended."""
        ended = self._ended
        if self.transport is None or ended is None:
            done: Deferred[None] = Deferred()
            done.callback(None)
            return done
        try:
            self.transport.signalProcess("TERM")
        except ProcessExitedAlready:
            # Its end is on its way to processEnded.
            return ended
        return ended

    def outReceived(self, data: bytes) -> None:
        """Wait for the line `listening`; keep the last lines in case it does not come."""
        self._said = (self._said + data)[-4000:]
        if b"listening" in self._said and self._listening is not None and not self._listening.called:
            self._listening.callback(None)

    errReceived = outReceived

    def processEnded(self, reason: Failure) -> None:
        """The process has ended, expected or not."""
        self.transport = None
        if self._listening is not None and not self._listening.called:
            self._listening.errback(ProcessFailed(self._last_words()))
        if self._ended is not None:
            self._ended.callback(None)

    def _last_words(self) -> str:
        said = self._said.decode(errors="replace").strip().splitlines()
        return f"{self.name} did not start: {said[-1] if said else 'it said nothing'}"

    def _too_late(self, result: object, timeout: float) -> NoReturn:
        raise ProcessFailed(f"{self.name} does not listen after {timeout:g} seconds")


def processes_of(scenario: Scenario, reactor: Reactor, folder: Path, secret: bytes) -> dict[str, ServerProcess]:
    """A process for each host and gateway, not started yet. All labs share one key, made from `secret`."""
    names = [*(host.name for host in scenario.hosts), *(gateway.name for gateway in scenario.gateways)]
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    made: dict[str, ServerProcess] = {}
    for number, host in enumerate(scenario.hosts):
        place = folder / f"host{number}"
        place.mkdir(mode=0o700)
        (place / KEY_FILE_NAME).touch(mode=0o600)
        (place / KEY_FILE_NAME).write_bytes(secret)
        LabKey.load(place / KEY_FILE_NAME)
        made[host.name] = ServerProcess(reactor, host.name, place, ports[host.name], _host_options(host))
    for number, gateway in enumerate(scenario.gateways):
        options = _gateway_options(gateway, ports)
        made[gateway.name] = ServerProcess(
            reactor, gateway.name, folder / f"gateway{number}", ports[gateway.name], options
        )
    return made


def _host_options(host: Host) -> list[str]:
    return [
        f"--activation-interval={host.activation_interval}",
        f"--renewal-interval={host.renewal_interval}",
        f"--lab-products={','.join(host.covers)}",
        f"--lab-clock-error={host.clock_error_minutes!r}",
    ]


def _gateway_options(gateway: Gateway, ports: dict[str, int]) -> list[str]:
    return [f"--upstream=127.0.0.1:{ports[name]}" for name in gateway.upstreams]


def free_ports(number: int) -> list[int]:
    """Free ports, below those that systems use for outgoing connections.

    A host that was away comes back to its port, so the fleet's own connections must not take it.
    """
    draw = random.SystemRandom()
    ports: list[int] = []
    # All are held until all are found: none is found twice.
    with ExitStack() as held:
        while len(ports) < number:
            port = draw.choice(_PORTS)
            try:
                held.enter_context(socket.create_server(("127.0.0.1", port)))
            except OSError:
                continue
            ports.append(port)
    return ports
