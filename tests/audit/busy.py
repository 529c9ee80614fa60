"""A store that gets enough records for the process aside to be started."""

from __future__ import annotations

from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from kmstwist.audit.aside.access import MANY, StoreAccess
from kmstwist.audit.records import Record
from kmstwist.audit.storage import Storage
from kmstwist.system.threads import OneThread
from tests.audit.making import START, opaque
from tests.reactors import reactor

BATCH = 24


class Busy:
    """A store to which as many records come as have the process started."""

    def __init__(self, folder: Path, patience: float = 0.05) -> None:
        self.path = folder / "audit.sqlite"
        self.storage = Storage(str(self.path), patience, lambda _engine: None)
        self.storage.open()
        self.thread = OneThread("writer", reactor)
        self.thread.start()
        self.access = StoreAccess(self.storage, reactor, self.thread, patience)
        self.stored = 0

    def batch(self, number: int = BATCH) -> list[Record]:
        self.stored += number
        return [opaque(START + self.stored + at) for at in range(number)]

    async def store(self, batch: list[Record] | None = None) -> None:
        """Have a batch stored as the server has."""
        await self.committed(self.batch() if batch is None else batch)

    def committed(self, batch: list[Record]) -> Deferred[None]:
        """Have a batch stored; fires when it is."""
        done: Deferred[None] = Deferred()
        self.access.commit(batch, lambda error: done.callback(None) if error is None else done.errback(error))
        return done

    async def until_there(self) -> int:
        """Store batches until the process does; its pid."""
        before = self.access.stored_aside
        await self.store(self.batch(MANY))
        self.access.tick()
        while self.access.stored_aside == before:
            await self.store()
        assert self.access.pid is not None
        return self.access.pid

    async def until_gone(self) -> None:
        """Wait until the server has noticed that the process is gone."""
        while self.access.pid is not None:
            await deferLater(reactor, 0.01)
        await self.access.run(lambda: None)

    def close(self) -> Deferred[None]:
        """End as the server does."""
        return self.access.run(self.storage.close)
