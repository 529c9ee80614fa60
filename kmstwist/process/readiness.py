"""Telling systemd that the server is ready, and that it is still alive: the protocol of `sd_notify(3)`.

With `Type=notify`, `systemctl start` returns when clients are answered, and fails if kmstwist could not start; with
`WatchdogSec=`, systemd restarts a process whose event loop hangs. A message is one datagram to the socket that the
environment names. If it names none, as on a terminal or with an init script, nothing is sent.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from twisted.application.service import Service
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from kmstwist.logevents import MANAGER_DEAF
from kmstwist.reactor import Reactor

_MICROSECONDS = 1_000_000
#: Seconds between checks whether somebody answers.
_LOOK = 0.1


class Notifier(Service):
    """Tells the service manager, if there is one, that the server is ready and, if asked to, that it is alive."""

    def __init__(
        self,
        reactor: Reactor,
        environ: Mapping[str, str] | None = None,
        log: Logger | None = None,
        *,
        answers: Callable[[], bool] = lambda: True,
    ) -> None:
        """`environ` has `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`; by default it is the process's own.

        `answers` says whether somebody answers on the open ports; it is called until somebody does.
        """
        environ = os.environ if environ is None else environ
        self._reactor = reactor
        self._address = environ.get("NOTIFY_SOCKET", "")
        self._seconds = _watchdog_seconds(environ) if self._address else 0.0
        self._log = log or Logger(namespace="kmstwist.server")
        self._answers = answers
        self._pulse: LoopingCall | None = None

    def startService(self) -> None:
        """Say that the server is ready as soon as the reactor runs: then its ports are open."""
        super().startService()
        if self._address:
            self._reactor.callWhenRunning(self._ready)

    def _ready(self) -> None:
        if not self.running:
            return
        if not self._answers():
            self._reactor.callLater(_LOOK, self._ready)
            return
        self._tell("READY=1")
        if self._seconds:
            # Twice as often as needed, as systemd recommends.
            self._pulse = LoopingCall(self._tell, "WATCHDOG=1", socket.MSG_DONTWAIT)
            self._pulse.clock = self._reactor
            self._pulse.start(self._seconds / 2)

    def stopService(self) -> None:
        """Send no more signs of life: the process is about to end."""
        super().stopService()
        if self._pulse is not None:
            self._pulse.stop()
            self._pulse = None

    def _tell(self, message: str, flags: int = 0) -> None:
        # An address that starts with @ is in Linux's abstract namespace; @ stands for a zero byte.
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager:
                manager.sendto(message.encode(), flags, address)
        except OSError as error:
            MANAGER_DEAF.emit(self._log, message=message, detail=error.strerror)


def _watchdog_seconds(environ: Mapping[str, str]) -> float:
    """The seconds of silence after which the manager takes this process for dead; 0.0 if it does not watch it."""
    watched = environ.get("WATCHDOG_PID", str(os.getpid()))
    text = environ.get("WATCHDOG_USEC", "")
    if watched != str(os.getpid()) or not text.isdecimal():
        return 0.0
    return int(text) / _MICROSECONDS


def one_listens(paths: Iterable[Path]) -> bool:
    """Whether some process listens on one of these local sockets."""
    for path in paths:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as caller:
            # 0 means success; a socket that is missing, or that a dead process left, refuses.
            if caller.connect_ex(str(path)) == 0:
                return True
    return False
