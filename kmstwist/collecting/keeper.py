"""Received messages, until they are in the store.

Their number and their bytes are limited. Messages that cannot be stored wait; when there is no more room, TCP
connections are no longer read, so that the senders keep their messages, and datagrams are dropped and counted. A
message is removed only after it has been stored.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from datetime import tzinfo
from pathlib import Path

from sqlalchemy import Engine

from kmstwist.audit.asking.facts import stored_privacy
from kmstwist.audit.engine import open_engine
from kmstwist.audit.events.importer import Importer, ImportResult
from kmstwist.audit.events.join import Resolver
from kmstwist.audit.events.model import BrokenEvent, RawEvent
from kmstwist.audit.events.reading.times import Times
from kmstwist.audit.store import is_data_fault
from kmstwist.collecting.message import read_message

MOST_MESSAGES = 20_000
MOST_BYTES = 32 << 20
#: How many messages are stored together.
BATCH = 1000


@dataclass(slots=True)
class Counts:
    """The outcomes of messages: `received` counts all, `new`, `known`, `other` and `broken` what they contained.

    `refused` counts messages from senders that are not configured, `dropped` those that were too long or for which
    there was no room; neither kind was taken.
    """

    received: int = 0
    new: int = 0
    known: int = 0
    other: int = 0
    broken: int = 0
    refused: int = 0
    dropped: int = 0

    def add(self, other: Counts) -> None:
        """Add the counts of `other`."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))


@dataclass(slots=True)
class Waiting:
    """The messages that wait, each with its sender."""

    messages: int = MOST_MESSAGES
    size: int = MOST_BYTES
    queue: deque[tuple[bytes, str]] = field(default_factory=deque)
    held: int = 0

    @property
    def full(self) -> bool:
        """Whether no more is to be read."""
        return len(self.queue) >= self.messages or self.held >= self.size

    def put(self, message: bytes, sender: str) -> None:
        """Add a message that was received."""
        self.queue.append((message, sender))
        self.held += len(message)

    def first(self, most: int) -> list[tuple[bytes, str]]:
        """The first messages, without removing them."""
        return [self.queue[at] for at in range(min(most, len(self.queue)))]

    def done(self, number: int) -> None:
        """Remove the first `number` messages, which are in the store now."""
        for _ in range(number):
            self.held -= len(self.queue.popleft()[0])


class Store:
    """The audit's store for messages; its calls block. `now` returns the seconds since 1970."""

    def __init__(self, store: str, zone: tzinfo, resolve: Resolver, now: Callable[[], float]) -> None:
        self._store = store
        self._zone = zone
        self._resolve = resolve
        self._now = now
        self._engine: Engine | None = None

    def take_in(self, messages: Sequence[tuple[bytes, str]]) -> tuple[Counts, list[BrokenEvent]]:
        """Store the events in messages. Returns the outcomes, and some of the broken events.

        Raises StoreError, OSError and SQLAlchemy's errors; after any of them, all messages may be tried again.
        """
        if self._engine is None:
            self._engine = open_engine(self._store)
        importer = Importer(self._engine, stored_privacy(self._engine), self._resolve, now=self._now)
        counts, broken = Counts(), list[BrokenEvent]()
        self._take_in(importer, list(messages), counts, broken)
        return counts, broken

    def _take_in(
        self, importer: Importer, messages: list[tuple[bytes, str]], counts: Counts, broken: list[BrokenEvent]
    ) -> None:
        result = ImportResult(Path())
        others = 0

        def events() -> Iterator[RawEvent | BrokenEvent]:
            nonlocal others
            times = Times(self._zone, int(self._now() * 1000))
            for message, sender in messages:
                event = read_message(message, f"a message from {sender}", times)
                if event is None:
                    others += 1
                else:
                    yield event

        try:
            importer.take_in(events(), result)
        except Exception as error:
            if not is_data_fault(error):
                raise
            if len(messages) == 1:
                # The database can never hold it.
                counts.broken += 1
                broken.append(BrokenEvent(f"a message from {messages[0][1]}", str(error).splitlines()[0]))
                return
            middle = len(messages) // 2
            self._take_in(importer, messages[:middle], counts, broken)
            self._take_in(importer, messages[middle:], counts, broken)
            return
        counts.add(Counts(new=result.imported, known=result.known, other=result.other + others, broken=result.broken))
        broken += result.shown

    def close(self) -> None:
        """Let go of the store."""
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None
