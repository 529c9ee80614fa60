"""Ending in order on a signal is success: exit status 0."""

from __future__ import annotations

import signal
from typing import Any


def stop_in_order(reactor: Any) -> None:
    """Have SIGTERM and SIGINT stop the reactor, and the process exit with 0 when all services have stopped.

    Twisted's own handlers stop the reactor too, but twistd then ends the process by the same signal again, which init
    scripts, systemd and supervisors report as a failure.
    """

    def install() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: reactor.callFromThread(reactor.stop))

    reactor.callWhenRunning(install)
