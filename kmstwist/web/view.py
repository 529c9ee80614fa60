"""A view: one question about the server and its records, independent of how it is asked and answered.

The same view is a page, an endpoint of the API and the source of a download. Its question is a pydantic model, so that
its parameters are checked, explained and documented in one place; its answer is a dataclass.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection

from kmstwist.audit.reports.model import ReportRow
from kmstwist.web.watch import Status

T = TypeVar("T")
#: From how many seconds on a page says how old its numbers are.
TOLD = 10.0


class Question(BaseModel):
    """The parameters of a view; unknown ones are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class NotThere(Exception):
    """The thing asked for does not exist; the text is a sentence."""


class NoAudit(Exception):
    """There is no store to ask: the audit is off."""


class WrongParameter(ValueError):
    """A parameter that turned out to be wrong while the view was asked; `name` says which."""

    def __init__(self, name: str, sentence: str) -> None:
        super().__init__(sentence)
        self.name = name


@dataclass(frozen=True, slots=True)
class _Made:
    """A value, when its computation began, and how long that took (seconds)."""

    value: Any
    began: float
    took: float

    def lasts(self, now: float) -> bool:
        """Whether it is still fresh: for ten times as long as it took, at least a second and at most a minute."""
        return now < self.began + self.took + min(60.0, max(1.0, 10 * self.took))


@dataclass(slots=True)
class _Entry:
    """An answer that is kept, and how to compute it; whoever has the lock computes it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    made: _Made | None = None
    asked: float = -math.inf
    work: Callable[[Asking], Any] | None = None
    wanted: bool = False


class Kept:
    """Answers that take long, kept for a while.

    A page may show an older one: its reader need not wait and sees how old it is, and it is renewed meanwhile (`due`,
    `renew`). An answer that takes long and was asked for today is renewed every few minutes, so that it is ready when
    somebody looks; an interval of 400 times the computation keeps this to a small part of a processor.

    There are never more than `MOST`: those that were asked for longest ago are dropped.
    """

    MOST = 100
    #: In seconds: the greatest age that a page shows; from which computing time on an answer is kept ready, how often
    #: it is renewed, and for how long after it was asked for.
    OLDEST, LONG, EVERY, TODAY = 900.0, 0.05, 120.0, 86_400.0

    def __init__(self, seconds: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._entries: dict[Hashable, _Entry] = {}
        self._lock = threading.Lock()
        #: How often a renewed answer had changed, or replaced one that was shown as old.
        self.changes = 0

    def get(self, name: Hashable, asking: Asking, work: Callable[[Asking], T]) -> T:
        """The result of `work`, or an earlier one. Called in threads: one does the work, the others wait."""
        with self._lock:
            entry = self._entries.pop(name, None) or _Entry()
            self._entries[name] = entry
            while len(self._entries) > self.MOST:
                del self._entries[next(iter(self._entries))]
        now = self._seconds()
        entry.asked, entry.work = now, work
        made = entry.made
        if made is None or not asking.old_will_do or now - made.began > self.OLDEST:
            made = self._fresh(entry, asking)
        elif not made.lasts(now):
            entry.wanted = True
        asking.ages.append(max(0.0, self._seconds() - made.began - made.took))
        value: T = made.value
        return value

    def _fresh(self, entry: _Entry, asking: Asking) -> _Made:
        with entry.lock:
            began = self._seconds()
            if entry.made is None or not entry.made.lasts(began):
                assert entry.work is not None
                value = entry.work(asking)
                entry.made = _Made(value, began, self._seconds() - began)
            entry.wanted = False
            return entry.made

    def due(self) -> list[Hashable]:
        """The names of the answers that should be renewed."""
        now = self._seconds()
        with self._lock:
            entries = list(self._entries.items())
        return [name for name, entry in entries if entry.made is not None and (entry.wanted or self._old(entry, now))]

    def _old(self, entry: _Entry, now: float) -> bool:
        made = entry.made
        if made is None or made.took < self.LONG or now - entry.asked > self.TODAY:
            return False
        return now - made.began > max(self.EVERY, 400 * made.took)

    def renew(self, name: Hashable, asking: Asking) -> None:
        """Renew one answer. Call it in a thread."""
        entry = self._entries.get(name)
        if entry is None:
            return
        before, wanted = entry.made, entry.wanted
        made = self._fresh(entry, asking)
        if before is None or made is before:
            return
        # A reader who saw an old answer must learn of the new one.
        if made.value != before.value or (wanted and made.began - before.began >= TOLD):
            self.changes += 1


@dataclass(frozen=True, slots=True)
class Asking:
    """What a view may use: the audit's store (None if it is off), the server's status, the time.

    With `old_will_do`, kept answers may be too old to be fresh; `ages` has the age of each one used, in seconds.
    """

    store: Connection | None
    status: Status
    now: datetime
    kept: Kept = field(default_factory=Kept)
    old_will_do: bool = False
    ages: list[float] = field(default_factory=list)

    @property
    def connection(self) -> Connection:
        """The store's connection. Raises `NoAudit`."""
        if self.store is None:
            raise NoAudit
        return self.store

    def keep(self, name: Hashable, work: Callable[[Asking], T]) -> T:
        """The result of `work`, or an earlier one. `work` may be called again later, with another `Asking`."""
        return self.kept.get(name, self, work)


Q = TypeVar("Q", bound=Question)

#: A piece of a long table: the rows after a key, and the key after them, empty at the end.
Pieces = Callable[[Asking, Any, Sequence[str]], tuple[Sequence[ReportRow], Sequence[str]]]


@dataclass(frozen=True, slots=True)
class View(Generic[Q]):
    """One view. `name` is its path; without a `template` it has no page, without `rows` no download.

    `row_type` is the table's row; `rows` takes the rows out of an answer. A table that may be long is downloaded in
    `pieces`. A `slow` view waits only for other slow views, so that quick ones need not wait for it.
    """

    name: str
    title: str
    summary: str
    question: type[Q]
    answer: type[Any]
    ask: Callable[[Asking, Any], Any]
    template: str = ""
    row_type: type[ReportRow] | None = None
    rows: Callable[[Any], Sequence[ReportRow]] | None = None
    pieces: Pieces | None = None
    slow: bool = False
