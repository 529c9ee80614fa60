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
from twisted.python.threadpool import ThreadPool

from kmstwist.audit.central.forward import Forwarder, register, target_name, unregister_others
from kmstwist.audit.engine import DEFAULT_BUSY_TIMEOUT, StoreError, is_sqlite, open_engine, plain_error, store_url
from kmstwist.audit.migrate import migrate
from kmstwist.audit.privacy import Keep, Privacy, PrivacyPolicy, load_salt
from kmstwist.audit.records import Record, RecordIds, RecordMaker
from kmstwist.audit.sightings import Sighting, remember
from kmstwist.audit.store import insert_batch, write_policy
from kmstwist.audit.upkeep.retention import Limits, Outcome, prune
from kmstwist.audit.writer import BATCH, GATHER, QUEUE, AuditWriter, OnFailure
from kmstwist.logevents import (
    AUDIT_RETENTION,
    AUDIT_RETENTION_FAILING,
    AUDIT_STRANGERS_FAILING,
    AUDIT_TOO_LARGE,
    DEFECT,
)

RETENTION_EVERY = 3600.0
# Between two steps of retention: leaves the writer's thread to the records most of the time.
RETENTION_BREATH = 0.05


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """What an administrator chooses about the audit.

    `store` is the SQLite file; `forward_to` a `postgresql://` URL to feed from it, and `forwards` whether this process
    is the one that does (of several on one store, one is); `salt_file` where the key of hashed
    fields is kept (beside the store by default). Times are in seconds.
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


def try_settings(settings: AuditSettings) -> None:
    """Raise `StoreError`, a sentence, where the audit could not start with these; the store itself is not looked at."""
    target = _target(settings)
    if target is not None:
        target.dispose()
    _salt(settings)


def _target(settings: AuditSettings) -> Engine | None:
    """The central store, where there is one to forward to. Raises `StoreError` where it cannot be one."""
    if settings.forward_to is None:
        return None
    target = open_engine(settings.forward_to)
    if is_sqlite(target):
        raise StoreError("the audit forwards to PostgreSQL; give forward_to a postgresql:// URL")
    return target


def _salt_file(settings: AuditSettings) -> Path:
    return settings.salt_file or Path(str(store_url(settings.store).database)).with_name("audit.salt")


def _salt(settings: AuditSettings) -> bytes:
    """The key of hashed fields, made where it is missing; empty where nothing is hashed. Raises `StoreError`."""
    policy = settings.privacy
    if Keep.HASH not in (policy.client, policy.peer, policy.machine, policy.cmid):
        return b""
    try:
        return load_salt(_salt_file(settings))
    except ValueError as error:
        raise StoreError(str(error)) from None


class AuditService(Service):
    """Owns everything the audit runs on. `reactor` gives the time and threads; `writer` has the numbers for metrics."""

    log = Logger()

    def __init__(
        self,
        settings: AuditSettings,
        reactor: Any,
        *,
        entropy: Callable[[int], bytes] = os.urandom,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`now` is the time in seconds since 1970, as records have it."""
        self.settings = settings
        self._reactor = reactor
        self._clock = cast(IReactorTime, reactor)
        self._now = now
        self._pool = ThreadPool(minthreads=1, maxthreads=1, name="audit-write")
        self._engine: Engine | None = None
        self._privacy: Privacy | None = None
        self._retention: LoopingCall | None = None
        self.maker = RecordMaker(settings.gateway, now, RecordIds(entropy))
        self.writer = AuditWriter(
            self._insert,
            clock=self._clock,
            in_thread=self._in_thread,
            on_failure=settings.on_failure,
            gather=settings.gather,
            batch=settings.batch,
            queue=settings.queue,
        )
        self.forwarder: Forwarder | None = None

    def record(self, record: Record) -> Deferred[None]:
        """Store a record, as privacy has it; fires when it is committed (`AuditWriter.record`)."""
        assert self._privacy is not None, "the audit records only while it runs"
        return self.writer.record(self._privacy.apply(record))

    def remember_strangers(self, domain: str, found: Sequence[Sighting]) -> None:
        """Store whom the watch found in a domain, for the report. What cannot be stored is logged, and left out."""
        now = int(self._now() * 1000)
        stored = self._in_thread(remember, self.engine, self.settings.gateway, domain, found, now)
        stored.addErrback(self._strangers_failed)

    def _strangers_failed(self, failure: Failure) -> None:
        failure.trap(SQLAlchemyError)
        AUDIT_STRANGERS_FAILING.emit(self.log, detail=plain_error(cast(SQLAlchemyError, failure.value)))

    @property
    def engine(self) -> Engine:
        """The store, for reading reports in other threads. Only while the service runs."""
        assert self._engine is not None, "the audit has a store only while it runs"
        return self._engine

    def startService(self) -> None:
        """Open the store, bring its tables up to date (this blocks: nothing is served yet), and begin.

        Raises StoreError with a sentence for the administrator.
        """
        settings = self.settings
        engine = open_engine(settings.store, busy_timeout=settings.busy_timeout)
        if not is_sqlite(engine):
            raise StoreError("the audit's store must be an SQLite file; name PostgreSQL as the store to forward to")
        migrate(engine)
        try:
            self._privacy = self._load_privacy(engine)
            self._start_forwarding(engine)
        except (ValueError, OSError, SQLAlchemyError) as error:
            raise StoreError(f"the audit cannot start: {plain_error(error)}") from error
        self._engine = engine
        self._pool.start()
        self.writer.start()
        super().startService()
        self._retention = LoopingCall(self._retain)
        self._retention.clock = self._reactor
        self._retention_ended = self._retention.start(RETENTION_EVERY)
        self._retention_ended.addErrback(self._defect)

    def stopService(self) -> Deferred[None]:
        """Commit what is waiting, end the threads, close the store."""
        super().stopService()
        return ensureDeferred(self._stop())

    async def _stop(self) -> None:
        if self._engine is None:
            return
        if self._retention is not None and self._retention.running:
            self._retention.stop()
            await self._retention_ended
        await self.writer.stop()
        if self.forwarder is not None:
            # The writer's thread is free by now, and joining the other must not hold the reactor.
            await self._in_thread(self.forwarder.stop)
        self._pool.stop()
        self._engine.dispose()
        self._engine = None

    def _load_privacy(self, engine: Engine) -> Privacy:
        policy = self.settings.privacy
        salt = _salt(self.settings)
        write_policy(engine, policy, _salt_file(self.settings).absolute())
        return Privacy(policy, salt)

    def _start_forwarding(self, engine: Engine) -> None:
        if not self.settings.forwards:
            return
        target = _target(self.settings)
        if target is None:
            unregister_others(engine, None)
            return
        register(engine, target_name(target))
        unregister_others(engine, target_name(target))
        self.forwarder = Forwarder(engine, target, now=time.time)
        self.forwarder.start()

    def _insert(self, batch: Any, *, again: bool = False) -> int:
        return insert_batch(self.engine, batch, again=again)

    def _in_thread(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Deferred[Any]:
        return deferToThreadPool(cast(IReactorFromThreads, self._reactor), self._pool, function, *args, **kwargs)

    def _retain(self) -> Deferred[None]:
        if self.settings.limits == Limits() or self._engine is None:
            return succeed(None)
        return ensureDeferred(self._prune(self._engine, self.settings.limits))

    def _defect(self, failure: Failure) -> None:
        DEFECT.emit(self.log, detail="the audit's retention", traceback=failure.getTraceback())

    async def _prune(self, engine: Engine, limits: Limits) -> None:
        outcome = Outcome()
        steps = prune(engine, limits, int(self._now() * 1000), outcome=outcome)
        deleted = 0
        try:
            while self.running and (rows := await self._in_thread(partial(next, steps, None))) is not None:
                deleted += rows
                breath: Deferred[None] = Deferred()
                self._clock.callLater(RETENTION_BREATH, breath.callback, None)
                await breath
        except SQLAlchemyError as error:
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
                else "what may go has gone; a larger keep_mib is needed",
            )
