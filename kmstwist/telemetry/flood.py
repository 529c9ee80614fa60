"""A limit on floods of log lines: a scanner or a broken client must not fill the disk or bury what matters.

Each kind of line (its event, its result and its reason code) has a token bucket. Lines beyond it are dropped and
counted, and a `suppressed` line says how many. The line of an answered call is never dropped: the log promises one line
for each conversation, and there are only as many answered calls as the site's machines make. The kinds are few and
known, so memory is bounded, however many clients there are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twisted.logger import ILogObserver, Logger, LogLevel
from twisted.logger import LogEvent as TwistedEvent
from zope.interface import implementer

from kmstwist.logevents import CONVERSATION, DEFECT, SUPPRESSED
from kmstwist.pacing.tokens import TokenBucket

#: Seconds between reports of what was dropped.
REPORT_INTERVAL = 10.0
_ANSWERED = frozenset({"activated", "answered", "refused"})
#: Events that are always rare, or are the report itself.
_NEVER = frozenset({SUPPRESSED.name, DEFECT.name})

#: The only messages of Twisted itself that are written unless the level is debug.
_LOUD = frozenset({LogLevel.warn, LogLevel.error, LogLevel.critical})

Kind = tuple[str, str, str]


@dataclass(slots=True)
class Bucket(TokenBucket):
    """The tokens of one kind of line, and what was dropped since the last report."""

    dropped: int = 0
    since: float = 0.0


@implementer(ILogObserver)
class FloodLimit:
    """Passes events on to an observer, but not a flood of one kind.

    `burst` lines of one kind may come at once, and `rate` per second after that; `seconds` is the clock. Call `report`
    every `REPORT_INTERVAL` seconds.
    """

    def __init__(
        self,
        observer: Callable[[TwistedEvent], None],
        seconds: Callable[[], float],
        *,
        burst: int,
        rate: float,
        log: Logger | None = None,
    ) -> None:
        self._observer = observer
        self._seconds = seconds
        self._burst = burst
        self._rate = rate
        self._log = log or Logger(namespace="kmstwist.server")
        self._buckets: dict[Kind, Bucket] = {}

    def configure(self, *, burst: int, rate: float) -> None:
        """Let this many lines through from now on."""
        self._burst = burst
        self._rate = rate

    def __call__(self, event: TwistedEvent) -> None:
        """Pass the event on, or drop and count it."""
        kind = kind_of(event)
        if kind is None or self._has_token(kind):
            self._observer(event)

    def _has_token(self, kind: Kind) -> bool:
        now = self._seconds()
        bucket = self._buckets.get(kind)
        if bucket is None:
            bucket = self._buckets[kind] = Bucket(self._burst, now)
        if bucket.take(now, self._rate, self._burst):
            return True
        if not bucket.dropped:
            bucket.since = now
        bucket.dropped += 1
        return False

    def report(self) -> None:
        """Log what was dropped since the last report: one line for each kind."""
        now = self._seconds()
        for (event, result, reason), bucket in list(self._buckets.items()):
            dropped, bucket.dropped = bucket.dropped, 0
            if dropped:
                SUPPRESSED.emit(
                    self._log,
                    of_event=event,
                    for_result=result,
                    for_reason=reason,
                    lines=dropped,
                    seconds=max(now - bucket.since, 0.0),
                )


def kind_of(event: TwistedEvent) -> Kind | None:
    """The kind of line that an event makes; None for lines that are never dropped."""
    name = event.get("kms_event")
    if name is None:
        return ("twisted", "", "") if event.get("log_level") in _LOUD else None
    if name in _NEVER:
        return None
    fields: dict[str, Any] = event["kms_fields"]
    result = str(fields.get("result") or "")
    if name == CONVERSATION.name and result in _ANSWERED:
        return None
    return (str(name), result, str(fields.get("reason") or ""))
