"""Writing records without losing any: group commit from the reactor through one thread of the audit's own.

`AuditWriter.record` returns a Deferred that fires when the record's batch is committed; the server sends its reply
then and not before. While a batch is being committed the next one gathers, so the busier the server, the bigger its
batches and the cheaper each record: a batch waits for the disk once, whatever its size. A single record does not wait
for others.

When the store fails (disk full, file locked), the policy decides:

- serve: calls are answered all the same. Records wait in a bounded queue and are tried again until the store takes
  them; what the queue cannot hold is counted in `dropped` and alarmed, never silent.
- refuse: the Deferred fails with `AuditUnavailable`, and the call is to be refused.

The writer's life is one coroutine, `_run`, to be read from top to bottom.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from twisted.internet.defer import Deferred, ensureDeferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from kmstwist.audit.plain.defaults import BATCH, GATHER, QUEUE, OnFailure
from kmstwist.audit.plain.faults import StoreError, plain_error
from kmstwist.audit.records import AuditUnavailable, Record, id_text
from kmstwist.logevents import (
    AUDIT_DROPPED,
    AUDIT_FAILING,
    AUDIT_LOST,
    AUDIT_RECOVERED,
    AUDIT_REJECTED,
)
from kmstwist.pacing.waits import doubled
from kmstwist.reactor import InThread

# Records of a batch after which the next one is gathered, where that is configured. Few clients gain nothing by waiting
# for each other.
BUSY = 8
RETRY_FIRST, RETRY_MOST = 0.5, 30.0
ALARM_EVERY = 60.0


class Insert(Protocol):
    """Stores a batch and blocks, as `store.insert_batch` on an engine does, with the same `again`."""

    def __call__(self, batch: Sequence[Record], *, again: bool = False) -> int:
        """Store the batch, all of it or nothing; how many records were new."""


# A record, and the Deferred of the call that waits for it; None once the call has gone on without.
Entry = tuple[Record, "Deferred[None] | None"]


class AuditWriter:
    """Collects records into batches and has them committed.

    `insert` stores a batch, and `in_thread` runs it in the one thread that writes; `commit` stores one for the first
    time, where that is done in another way. The public numbers are for metrics: records `committed`, `failures` of
    batches, records `dropped` because the queue was full, `refused` by policy, and `rejected` because the store cannot
    hold what they say; `failing` while the store does not work.
    """

    log = Logger()

    def __init__(
        self,
        insert: Insert,
        *,
        clock: IReactorTime,
        in_thread: InThread,
        commit: Callable[[Sequence[Record]], Deferred[object]] | None = None,
        on_failure: OnFailure = OnFailure.SERVE,
        gather: float = GATHER,
        batch: int = BATCH,
        queue: int = QUEUE,
    ) -> None:
        self._insert = insert
        self._commit_first = commit or partial(in_thread, insert)
        self._clock = clock
        self._in_thread = in_thread
        self._on_failure = on_failure
        self._gather = gather
        self._batch = batch
        self._queue = queue

        self._pending: deque[Entry] = deque()
        self._in_flight = 0
        self._last_batch = 0
        self._pause: _Pause | None = None
        self._stopping = False
        self._give_up_at = 0.0
        self._running: Deferred[None] | None = None
        self._last_alarm = float("-inf")

        self.committed = 0
        self.failures = 0
        self.dropped = 0
        self.refused = 0
        self.rejected = 0
        self.failing = False

    @property
    def waiting(self) -> int:
        """How many records are not committed yet."""
        return len(self._pending) + self._in_flight

    def start(self) -> None:
        """Begin to write; records handed over earlier are written too."""
        self._running = ensureDeferred(self._run())

    def stop(self, within: float = 0.0) -> Deferred[None]:
        """Write what is waiting and end; fires when done.

        While the store fails, it is tried again for `within` seconds. Records that cannot be written by then are
        counted and logged.
        """
        self._stopping = True
        self._give_up_at = self._clock.seconds() + within
        self._wake()
        return self._running if self._running is not None else succeed(None)

    def record(self, record: Record) -> Deferred[None]:
        """Hand a record over; fires when it is committed, or as the policy has it when the store fails.

        Fails with AuditUnavailable under the policy "refuse" only.
        """
        if self._stopping and (self._running is None or self._running.called):
            return self._turn_away("the audit has stopped")
        pending = self._pending
        if len(pending) + self._in_flight >= self._queue:
            return self._turn_away(f"{self.waiting} records wait for the store already")
        if self.failing and self._on_failure is OnFailure.SERVE:
            self._pending.append((record, None))
            if not self._in_flight:
                # Nothing is being tried: the failure was found without a record.
                self._wake()
            return succeed(None)
        committed: Deferred[None] = Deferred()
        pending.append((record, committed))
        if len(pending) >= self._batch:
            self._wake()
        elif len(pending) == 1 and self._pause is not None:
            # Records that come in the same turn of the loop are stored with it.
            self._clock.callLater(0, self._wake)
        return committed

    def _turn_away(self, why: str) -> Deferred[None]:
        if self._on_failure is OnFailure.REFUSE:
            self.refused += 1
            return fail(AuditUnavailable(f"the audit cannot store this call: {why}"))
        self.dropped += 1
        if self._alarm_is_due():
            AUDIT_DROPPED.emit(self.log, dropped=self.dropped, detail=why)
        return succeed(None)

    # -- the writer's life

    async def _run(self) -> None:
        while True:
            if not self._pending:
                if self._stopping:
                    return
                await self._wait(None)
                continue
            if self._gather and self._last_batch >= BUSY and len(self._pending) < self._batch and not self._stopping:
                await self._wait(self._gather)
            batch = [self._pending.popleft() for _ in range(min(len(self._pending), self._batch))]
            self._in_flight = self._last_batch = len(batch)
            await self._store(batch)
            self._in_flight = 0

    async def _store(self, batch: list[Entry]) -> None:
        """Store a batch, trying again for as long as the policy says; every Deferred in it has fired at the end."""
        again = False
        failed = 0
        while True:
            try:
                await self._commit([record for record, _ in batch], again)
            except Exception as error:
                self.failures += 1
                if not isinstance(error, StoreError) and _is_data_fault(error):
                    await self._store_apart(batch, error)
                    return
                self._begin_failing(error)
                if self._on_failure is OnFailure.REFUSE:
                    self._refuse(batch, error)
                    return
                left = self._give_up_at - self._clock.seconds() if self._stopping else None
                if left is not None and left <= 0:
                    self._give_up(batch, error)
                    return
                batch = _fire(batch)
                self._serve_the_waiting()
                again = True
                failed += 1
                await self._wait(doubled(RETRY_FIRST, RETRY_MOST, failed) if left is None else min(RETRY_FIRST, left))
            else:
                self._end_failing()
                _fire(batch)
                return

    async def _commit(self, records: list[Record], again: bool) -> None:
        await (self._in_thread(partial(self._insert, records, again=True)) if again else self._commit_first(records))
        self.committed += len(records)

    async def _store_apart(self, batch: list[Entry], error: Exception) -> None:
        """Halve a batch that holds a record the store cannot take, until that record stands alone."""
        if len(batch) > 1:
            middle = len(batch) // 2
            await self._store(batch[:middle])
            await self._store(batch[middle:])
            return
        ((record, committed),) = batch
        self.rejected += 1
        AUDIT_REJECTED.emit(self.log, record=id_text(record.record_id), client=record.client, detail=plain_error(error))
        if committed is not None and self._on_failure is OnFailure.REFUSE:
            self.refused += 1
            committed.errback(
                AuditUnavailable(f"the audit's store cannot hold this call's record: {plain_error(error)}")
            )
        elif committed is not None:
            committed.callback(None)

    def note_failing(self, error: Exception) -> None:
        """Know that the store cannot be written, found without a record: the policy holds from now on."""
        self._begin_failing(error)
        if self._on_failure is OnFailure.SERVE:
            self._serve_the_waiting()

    def note_working(self) -> None:
        """Know that the store can be written again, found without a record."""
        if self.failing and self._pause is not None:
            # What waits is tried now, and the failure ends with its success.
            self._wake()
        if not self.waiting:
            self._end_failing()

    def _begin_failing(self, error: Exception) -> None:
        self.failing = True
        if self._alarm_is_due():
            detail = plain_error(error)
            AUDIT_FAILING.emit(self.log, policy=self._on_failure, waiting=self.waiting, detail=detail)

    def _end_failing(self) -> None:
        if self.failing:
            self.failing = False
            self._last_alarm = float("-inf")
            AUDIT_RECOVERED.emit(self.log, waiting=self.waiting, dropped=self.dropped)

    def _refuse(self, batch: list[Entry], error: Exception) -> None:
        for _, committed in batch:
            if committed is not None:
                self.refused += 1
                committed.errback(AuditUnavailable(f"the audit cannot store this call: {plain_error(error)}"))

    def _serve_the_waiting(self) -> None:
        waiting = list(self._pending)
        # Before firing: a Deferred's callback may hand over the next record.
        self._pending = deque((record, None) for record, _ in waiting)
        _fire(waiting)

    def _give_up(self, batch: list[Entry], error: Exception) -> None:
        lost = [*batch, *self._pending]
        self._pending.clear()
        self.dropped += len(lost)
        AUDIT_LOST.emit(self.log, lost=len(lost), detail=plain_error(error))
        _fire(lost)

    def _alarm_is_due(self) -> bool:
        """Once a minute at most: a line for each call would fill the disk that may be what is failing."""
        now = self._clock.seconds()
        due = now - self._last_alarm >= ALARM_EVERY
        if due:
            self._last_alarm = now
        return due

    # -- waiting

    async def _wait(self, seconds: float | None) -> None:
        """Pause until there is something to do, at most `seconds` long."""
        self._pause = _Pause(self._clock, seconds)
        await self._pause.over
        self._pause = None

    def _wake(self) -> None:
        if self._pause is not None:
            self._pause.end()


class _Pause:
    """A wait that can be cut short; `over` fires once, at its end."""

    def __init__(self, clock: IReactorTime, seconds: float | None) -> None:
        self.over: Deferred[None] = Deferred()
        self._timer: IDelayedCall | None = None if seconds is None else clock.callLater(seconds, self._expire)

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._expire()

    def _expire(self) -> None:
        self._timer = None
        if not self.over.called:
            self.over.callback(None)


def _is_data_fault(error: Exception) -> bool:
    # Here, because the writer is there before SQLAlchemy is.
    from kmstwist.audit.store import is_data_fault

    return is_data_fault(error)


def _fire(batch: list[Entry]) -> list[Entry]:
    """Fire the batch's Deferreds; the batch without them."""
    for _, committed in batch:
        if committed is not None:
            committed.callback(None)
    return [(record, None) for record, _ in batch]
