"""What the log says of an audit whose store cannot be written, and how often."""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger

from kmstwist.audit.plain.defaults import OnFailure
from kmstwist.audit.plain.faults import plain_error
from kmstwist.logevents import AUDIT_DROPPED, AUDIT_FAILING, AUDIT_LOST, AUDIT_RECOVERED

#: Seconds. A line for each call would fill the disk that may be what is failing.
ALARM_EVERY = 60.0


class Alarms:
    """The alarms of one writer: at most one a minute while its store fails. `seconds` is the clock."""

    def __init__(self, log: Logger, seconds: Callable[[], float]) -> None:
        self._log = log
        self._seconds = seconds
        self._last = float("-inf")

    def failing(self, error: Exception, policy: OnFailure, waiting: int) -> None:
        """A batch could not be stored."""
        if self._is_due():
            AUDIT_FAILING.emit(self._log, policy=policy, waiting=waiting, detail=plain_error(error))

    def dropped(self, number: int, why: str) -> None:
        """A record was dropped; `number` were, by now."""
        if self._is_due():
            AUDIT_DROPPED.emit(self._log, dropped=number, detail=why)

    def recovered(self, waiting: int, dropped: int) -> None:
        """The store can be written again."""
        self._last = float("-inf")
        AUDIT_RECOVERED.emit(self._log, waiting=waiting, dropped=dropped)

    def lost(self, number: int, error: Exception) -> None:
        """The audit ends, and this many records could not be stored."""
        AUDIT_LOST.emit(self._log, lost=number, detail=plain_error(error))

    def _is_due(self) -> bool:
        now = self._seconds()
        due = now - self._last >= ALARM_EVERY
        if due:
            self._last = now
        return due
