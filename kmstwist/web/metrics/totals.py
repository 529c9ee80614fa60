"""The totals for the metrics, counted in a thread at most once a minute, whoever asks and however often."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure

from kmstwist.audit.engine import reading
from kmstwist.audit.plain.faults import StoreError
from kmstwist.audit.views.totals import Totals, totals
from kmstwist.reactor import InThread
from kmstwist.web.asker import Store
from kmstwist.web.watch import at

#: For how many seconds totals are good enough; a client renews every seven days.
EVERY = 60.0


class LatestTotals:
    """Returns the latest totals. `store` is None if the audit is off; `seconds` returns the time since 1970.

    The first to ask waits for the count. Later ones get the last totals at once; if those are old, they are renewed.
    """

    def __init__(
        self,
        store: Store | None,
        seconds: Callable[[], float],
        in_thread: InThread = deferToThread,
    ) -> None:
        self._store = store
        self._seconds = seconds
        self._in_thread = in_thread
        self._last: Totals | None = None
        self._tried: float | None = None
        self._waiting: list[Deferred[Totals | None]] | None = None

    def latest(self) -> Deferred[Totals | None]:
        """The totals; None without a store that can be read."""
        answer: Deferred[Totals | None] = Deferred()
        now = self._seconds()
        old = self._tried is None or not 0 <= now - self._tried < EVERY
        if self._store is not None and self._waiting is None and old:
            self._tried, self._waiting = now, []
            self._in_thread(self._count, self._store, now).addCallbacks(self._counted, self._failed).addErrback(
                self._defect
            )
        if self._waiting is not None and self._last is None:
            self._waiting.append(answer)
        else:
            answer.callback(self._last)
        return answer

    def _count(self, store: Store, now: float) -> Totals:
        with reading(store()) as connection:
            return totals(connection, at(now))

    def _counted(self, found: Totals) -> None:
        self._answer(found)

    def _failed(self, failure: Failure) -> None:
        """Drop the old totals; the health and the log say that the store cannot be read."""
        failure.trap(StoreError, SQLAlchemyError)
        self._answer(None)

    def _defect(self, failure: Failure) -> None:
        waiting, self._last, self._waiting = self._waiting or [], None, None
        for each in waiting:
            each.errback(failure)

    def _answer(self, found: Totals | None) -> None:
        waiting, self._last, self._waiting = self._waiting or [], found, None
        for each in waiting:
            each.callback(found)
