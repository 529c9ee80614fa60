"""The service behind `[notify]`: it looks every few seconds, reports changes, and sends the messages that wait.

Nothing here blocks the reactor: the store is read in one of the reactor's threads, messages are sent in a separate one
(a mail server may take long), and the memory is written in a third, always whole.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError
from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThread
from twisted.logger import Logger
from twisted.python.failure import Failure

from kmstwist.audit.engine import reading
from kmstwist.audit.plain.faults import StoreError, plain_error
from kmstwist.audit.reports.digest import DigestRow, digest
from kmstwist.audit.reports.machines import expiring
from kmstwist.audit.reports.model import Query, Report
from kmstwist.audit.views.totals import Totals, totals
from kmstwist.logevents import DEFECT, NOTIFIED, NOTIFY_BLIND, NOTIFY_FAILING, NOTIFY_LOST, NOTIFY_MEMORY
from kmstwist.notify.calendar import is_quiet, latest_digest
from kmstwist.notify.conditions import Condition, of_server, of_totals, server_looked, totals_looked
from kmstwist.notify.ledger import Ledger
from kmstwist.notify.memory import Memory, MemoryFault, read_memory, write_memory
from kmstwist.notify.messages import Text, about_changes, about_expiring, about_week
from kmstwist.notify.outbox import Letter
from kmstwist.notify.settings import NotifySettings, Topic
from kmstwist.notify.targets import NotSent, Target
from kmstwist.reactor import InThread, Reactor
from kmstwist.system.threads import OneThread
from kmstwist.telemetry.counters import Snapshot

#: Returns the server's snapshot, at once or in a Deferred.
Source = Callable[[], "Snapshot | Deferred[Snapshot]"]
#: Returns the audit's store. Raises `StoreError` if there is none at present.
Store = Callable[[], Engine]

#: Seconds between two looks at the server, and at the audit.
EVERY, COUNT_EVERY = 5.0, 3600.0
EXPIRING_DAYS = 7

T = TypeVar("T")


class NotifyService(Service):
    """Notifies people. `seconds` returns the time since 1970, `local` converts it; `store` is None without an audit.

    `reading_thread` and `sending_thread` run a function in a thread: by default one of the reactor's, and a separate
    one.
    """

    name = "notify"

    def __init__(
        self,
        settings: NotifySettings,
        targets: list[Target],
        called: str,
        source: Source,
        store: Store | None,
        file: Path,
        reactor: Reactor,
        seconds: Callable[[], float],
        *,
        local: Callable[[float], datetime] = lambda moment: datetime.fromtimestamp(moment).astimezone(),
        reading_thread: InThread = deferToThread,
        sending_thread: InThread | None = None,
        log: Logger | None = None,
    ) -> None:
        self._settings = settings
        self._wanted = settings.wanted
        self._targets = {target.id: target for target in targets}
        self._called = called
        self._source = source
        self._store = store
        self._file = file
        self._reactor = reactor
        self._seconds = seconds
        self._local = local
        self._log = log or Logger(namespace="kmstwist.notify")
        self._in_thread = reading_thread
        #: The thread that sends, once there was something to send.
        self._sender: OneThread | None = None
        self._sending_thread = sending_thread or self._in_sender
        self._memory = Memory(Ledger(settings.settle))
        self._kept = ""
        self._writing = False
        self._sending: Deferred[None] | None = None
        self._counted: float | None = None
        self._listed: float | None = None
        self._totals: Totals | None = None
        self._loop = LoopingCall(self._look)
        self._loop.clock = reactor

    def startService(self) -> None:
        """Read the memory, and start looking."""
        super().startService()
        try:
            self._memory = read_memory(self._file, self._settings.settle)
        except MemoryFault as fault:
            NOTIFY_MEMORY.emit(self._log, file=str(self._file), detail=str(fault))
        self._memory.outbox.forget_others(self._targets)
        self._kept = self._memory.to_text()
        self._loop.start(EVERY, now=True).addErrback(self._defect)

    def stopService(self) -> Deferred[None]:
        """Stop looking. A message being sent is finished in its thread; messages that wait are kept."""
        super().stopService()
        if self._loop.running:
            self._loop.stop()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        if self._sending is not None:
            await self._sending
        if self._sender is not None:
            await self._in_thread(self._sender.stop)
        if (text := self._memory.to_text()) != self._kept:
            await self._write(text)

    def _look(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._look_at_all()).addErrback(self._defect)

    async def _look_at_all(self) -> None:
        asked: Deferred[Any] = maybeDeferred(self._source)
        snapshot: Snapshot = await asked
        now = self._seconds()
        here = self._local(now)
        quiet = is_quiet(self._settings.quiet, here)
        await self._count(now)
        self._compare(snapshot, now, quiet)
        if not quiet:
            await self._list_expiring(now)
            await self._summarise(now, here)
        if self._sending is None and not quiet and self.running:
            self._sending = Deferred.fromCoroutine(self._send_all()).addErrback(self._defect)
            self._sending.addCallback(self._sent_all)
        self._keep()

    def _compare(self, snapshot: Snapshot, now: float, quiet: bool) -> None:
        found: list[Condition] = of_server(snapshot)
        looked = server_looked(snapshot)
        counted = self._totals is not None
        if self._totals is not None:
            found += of_totals(self._totals)
        present = {condition.key: condition for condition in found if condition.topic in self._wanted}
        changes = self._memory.ledger.step(
            now, present, lambda key: counted if totals_looked(key) else looked(key), quiet=quiet
        )
        if changes:
            self._put(about_changes(self._called, changes, now), now)

    async def _count(self, now: float) -> None:
        """Read the totals, if it is time."""
        if Topic.COUNT in self._wanted and self._store is not None and _is_due(self._counted, now):
            self._counted = now
            self._totals = await self._read("the count of clients", totals, now)

    async def _list_expiring(self, now: float) -> None:
        """Look for machines that expire, if it is time; in quiet hours this is postponed."""
        if Topic.EXPIRING in self._wanted and self._store is not None and _is_due(self._listed, now):
            self._listed = now
            machines = await self._read("expiring machines", _expiring, now)
            if machines is not None and (fresh := self._memory.ledger.newly_expiring(machines)):
                self._put(about_expiring(self._called, fresh, len(machines)), now)

    async def _summarise(self, now: float, here: datetime) -> None:
        if Topic.DIGEST not in self._wanted or self._store is None:
            return
        ledger = self._memory.ledger
        due = latest_digest(self._settings.digest_day, self._settings.digest_at, here)
        if not ledger.digest:
            # The first summary is due in the week after this was set up.
            ledger.digest = due
        if ledger.digest < due:
            made = await self._read("the weekly summary", _digest, now)
            if made is not None:
                ledger.digest = due
                self._put(about_week(self._called, made), now)

    async def _read(self, what: str, ask: Callable[[Connection, datetime], T], now: float) -> T | None:
        store = self._store
        assert store is not None

        def work() -> T:
            with reading(store()) as connection:
                return ask(connection, datetime.fromtimestamp(now).astimezone())

        try:
            made: T = await self._in_thread(work)
        except (StoreError, SQLAlchemyError) as error:
            NOTIFY_BLIND.emit(self._log, what=what, detail=plain_error(error))
            return None
        return made

    def _put(self, text: Text, now: float) -> None:
        for lost in self._memory.outbox.put(text, self._targets, now):
            NOTIFY_LOST.emit(self._log, subject=lost.text.title, detail="too many messages wait to be sent")

    async def _send_all(self) -> None:
        while self.running and (due := self._memory.outbox.next(self._seconds(), self._targets)) is not None:
            await self._send(*due)

    async def _send(self, letter: Letter, which: str) -> None:
        target, outbox, subject = self._targets[which], self._memory.outbox, letter.text.title
        try:
            await self._sending_thread(target.send, letter.text)
        except NotSent as error:
            wait = outbox.failed(letter, which, self._seconds())
            if wait is None:
                NOTIFY_LOST.emit(self._log, target=target.name, subject=subject, detail=str(error))
            else:
                NOTIFY_FAILING.emit(
                    self._log,
                    target=target.name,
                    subject=subject,
                    detail=str(error),
                    tried=letter.waiting[which].failed,
                    retry_s=round(wait),
                )
        else:
            outbox.sent(letter, which)
            NOTIFIED.emit(self._log, target=target.name, subject=subject)
        self._keep()

    def _sent_all(self, _: object) -> None:
        self._sending = None

    def _in_sender(self, function: Callable[..., T], /, *args: object) -> Deferred[T]:
        if self._sender is None:
            sender = OneThread("notify", self._reactor)
            sender.start()
            self._sender = sender
        return self._sender.run(function, *args)

    def _keep(self) -> None:
        """Write the memory if it has changed. One write at a time; later changes are written after it."""
        text = self._memory.to_text()
        if not self._writing and text != self._kept and self.running:
            Deferred.fromCoroutine(self._write(text)).addErrback(self._defect)

    async def _write(self, text: str) -> None:
        self._writing = True
        try:
            await self._in_thread(write_memory, self._file, text)
        except MemoryFault as fault:
            NOTIFY_MEMORY.emit(self._log, file=str(self._file), detail=str(fault))
        finally:
            # Tried again only after the next change.
            self._kept, self._writing = text, False

    def _defect(self, failure: Failure) -> None:
        DEFECT.emit(self._log, detail="looking for something to report", traceback=failure.getTraceback())


def _is_due(last: float | None, now: float) -> bool:
    return last is None or not 0 <= now - last < COUNT_EVERY


def _digest(connection: Connection, now: datetime) -> Report[DigestRow]:
    return digest(connection, Query(now=now))


def _expiring(connection: Connection, now: datetime) -> list[str]:
    rows = expiring(connection, Query(now=now, days=EXPIRING_DAYS)).rows
    return [f"{row.machine} {row.product} on {row.expires:%Y-%m-%d}" for row in rows]
