"""Asking a view, in a thread: it reads the store and makes the page, and the reactor goes on serving clients.

Quick views and slow ones have separate turns. So a report over a large store delays only other reports, and all of them
together leave threads for others, which resolve names in them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from threading import Event
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError
from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.threads import deferToThread
from twisted.logger import Logger
from twisted.python.failure import Failure

from kmstwist.audit.engine import reading
from kmstwist.audit.plain.faults import StoreError, plain_error
from kmstwist.audit.reports.model import ReportRow
from kmstwist.logevents import DEFECT
from kmstwist.reactor import InThread
from kmstwist.web.view import Asking, Kept, NoAudit, Question, View
from kmstwist.web.watch import Status, Watch, at

#: Returns the audit's store. Raises `StoreError` if there is none at present.
Store = Callable[[], Engine]
#: How many views are asked at the same time: quick ones, and slow ones in addition.
QUICK, SLOW = 3, 2
#: The views that have an answer without a store, too.
_WITHOUT_STORE = frozenset({"overview", "latency", "hosts", "host", "lab"})

T = TypeVar("T")


class StoreTrouble(Exception):
    """The audit's store cannot be read now; the text is a sentence."""


class Gone(Exception):
    """The client went away while it waited."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A view's answer, what is wrong with the store ("" if nothing), and the age of its oldest part in seconds."""

    value: Any
    trouble: str = ""
    age: float = 0.0


class Asker:
    """Asks views. `store` is None if the audit is off; `notice` is shown above every page, "" for nothing."""

    def __init__(
        self,
        watch: Watch,
        store: Store | None,
        in_thread: InThread = deferToThread,
        *,
        notice: str = "",
    ) -> None:
        self.notice = notice
        self.watch = watch
        self.has_audit = store is not None
        self._store = store
        self._in_thread = in_thread
        self._kept = Kept()
        self._renewing = self._ended = False
        self._log = Logger(namespace="kmstwist.web")
        self._quick = DeferredSemaphore(QUICK)
        self._slow = DeferredSemaphore(SLOW)

    async def ask(
        self,
        view: View[Any],
        question: Question,
        status: Status,
        gone: Event,
        make: Callable[[Answer], T],
        *,
        old_will_do: bool = False,
    ) -> T:
        """What `make` makes of the view's answer, in a thread.

        With `old_will_do`, slow counts may be some minutes old; they are renewed afterwards. Raises `Gone`, `NoAudit`,
        `StoreTrouble` and whatever the view raises.
        """

        def work() -> T:
            return make(self._answer(view, question, status, old_will_do))

        try:
            return await self._in_turn(self._slow if view.slow else self._quick, gone, work)
        finally:
            self.keep_ready()

    def keep_ready(self) -> None:
        """Renew the counts that are due, one after the other, while pages are served."""
        if self._store is not None and not self._renewing and self._kept.due():
            self._renewing = True
            Deferred.fromCoroutine(self._renew()).addErrback(self._defect)

    async def _renew(self) -> None:
        try:
            for name in self._kept.due():
                if self._ended:
                    return
                renew = partial(self._kept.renew, name)
                work = partial(self._read, renew, await self.watch.status())
                await self._in_turn(self._slow, Event(), work)
        except StoreTrouble:
            # The pages say so.
            pass
        finally:
            self._renewing = False

    async def warm(
        self,
        asked: Sequence[tuple[View[Any], Question]],
        make: Callable[[View[Any], Question, Status, Answer], T],
    ) -> None:
        """Ask views and make their pages, one after the other, so that the first visitor need not wait."""
        for view, question in asked:
            if self._ended:
                return
            status = await self.watch.status()
            with suppress(NoAudit, StoreTrouble):
                await self.ask(view, question, status, Event(), partial(make, view, question, status))

    def end(self) -> None:
        """Stop renewing counts."""
        self._ended = True

    @property
    def changes(self) -> int:
        """How often a renewed count had changed."""
        return self._kept.changes

    def _defect(self, failure: Failure) -> None:
        DEFECT.emit(self._log, detail="counting for the site's pages", traceback=failure.getTraceback())

    async def piece(
        self, view: View[Any], question: Question, status: Status, gone: Event, after: Sequence[str]
    ) -> tuple[Sequence[ReportRow], Sequence[str]]:
        """The next piece of a long table."""
        assert view.pieces is not None
        pieces = view.pieces

        def work() -> tuple[Sequence[ReportRow], Sequence[str]]:
            return self._read(lambda asking: pieces(asking, question, after), status)

        return await self._in_turn(self._slow, gone, work)

    async def read(self, work: Callable[[Connection], T], gone: Event) -> T:
        """The result of `work` on the store, in a slow view's turn. Raises `Gone`, `StoreTrouble`, and `work`'s own."""
        store = self._store
        if store is None:
            raise NoAudit

        def in_thread() -> T:
            with _troubled(), reading(store()) as connection:
                return work(connection)

        return await self._in_turn(self._slow, gone, in_thread)

    def newest(self) -> Deferred[int]:
        """The sequence number of the newest record, read in a thread; 0 if there is none."""

        def work() -> int:
            if self._store is None:
                return 0
            try:
                with reading(self._store()) as connection:
                    return int(connection.exec_driver_sql("SELECT max(seq) FROM records").scalar() or 0)
            except (StoreError, SQLAlchemyError):
                # The pages say so.
                return 0

        return self._in_thread(work)

    def _answer(self, view: View[Any], question: Question, status: Status, old_will_do: bool) -> Answer:
        def ask(asking: Asking) -> Answer:
            value = view.ask(asking, question)
            return Answer(value, age=max(asking.ages, default=0.0))

        if self._store is None:
            return ask(self._asking(None, status))
        try:
            return self._read(ask, status, old_will_do=old_will_do)
        except StoreTrouble as trouble:
            if view.name not in _WITHOUT_STORE:
                raise
            return replace(ask(self._asking(None, status)), trouble=str(trouble))

    def _read(self, ask: Callable[[Asking], T], status: Status, *, old_will_do: bool = False) -> T:
        if self._store is None:
            raise NoAudit
        with _troubled(), reading(self._store()) as connection:
            return ask(self._asking(connection, status, old_will_do))

    def _asking(self, connection: Connection | None, status: Status, old_will_do: bool = False) -> Asking:
        return Asking(connection, status, at(status.now), self._kept, old_will_do)

    async def _in_turn(self, turns: DeferredSemaphore, gone: Event, work: Callable[[], T]) -> T:
        await turns.acquire()
        try:
            # The turn ends with the thread's work, not when the client leaves: a thread cannot be stopped.
            if gone.is_set():
                raise Gone
            made: T = await self._in_thread(work)
            return made
        finally:
            turns.release()


@contextmanager
def _troubled() -> Iterator[None]:
    """Say in one sentence why the store cannot be read."""
    try:
        yield
    except (StoreError, SQLAlchemyError) as error:
        raise StoreTrouble(f"the audit's store cannot be read: {plain_error(error)}") from error
