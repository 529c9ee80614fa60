"""The audit as the server runs it: one service that owns the store, the writer's thread, retention and forwarding.

audit = AuditService(AuditSettings(store="/var/lib/kmstwist/audit.sqlite"), reactor)
audit.setServiceParent(application)
...
audit.record(record).addCallback(send_the_reply)
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from twisted.application.service import Service
from twisted.internet.defer import Deferred, ensureDeferred, succeed
from twisted.internet.interfaces import IReactorFromThreads, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure

from kmstwist.audit.aside.access import StoreAccess
from kmstwist.audit.aside.connecting import DEFAULT_BUSY_TIMEOUT
from kmstwist.audit.central.forward import Forwarder, register, target_name, unregister_others
from kmstwist.audit.central.salt import OWN_CURE, join
from kmstwist.audit.engine import is_sqlite, open_engine, store_url
from kmstwist.audit.plain.faults import StoreError, StoreUnavailable, plain_error
from kmstwist.audit.privacy import Privacy, PrivacyPolicy, SaltError, load_salt
from kmstwist.audit.products.named import Named
from kmstwist.audit.products.names import note_configured
from kmstwist.audit.records import Record, RecordIds, RecordMaker
from kmstwist.audit.settings import BATCH, GATHER, QUEUE, OnFailure
from kmstwist.audit.sightings import Sighting, remember
from kmstwist.audit.storage import Storage
from kmstwist.audit.store import write_policy
from kmstwist.audit.upkeep.limits import Limits
from kmstwist.audit.upkeep.retention import Outcome, prune
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
from kmstwist.startup import StartupError
from kmstwist.system.threads import MORE_THREADS, Threads

WATCH_EVERY = 1.0
RETENTION_EVERY = 3600.0
# Seconds between two steps of retention, so that the writer's thread is free for records most of the time.
RETENTION_BREATH = 0.05


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """The audit's settings.

    `store` is the SQLite file; `forward_to` a `postgresql://` URL to feed from it, and `forwards` whether this process
    is the one that does (of several on one store, one is); `salt_file` where the key of hashed fields is kept (beside
    the store by default); `names` what the site calls products; `drain` how long the end may wait for a store that
    fails. Times are in seconds.
    """

    store: str
    gateway: str = "kmstwist"
    on_failure: OnFailure = OnFailure.SERVE
    privacy: PrivacyPolicy = field(default_factory=PrivacyPolicy)
    salt_file: Path | None = None
    limits: Limits = field(default_factory=Limits)
    forward_to: str | None = None
    forwards: bool = True
    busy_timeout: float = DEFAULT_BUSY_TIMEOUT
    gather: float = GATHER
    batch: int = BATCH
    queue: int = QUEUE
    names: Sequence[Named] = ()
    drain: float = 10.0


def try_settings(settings: AuditSettings) -> None:
    """Raise `StoreError` if the audit could not start with these settings; the store itself is not checked."""
    target = _target(settings)
    if target is not None:
        target.dispose()
    _salt(settings)


def _target(settings: AuditSettings) -> Engine | None:
    """The central store to forward to, or None. Raises `StoreError` if it is not a PostgreSQL."""
    if settings.forward_to is None:
        return None
    target = open_engine(settings.forward_to)
    if is_sqlite(target):
        raise StoreError("the audit forwards to PostgreSQL", "give forward_to a postgresql:// URL")
    return target


def _salt_file(settings: AuditSettings) -> Path:
    return settings.salt_file or Path(str(store_url(settings.store).database)).with_name("audit.salt")


def _salt(settings: AuditSettings) -> bytes:
    """The key of hashed fields, made if it is missing; empty if nothing is hashed. Raises `StoreError`."""
    if not settings.privacy.hashes:
        return b""
    try:
        return load_salt(_salt_file(settings))
    except SaltError as error:
        raise StoreError.of(error) from None


class AuditService(Service):
    """Owns all parts of the audit. `reactor` provides time and threads; `writer` has the numbers for metrics."""

    log = Logger()

    def __init__(
        self,
        settings: AuditSettings,
        reactor: Reactor,
        *,
        entropy: Callable[[int], bytes] = os.urandom,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`now` returns the time in seconds since 1970."""
        self.settings = settings
        self._reactor = reactor
        self._clock = cast(IReactorTime, reactor)
        self._now = now
        self._pool = Threads(minthreads=1, maxthreads=1, name="audit-write")
        self._storage = Storage(settings.store, settings.busy_timeout, self._opened)
        self._storage.at_leisure = settings.forwards
        thread = partial(deferToThreadPool, cast(IReactorFromThreads, reactor), self._pool)
        self._access = StoreAccess(self._storage, reactor, thread, settings.busy_timeout)
        self._privacy: Privacy | None = None
        self._next_try, self._tries = 0.0, 0
        self._loops: list[tuple[LoopingCall, Deferred[Any]]] = []
        self.maker = RecordMaker(settings.gateway, now, RecordIds(entropy))
        self.writer = AuditWriter(
            self._storage.insert,
            clock=self._clock,
            in_thread=self._access.run,
            commit=self._access.commit,
            on_failure=settings.on_failure,
            gather=settings.gather,
            batch=settings.batch,
            queue=settings.queue,
        )
        self.forwarder: Forwarder | None = None

    def record(self, record: Record) -> Deferred[None]:
        """Store a record, after applying the privacy policy; fires when it is committed (`AuditWriter.record`)."""
        privacy = self._privacy
        assert privacy is not None, "the audit records only while it runs"
        return self.writer.record(record if privacy.idle else privacy.apply(record))

    def remember_strangers(self, domain: str, found: Sequence[Sighting]) -> None:
        """Store the strangers found in a domain, for the report. Failures are logged, and the strangers left out."""
        stored = self._access.run(self._remember, domain, found, int(self._now() * 1000))
        stored.addErrback(self._strangers_failed)

    def _remember(self, domain: str, found: Sequence[Sighting], at: int) -> None:
        remember(self.engine, self.settings.gateway, domain, found, at)

    def _strangers_failed(self, failure: Failure) -> None:
        failure.trap(SQLAlchemyError, StoreError)
        AUDIT_STRANGERS_FAILING.emit(self.log, detail=plain_error(cast(Exception, failure.value)))

    @property
    def engine(self) -> Engine:
        """The store, for reading reports in other threads. Raises StoreError while there is none."""
        engine = self._storage.engine
        if engine is None:
            raise StoreError(f"the audit store {self.settings.store} is not open at present", "the log says why")
        return engine

    def startService(self) -> None:
        """Open the store, bring its tables up to date (this blocks: nothing is served yet), and begin.

        Raises StoreError with a sentence for the administrator, StartupError where no thread can be had. Under the
        policy "serve" a store that cannot be used at present is none: it is taken when it can be.
        """
        self._privacy = Privacy(self.settings.privacy, _salt(self.settings))
        trouble: StoreUnavailable | None = None
        try:
            self._storage.open()
        except StoreUnavailable as error:
            if self.settings.on_failure is OnFailure.REFUSE:
                raise
            trouble = error
        except (ValueError, OSError, RuntimeError, SQLAlchemyError) as error:
            raise StoreError(f"the audit cannot start: {plain_error(error)}") from error
        try:
            self._pool.start()
        except RuntimeError as error:
            self._storage.close()
            raise StartupError(f"the audit cannot start: {error}", MORE_THREADS) from None
        if trouble is not None:
            self.writer.note_failing(trouble)
        self.writer.start()
        super().startService()
        self._begin(self._watch, WATCH_EVERY, now=False)
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
        if not self._loops:
            return
        for loop, ended in self._loops:
            if loop.running:
                loop.stop()
                await ended
        self._loops = []
        await self.writer.stop(self.settings.drain)
        if self.forwarder is not None:
            # The writer's thread is free by now, and joining the other one must not block the reactor.
            await self._access.run(self.forwarder.stop)
        await self._access.run(self._storage.close)
        self._pool.stop()

    # -- the store, in the writer's thread

    def _opened(self, engine: Engine) -> None:
        """Set up an opened store: note its policy, and start forwarding."""
        file = _salt_file(self.settings).absolute()
        salt = _salt(self.settings)
        join(engine, salt, f"the store {self.settings.store}", OWN_CURE)
        write_policy(engine, self.settings.privacy, file)
        note_configured(engine, self.settings.names)
        self._start_forwarding(engine, salt)

    def _start_forwarding(self, engine: Engine, salt: bytes) -> None:
        if not self.settings.forwards:
            return
        if self.forwarder is not None:
            # It reads a store that no longer exists.
            self.forwarder.stop()
        target = _target(self.settings)
        if target is None:
            unregister_others(engine, None)
            return
        register(engine, target_name(target))
        unregister_others(engine, target_name(target))
        self.forwarder = Forwarder(engine, target, salt=salt, now=self._now)
        self.forwarder.start()

    def _watch(self) -> Deferred[None]:
        """Look at the store, and open it if it is not open."""
        self._access.tick()
        if self._storage.engine is None and self._clock.seconds() < self._next_try:
            return succeed(None)
        return self._access.run(self._keep).addCallbacks(self._kept, self._not_kept)

    def _keep(self) -> bool:
        opened = self._storage.keep()
        if self.forwarder is not None:
            self.forwarder.watch()
        return opened

    def _kept(self, opened: bool) -> None:
        self._tries = 0
        if opened:
            self.writer.note_working()

    def _not_kept(self, failure: Failure) -> None:
        failure.trap(StoreError, SQLAlchemyError, OSError)
        # A look at a store that is locked takes a second of the writer's time.
        self._tries += 1
        self._next_try = self._clock.seconds() + doubled(1.0, RETRY_MOST, self._tries)
        self.writer.note_failing(cast(Exception, failure.value))

    def _retain(self) -> Deferred[None]:
        engine = self._storage.engine
        if self.settings.limits == Limits() or engine is None:
            return succeed(None)
        return ensureDeferred(self._prune(engine, self.settings.limits))

    def _defect(self, failure: Failure) -> None:
        DEFECT.emit(self.log, detail="the audit's watch or retention", traceback=failure.getTraceback())

    async def _prune(self, engine: Engine, limits: Limits) -> None:
        outcome = Outcome()
        steps = prune(engine, limits, int(self._now() * 1000), outcome=outcome)
        deleted = 0
        try:
            while self.running and (rows := await self._access.run(partial(next, steps, None))) is not None:
                deleted += rows
                breath: Deferred[None] = Deferred()
                self._clock.callLater(RETENTION_BREATH, breath.callback, None)
                await breath
        except (SQLAlchemyError, StoreError) as error:
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
