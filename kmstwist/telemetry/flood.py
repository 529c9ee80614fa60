"""A limit on floods of log lines: a scanner or a broken client must not fill the disk, nor bury what matters.

Each kind of line (its event, its result and its reason code) has a token bucket. Lines beyond it are dropped and
counted, and a `suppressed` line says how many. A call that was answered is never dropped: one line a conversation is
the log's contract, and clients that are answered come at the rate of the site's machines. The kinds are few and known,
so memory is bounded however many clients take part.
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
#: Events that are rare by their nature, or are the report itself.
_NEVER = frozenset({SUPPRESSED.name, DEFECT.name})

#: Of Twisted's own messages only these are written unless somebody debugs.
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

    `burst` lines of one kind may come at once, and `rate` a second after that; `seconds` is the clock. `report` is to
    be called every `REPORT_INTERVAL`.
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
        """Let so many lines through from now on."""
        self._burst = burst
        self._rate = rate

    def __call__(self, event: TwistedEvent) -> None:
        """Pass the event on, or count it."""
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
        """Say what was dropped since the last report, a line for each kind."""
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
    """What kind of line an event makes; None for those that are never dropped."""
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
