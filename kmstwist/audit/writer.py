"""Writing records without losing any: group commit from the reactor through one thread of the audit's own.

`AuditWriter.take` takes a record, and what to tell when the record's batch is committed; the server sends its reply
then and not before. While a batch is being committed the next one gathers, so the busier the server, the bigger its
batches and the cheaper each record: a batch waits for the disk once, whatever its size. A single record does not wait
for others.

When the store fails (disk full, file locked), the policy decides:

- serve: calls are answered all the same. Records wait in a bounded queue and are tried again until the store takes
  them; what the queue cannot hold is counted in `dropped` and alarmed, never silent.
- refuse: who waits is told `AuditUnavailable`, and the call is to be refused.

A batch that is stored at once, as nearly all are, goes `take`, `_next`, `_begin`, `_stored`. What becomes of one that
is not is one coroutine, `_store`, to be read from top to bottom.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import cast

from twisted.internet.defer import Deferred, ensureDeferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from kmstwist.audit.plain.alarms import Alarms
from kmstwist.audit.plain.defaults import BATCH, GATHER, QUEUE, OnFailure
from kmstwist.audit.plain.faults import AuditUnavailable, StoreError, plain_error
from kmstwist.audit.plain.waiting import Commit, Done, Insert, Waiters
from kmstwist.audit.records import Record, Told, id_text
from kmstwist.logevents import AUDIT_REJECTED, DEFECT
from kmstwist.pacing.waits import doubled
from kmstwist.reactor import InThread

# After a batch of at least this many records the next one is gathered for a while, if that is configured. A few clients
# gain nothing by waiting for each other.
BUSY = 8
RETRY_FIRST, RETRY_MOST = 0.5, 30.0


class AuditWriter:
    """Collects records into batches and has them committed.

    `insert` stores a batch, and `in_thread` runs it in the one thread that writes; `commit` stores one for the first
    time, and may be set to another way of doing that. The public numbers are for metrics: records `committed`,
    `failures` of batches, records `dropped` because the queue was full, `refused` by policy, and `rejected` because the
    store cannot hold what they say; `failing` while the store does not work.
    """

    log = Logger()

    def __init__(
        self,
        insert: Insert,
        *,
        clock: IReactorTime,
        in_thread: InThread,
        on_failure: OnFailure = OnFailure.SERVE,
        gather: float = GATHER,
        batch: int = BATCH,
        queue: int = QUEUE,
    ) -> None:
        self._insert = insert
        self.commit: Commit = self._commit_in_thread
        self._clock = clock
        self._in_thread = in_thread
        self._on_failure = on_failure
        self._gather = gather
        self._batch = batch
        self._queue = queue
        #: What gathers, and what is being stored: records, and in another list who waits for each of them.
        self._records: list[Record] = []
        self._waiters: Waiters = []
        self._under_way: tuple[list[Record], Waiters] = ([], [])
        self._in_flight = 0
        self._last_batch = 0
        #: What begins the next batch: the end of this turn of the loop, or of the time for which it is gathered.
        self._timer: IDelayedCall | None = None
        #: Before it tries again.
        self._pause: tuple[IDelayedCall, Deferred[None]] | None = None
        self._stopping = False
        self._give_up_at = 0.0
        #: Fires at the end; None before the start.
        self._running: Deferred[None] | None = None
        self._ended = False
        self._alarms = Alarms(self.log, clock.seconds)
        self.committed = 0
        self.failures = 0
        self.dropped = 0
        self.refused = 0
        self.rejected = 0
        self.failing = False

    @property
    def waiting(self) -> int:
        """How many records are not committed yet."""
        return len(self._records) + self._in_flight

    def start(self) -> None:
        """Begin to write; records handed over earlier are written too."""
        self._running = Deferred()
        self._next()

    def stop(self, within: float = 0.0) -> Deferred[None]:
        """Write what is waiting and end; fires when done.

        While the store fails, it is tried again for `within` seconds. Records that cannot be written by then are
        counted and logged.
        """
        self._stopping = True
        self._give_up_at = self._clock.seconds() + within
        if self._running is None:
            self._ended = True
            return succeed(None)
        if self._in_flight:
            self._hurry()
        else:
            self._begin_or_end()
        return self._running

    def take(self, record: Record, told: Told) -> None:
        """Take a record over; `told` is called when it is committed, or as the policy has it when the store fails.

        It may be called before this returns. It is told AuditUnavailable under the policy "refuse" only.
        """
        records = self._records
        unusual = self.failing or self._ended or len(records) + self._in_flight >= self._queue
        if unusual and self._is_done_with(record, told):
            return
        records.append(record)
        self._waiters.append(told)
        if self._in_flight:
            return
        if len(records) >= self._batch:
            self._begin()
        elif self._timer is None and self._running is not None:
            # Records that come in the same turn of the loop are stored with it.
            self._timer = self._clock.callLater(0, self._next)

    def _is_done_with(self, record: Record, told: Told) -> bool:
        """Whether the call need not wait for its record in this state of the writer; it was told then."""
        if self._ended or self.waiting >= self._queue:
            waits = f"already {self.waiting} records waiting for the store"
            self._turn_away(told, "the audit has stopped" if self._ended else waits)
            return True
        if self._on_failure is not OnFailure.SERVE:
            return False
        self._records.append(record)
        self._waiters.append(None)
        if not self._in_flight and self._running is not None:
            # Nothing is being tried: the failure was found without a record.
            self._begin()
        told(None)
        return True

    def _turn_away(self, told: Told, why: str) -> None:
        if self._on_failure is OnFailure.REFUSE:
            self.refused += 1
            told(AuditUnavailable(f"the audit cannot store this call: {why}"))
        else:
            self.dropped += 1
            self._alarms.dropped(self.dropped, why)
            told(None)

    # -- a batch that is stored

    def _next(self) -> None:
        """Store what is waiting, or gather for a while."""
        self._timer = None
        waiting = len(self._records)
        if self._gather and self._last_batch >= BUSY and 0 < waiting < self._batch and not self._stopping:
            self._timer = self._clock.callLater(self._gather, self._begin)
        else:
            self._begin_or_end()

    def _begin_or_end(self) -> None:
        if self._records:
            self._begin()
        elif self._stopping and not self._ended and self._running is not None:
            self._ended = True
            self._running.callback(None)

    def _begin(self) -> None:
        """Store what is waiting, as much as a batch may have."""
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
        most = self._batch
        records, waiters = self._records, self._waiters
        if len(records) > most:
            self._records, self._waiters = records[most:], waiters[most:]
            del records[most:], waiters[most:]
        else:
            self._records, self._waiters = [], []
        self._under_way = records, waiters
        self._in_flight = self._last_batch = len(records)
        self.commit(records, self._stored)

    def _stored(self, error: Exception | None) -> None:
        """Go on after the first try to store a batch."""
        records, waiters = self._under_way
        if error is not None:
            ensureDeferred(self._recover(records, waiters, error))
            return
        self.committed += len(records)
        if self.failing:
            self._end_failing()
        self._in_flight = 0
        if self._records:
            # First: it is stored while the calls of this one are answered.
            self._next()
        self._tell(waiters, None)
        if self._stopping and not self._in_flight:
            self._begin_or_end()

    def _commit_in_thread(self, batch: Sequence[Record], done: Done) -> None:
        stored = self._in_thread(self._insert, batch)
        stored.addCallbacks(lambda _: done(None), lambda failure: done(cast(Exception, failure.value)))

    # -- a batch that is not

    async def _recover(self, records: list[Record], waiters: Waiters, error: Exception) -> None:
        await self._store(records, waiters, error)
        self._in_flight = 0
        self._next()

    async def _store(self, records: list[Record], waiters: Waiters, error: Exception | None) -> None:
        """Store a batch, trying again for as long as the policy says; all who wait for it are told at the end.

        `error` is what a first try came to, where there was one.
        """
        again = False
        failed = 0
        while True:
            if error is None:
                try:
                    await self._in_thread(partial(self._insert, records, again=again))
                except Exception as raised:
                    error = raised
                else:
                    self.committed += len(records)
                    self._end_failing()
                    self._tell(waiters, None)
                    return
            self.failures += 1
            if not isinstance(error, StoreError) and _is_data_fault(error):
                await self._store_apart(records, waiters, error)
                return
            self._begin_failing(error)
            if self._on_failure is OnFailure.REFUSE:
                self._refuse(waiters, f"the audit cannot store this call: {plain_error(error)}")
                return
            left = self._give_up_at - self._clock.seconds() if self._stopping else None
            if left is not None and left <= 0:
                self._give_up(records, waiters, error)
                return
            self._tell(waiters, None)
            waiters = [None] * len(records)
            self._serve_the_waiting()
            again = True
            failed += 1
            error = None
            await self._wait(doubled(RETRY_FIRST, RETRY_MOST, failed) if left is None else min(RETRY_FIRST, left))

    async def _store_apart(self, records: list[Record], waiters: Waiters, error: Exception) -> None:
        """Halve a batch that holds a record the store cannot take, until that record stands alone."""
        if len(records) > 1:
            middle = len(records) // 2
            await self._store(records[:middle], waiters[:middle], None)
            await self._store(records[middle:], waiters[middle:], None)
            return
        (record,) = records
        self.rejected += 1
        AUDIT_REJECTED.emit(self.log, record=id_text(record.record_id), client=record.client, detail=plain_error(error))
        if self._on_failure is OnFailure.REFUSE:
            self._refuse(waiters, f"the audit's store cannot hold this call's record: {plain_error(error)}")
        else:
            self._tell(waiters, None)

    def note_failing(self, error: Exception) -> None:
        """Know that the store cannot be written, found without a record: the policy holds from now on."""
        self._begin_failing(error)
        if self._on_failure is OnFailure.SERVE:
            self._serve_the_waiting()

    def note_working(self) -> None:
        """Know that the store can be written again, found without a record."""
        if self.failing:
            # What waits is tried now, and the failure ends with its success.
            self._hurry()
        if not self.waiting:
            self._end_failing()

    def _begin_failing(self, error: Exception) -> None:
        self.failing = True
        self._alarms.failing(error, self._on_failure, self.waiting)

    def _end_failing(self) -> None:
        if self.failing:
            self.failing = False
            self._alarms.recovered(self.waiting, self.dropped)

    def _refuse(self, waiters: Waiters, why: str) -> None:
        self.refused += sum(told is not None for told in waiters)
        self._tell(waiters, AuditUnavailable(why))

    def _serve_the_waiting(self) -> None:
        waiters = self._waiters
        # Before they are told: one of them may hand over the next record.
        self._waiters = [None] * len(waiters)
        self._tell(waiters, None)

    def _give_up(self, records: list[Record], waiters: Waiters, error: Exception) -> None:
        lost = len(records) + len(self._records)
        waiters = [*waiters, *self._waiters]
        self._records, self._waiters = [], []
        self.dropped += lost
        self._alarms.lost(lost, error)
        self._tell(waiters, None)

    def _tell(self, waiters: Waiters, error: AuditUnavailable | None) -> None:
        for told in waiters:
            if told is not None:
                try:
                    told(error)
                except Exception:
                    # The others are told all the same.
                    DEFECT.emit(self.log, detail="telling a call of its record", traceback=Failure().getTraceback())

    async def _wait(self, seconds: float) -> None:
        """Pause before the next try, at most `seconds` long."""
        over: Deferred[None] = Deferred()
        self._pause = self._clock.callLater(seconds, over.callback, None), over
        await over

    def _hurry(self) -> None:
        """Cut such a pause short, if there is one."""
        if self._pause is not None and self._pause[0].active():
            self._pause[0].cancel()
            self._pause[1].callback(None)


def _is_data_fault(error: Exception) -> bool:
    # Here, because the writer is there before SQLAlchemy is.
    from kmstwist.audit.store import is_data_fault

    return is_data_fault(error)
