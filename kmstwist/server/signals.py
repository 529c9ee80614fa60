"""The signals an administrator sends: TERM or INT to end in order, HUP to take a changed configuration."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

from twisted.application.service import Service


class Signals(Service):
    """Handles SIGTERM, SIGINT and SIGHUP while it runs.

    Twisted's own handlers stop the reactor too, but twistd then ends the process by the same signal again, which init
    scripts, systemd and supervisors report as a failure. Ending as asked is none: the exit status is 0.
    """

    def __init__(self, reactor: Any, on_hangup: Callable[[], None]) -> None:
        self._reactor = reactor
        self._on_hangup = on_hangup

    def startService(self) -> None:
        """Take the signals, after the reactor has taken them."""
        super().startService()
        self._reactor.callWhenRunning(self._install)

    def _install(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._reactor.callFromThread(self._stop))
        signal.signal(signal.SIGHUP, lambda *_: self._reactor.callFromThread(self._on_hangup))

    def _stop(self) -> None:
        if self.running and self._reactor.running:
            self._reactor.stop()
