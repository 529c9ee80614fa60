"""The audit as the server runs it: one service that owns the store, the writer's thread, retention and forwarding.

audit = AuditService(AuditSettings(store="/var/lib/kmstwist/audit.sqlite"), reactor)
audit.setServiceParent(application)
...
audit.take(record, send_the_reply)
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar, cast

from twisted.application.service import Service
from twisted.internet.defer import Deferred, ensureDeferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from kmstwist.audit.plain.defaults import OnFailure
from kmstwist.audit.plain.faults import StoreError, StoreUnavailable, not_open, plain_error
from kmstwist.audit.plain.settings import AuditSettings, salt_of
from kmstwist.audit.privacy import Privacy, PrivacyPolicy
from kmstwist.audit.records import Record, RecordIds, RecordMaker, Told
from kmstwist.audit.upkeep.limits import Limits
from kmstwist.audit.writer import RETRY_MOST, AuditWriter
from kmstwist.logevents import (
    AUDIT_RETENTION,
    AUDIT_RETENTION_FAILING,
    AUDIT_STRANGERS_FAILING,
    AUDIT_TOO_LARGE,
    DEFECT,
)
from kmstwist.pacing.waits import doubled
from kmstwist.reactor import Reactor
from kmstwist.startup import StartupError, put_aside
from kmstwist.system.threads import MORE_THREADS, OneThread

# These load SQLAlchemy.
if TYPE_CHECKING:
    from sqlalchemy import Engine

    from kmstwist.audit.aside.access import StoreAccess
    from kmstwist.audit.central.forward import Forwarder
    from kmstwist.audit.strangers import Sighting
    from kmstwist.audit.upkeep.served import ServedStore

ResultT = TypeVar("ResultT")

WATCH_EVERY = 1.0
RETENTION_EVERY = 3600.0
# Seconds between two steps of retention, so that the writer's thread is free for records most of the time.
RETENTION_BREATH = 0.05


def try_settings(settings: AuditSettings) -> None:
    """Raise `StoreError` if the audit could not start with these settings; the store itself is not checked."""
    if settings.forward_to is not None:
        from kmstwist.audit.upkeep.served import target_of

        target_of(settings.forward_to).dispose()
    salt_of(settings)


class AuditService(Service):
    """Owns all parts of the audit. `reactor` provides time and threads; `writer` has the numbers for metrics.

    With `later`, the store is opened when the server listens already, since SQLAlchemy takes a third of a start to
    load: its thread loads it, and then opens the store. Records that come meanwhile wait for that, and their calls.
    """

    log = Logger()

    def __init__(
        self,
        settings: AuditSettings,
        reactor: Reactor,
        *,
        later: bool = False,
        entropy: Callable[[int], bytes] = os.urandom,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`now` returns the time in seconds since 1970."""
        self.settings = settings
        self._later = later
        self._reactor = reactor
        self._clock = cast(IReactorTime, reactor)
        self._now = now
        self._writing = OneThread("audit-write", reactor)
        self._served: ServedStore | None = None
        self._access: StoreAccess | None = None
        self._privacy: Privacy | None = None
        self._next_try, self._tries = 0.0, 0
        self._loops: list[tuple[LoopingCall, Deferred[object]]] = []
        #: Beside them, to the very end: they wait for their turn at the store, which a process that hangs never ends.
        self._guard = LoopingCall(self._end_hung)
        self._guard.clock = reactor
        self._beginning: IDelayedCall | None = None
        self._retains = False
        self.maker = RecordMaker(settings.gateway, now, RecordIds(entropy))
        self.writer = AuditWriter(
            self._insert,
            clock=self._clock,
            in_thread=self._run,
            on_failure=settings.on_failure,
            gather=settings.gather,
            batch=settings.batch,
            queue=settings.queue,
        )

        #: Takes a record as `AuditWriter.take` does, after applying the privacy policy, where there is one.
        self.take: Callable[[Record, Told], None] = (
            self.writer.take if settings.privacy == PrivacyPolicy() else self._take_discreetly
        )

    def _take_discreetly(self, record: Record, told: Told) -> None:
        privacy = self._privacy
        assert privacy is not None, "the audit records only while it runs"
        self.writer.take(privacy.apply(record), told)

    def remember_strangers(self, domain: str, found: Sequence[Sighting]) -> None:
        """Store the strangers found in a domain, for the report. Failures are logged, and the strangers left out."""
        self._run(self._remember, domain, found).addErrback(self._strangers_failed)

    def _remember(self, domain: str, found: Sequence[Sighting]) -> None:
        self._store().remember(domain, found)

    def _strangers_failed(self, failure: Failure) -> None:
        failure.trap(StoreError)
        AUDIT_STRANGERS_FAILING.emit(self.log, detail=plain_error(cast(Exception, failure.value)))

    @property
    def engine(self) -> Engine:
        """The store, for reading reports in other threads. Raises StoreError while there is none."""
        return self._store().engine

    @property
    def forwarder(self) -> Forwarder | None:
        """What feeds the central store, where there is one."""
        return None if self._served is None else self._served.forwarder

    def startService(self) -> None:
        """Open the store, bring its tables up to date (this blocks: nothing is served yet), and begin.

        Raises StoreError with a sentence for the administrator, StartupError if no thread can be started. Under the
        policy "serve" a store that cannot be used at present raises nothing: it is opened as soon as it can be. The
        same holds for one that is to be opened `later`.
        """
        self._privacy = Privacy(self.settings.privacy, salt_of(self.settings))
        trouble = None if self._later else self._open()
        try:
            self._writing.start()
        except RuntimeError as error:
            if self._served is not None:
                self._served.storage.close()
            raise StartupError(f"the audit cannot start: {error}", MORE_THREADS) from None
        if trouble is not None:
            self.writer.note_failing(trouble)
        self.writer.start()
        super().startService()
        self._guard.start(WATCH_EVERY, now=False).addErrback(self._defect)
        if self._later:
            # When all else has started.
            self._beginning = self._reactor.callLater(0, self._begin_to_watch)
        else:
            self._begin(self._watch, WATCH_EVERY, now=False)
            self._begin_to_retain()

    def _open(self) -> StoreUnavailable | None:
        """Open the store; why it cannot be opened at present, where calls are served all the same."""
        self._served = served = self._load()
        self._have_access(served)
        try:
            served.open()
        except StoreUnavailable as error:
            if self.settings.on_failure is OnFailure.REFUSE:
                raise
            return error
        return None

    def _have_access(self, served: ServedStore) -> None:
        self._access = served.access(self._reactor, self._writing)
        self.writer.commit = self._access.commit

    def _begin_to_watch(self) -> None:
        self._beginning = None
        self._begin(self._watch, WATCH_EVERY, now=True)

    def _begin_to_retain(self) -> None:
        self._retains = True
        self._begin(self._retain, RETENTION_EVERY, now=True)

    def _begin(self, work: Callable[[], Deferred[None]], every: float, *, now: bool) -> None:
        loop = LoopingCall(work)
        loop.clock = self._reactor
        self._loops.append((loop, loop.start(every, now=now).addErrback(self._defect)))

    def stopService(self) -> Deferred[None]:
        """Commit what is waiting, end the threads, close the store."""
        super().stopService()
        return ensureDeferred(self._stop())

    async def _stop(self) -> None:
        if self._beginning is not None:
            self._beginning.cancel()
            self._begin_to_watch()
        if not self._loops:
            return
        for loop, ended in self._loops:
            if loop.running:
                loop.stop()
                await ended
        self._loops = []
        try:
            await self.writer.stop(self.settings.drain)
            if self.forwarder is not None:
                # The writer's thread is free by now, and joining the other one must not block the reactor.
                await self._run(self.forwarder.stop)
            if self._served is not None:
                await self._run(self._served.storage.close)
        finally:
            if self._guard.running:
                self._guard.stop()
            self._writing.stop()

    # -- the store, in the writer's thread

    def _run(self, function: Callable[..., ResultT], /, *arguments: object) -> Deferred[ResultT]:
        """Run a blocking function in the writer's thread; fires with its result."""
        # The thread takes one after the other. Where a process aside stores batches, too, it has to have its turn.
        run = self._writing.run if self._access is None else self._access.run
        return run(function, *arguments)

    def _insert(self, batch: Sequence[Record], *, again: bool = False) -> int:
        return self._store().storage.insert(batch, again=again)

    def _store(self) -> ServedStore:
        """The store, open or not. Raises StoreError while nothing is loaded."""
        if self._served is None:
            raise not_open(self.settings.store)
        return self._served

    def _load(self) -> ServedStore:
        """Load what works with the store, which takes a while."""
        from kmstwist.audit.upkeep.served import ServedStore

        return ServedStore(self.settings, self._now)

    def _watch(self) -> Deferred[None]:
        """Look at the store, and open it if it is not open."""
        if self._access is not None:
            self._access.tick()
        is_open = self._served is not None and self._served.storage.engine is not None
        if not is_open and self._clock.seconds() < self._next_try:
            return succeed(None)
        return self._run(self._keep).addCallbacks(self._kept, self._not_kept)

    def _end_hung(self) -> None:
        if self._access is not None:
            self._access.end_hung()

    def _keep(self) -> bool:
        if self._served is None:
            self._served = self._load()
        return self._served.keep()

    def _kept(self, opened: bool) -> None:
        self._tries = 0
        if self._access is None:
            self._have_access(self._store())
            # What was loaded stays.
            put_aside()
        if opened:
            self.writer.note_working()
        if not self._retains and self.running:
            self._begin_to_retain()

    def _not_kept(self, failure: Failure) -> None:
        failure.trap(StoreError, OSError)
        # A look at a store that is locked takes a second of the writer's time.
        self._tries += 1
        self._next_try = self._clock.seconds() + doubled(1.0, RETRY_MOST, self._tries)
        self.writer.note_failing(cast(Exception, failure.value))

    def _retain(self) -> Deferred[None]:
        if self.settings.limits == Limits() or self._served is None or self._served.storage.engine is None:
            return succeed(None)
        return ensureDeferred(self._prune(self._served, self.settings.limits))

    def _defect(self, failure: Failure) -> None:
        DEFECT.emit(self.log, detail="the audit's watch or retention", traceback=failure.getTraceback())

    async def _prune(self, served: ServedStore, limits: Limits) -> None:
        steps, outcome = served.retention()
        deleted = 0
        try:
            while self.running and (rows := await self._run(partial(next, steps, None))) is not None:
                deleted += rows
                breath: Deferred[None] = Deferred()
                self._clock.callLater(RETENTION_BREATH, breath.callback, None)
                await breath
        except StoreError as error:
            AUDIT_RETENTION_FAILING.emit(self.log, detail=plain_error(error))
            return
        if deleted:
            AUDIT_RETENTION.emit(self.log, deleted=deleted)
        if outcome.too_small and limits.size is not None:
            AUDIT_TOO_LARGE.emit(
                self.log,
                size=outcome.size,
                limit=limits.size,
                detail=f"only the newest {limits.floor} records are left; a larger keep_mib keeps more"
                if outcome.at_floor
                else "all that may be deleted is deleted; a larger keep_mib is needed",
            )
