"""The signals an administrator sends: TERM or INT to end in order, HUP to take a changed configuration."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from twisted.application.service import Service

from kmstwist.reactor import Reactor

#: What a supervisor passes on to its workers. Each would end a process that does not handle it yet.
_PASSED_ON: Final = frozenset({signal.SIGHUP, signal.SIGUSR1})


@contextmanager
def waiting_in_children() -> Iterator[None]:
    """Start a process so that what is passed on to it waits until its `Signals` handle it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _PASSED_ON)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Signals(Service):
    """Handles SIGTERM, SIGINT and SIGHUP while it runs.

    Twisted's own handlers stop the reactor too, but twistd then ends the process by the same signal again, which init
    scripts, systemd and supervisors report as a failure. Ending as asked is not a failure: the exit status is 0.
    """

    def __init__(
        self,
        reactor: Reactor,
        on_hangup: Callable[[], None],
        on_reopen: Callable[[], None] | None = None,
        *,
        interrupted: bool = True,
    ) -> None:
        """`on_reopen` is called when the log file has been opened again (SIGUSR1).

        A worker is not `interrupted`: Ctrl-C goes to all processes of a terminal, but the supervisor may still let
        clients be answered for a while, and ends its workers by SIGTERM.
        """
        self._interrupted = interrupted
        self._reactor = reactor
        self._on_hangup = on_hangup
        self._on_reopen = on_reopen
        # At once, because nobody else handles it: a SIGHUP during the start must not end the process.
        signal.signal(signal.SIGHUP, lambda *_: self._reactor.callFromThread(self._on_hangup))

    def privilegedStartService(self) -> None:
        """From now on the server must end in order: a signal to end waits until the reactor runs."""
        super().privilegedStartService()
        self._take_endings()

    def startService(self) -> None:
        """Handle the signals for which the reactor installs handlers at its start, right after it has done so."""
        super().startService()
        self._reactor.addSystemEventTrigger("during", "startup", self._install)

    def _take_endings(self) -> None:
        signal.signal(signal.SIGTERM, lambda *_: self._reactor.callFromThread(self.stop))
        end = (lambda *_: self._reactor.callFromThread(self.stop)) if self._interrupted else signal.SIG_IGN
        signal.signal(signal.SIGINT, end)

    def _install(self) -> None:
        self._take_endings()
        self._take_reopening()
        # A worker has both handlers now. What its supervisor has passed on meanwhile comes at once.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _PASSED_ON)

    def _take_reopening(self) -> None:
        reopen, told = signal.getsignal(signal.SIGUSR1), self._on_reopen
        if told is None or not callable(reopen):
            return

        def reopened(number: int, frame: FrameType | None) -> None:
            reopen(number, frame)
            self._reactor.callFromThread(told)

        signal.signal(signal.SIGUSR1, reopened)

    def stop(self) -> None:
        """End the process in order."""
        if self.running and self._reactor.running:
            self._reactor.stop()
