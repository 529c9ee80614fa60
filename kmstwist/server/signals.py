"""The signals an administrator sends: TERM to end in order, HUP to take a changed configuration."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

from twisted.application.service import Service


class Signals(Service):
    """Handles SIGTERM and SIGHUP while it runs.

    Twisted's own handling of SIGTERM ends twistd by that signal once all is done, which to a service manager is a
    failure. Ending as asked is none: the exit status is 0.
    """

    def __init__(self, reactor: Any, on_hangup: Callable[[], None]) -> None:
        self._reactor = reactor
        self._on_hangup = on_hangup

    def startService(self) -> None:
        """Take the signals, after the reactor has taken them."""
        super().startService()
        self._reactor.callWhenRunning(self._install)

    def _install(self) -> None:
        signal.signal(signal.SIGTERM, lambda *_: self._reactor.callFromThread(self._stop))
        signal.signal(signal.SIGHUP, lambda *_: self._reactor.callFromThread(self._on_hangup))

    def _stop(self) -> None:
        if self.running and self._reactor.running:
            self._reactor.stop()
