"""A view: one question about the site's server and what it recorded, however it is asked and answered.

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


class Question(BaseModel):
    """The parameters of a view; those of another one are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class NotThere(Exception):
    """What was asked for does not exist; the text is a sentence."""


class NoAudit(Exception):
    """There is no store to ask: the audit is off."""


class WrongParameter(ValueError):
    """A parameter that cannot be answered, found out while asking; `name` is which."""

    def __init__(self, name: str, sentence: str) -> None:
        super().__init__(sentence)
        self.name = name


@dataclass(slots=True)
class _Entry:
    """An answer that is kept `until` then; whoever has the lock works it out."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    until: float = -math.inf
    value: Any = None


class Kept:
    """Answers that take long, kept for a while: ten times as long as they took, a second at least, a minute at most.

    There are never more than `MOST`: those that were asked for longest ago go.
    """

    MOST = 100

    def __init__(self, seconds: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._entries: dict[Hashable, _Entry] = {}
        self._lock = threading.Lock()

    def get(self, name: Hashable, work: Callable[[], T]) -> T:
        """What `work` gives, or gave a short while ago. Called in threads: one does the work, the others wait."""
        with self._lock:
            entry = self._entries.pop(name, None) or _Entry()
            self._entries[name] = entry
            while len(self._entries) > self.MOST:
                del self._entries[next(iter(self._entries))]
        with entry.lock:
            began = self._seconds()
            if began < entry.until:
                kept: T = entry.value
                return kept
            made = work()
            took = self._seconds() - began
            entry.until, entry.value = began + took + min(60.0, max(1.0, 10 * took)), made
            return made


@dataclass(frozen=True, slots=True)
class Asking:
    """What a view may ask: the audit's store (None where it is off), how things stand, the time."""

    store: Connection | None
    status: Status
    now: datetime
    kept: Kept = field(default_factory=Kept)

    @property
    def connection(self) -> Connection:
        """The store's connection. Raises `NoAudit`."""
        if self.store is None:
            raise NoAudit
        return self.store


Q = TypeVar("Q", bound=Question)

#: A piece of a long table: the rows after a key, and the key after them, empty at the end.
Pieces = Callable[[Asking, Any, Sequence[str]], tuple[Sequence[ReportRow], Sequence[str]]]


@dataclass(frozen=True, slots=True)
class View(Generic[Q]):
    """One view. `name` is its path; without a `template` it has no page; without `rows` no download.

    `row_type` is the table's row; `rows` takes them out of an answer. A table that may be long is downloaded in
    `pieces`. A `slow` view waits for its turn among its own kind, so that quick ones need not wait for it.
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
