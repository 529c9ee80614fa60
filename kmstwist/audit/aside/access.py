"""Access to the store, for one at a time: the writer's thread, or a process aside while many records come.

Why a process. SQLite's driver takes the interpreter's lock a few times for each statement, and a thread that asks for
it beside a reactor that works waits each time, and the reactor with it: some 45 times for a batch. Another process has
a lock of its own; the reactor sends it a batch's records, and hears one byte.

Why not always. It takes memory, and a server that is asked now and then gains nothing from it. So it is there while
many records come, and can be done without at every moment: what it did not store, the thread stores.
"""

from __future__ import annotations

import marshal
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, TypeVar, TypeVarTuple, cast

from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from kmstwist.audit.aside import process
from kmstwist.audit.aside.committer import Committer
from kmstwist.audit.plain.faults import StoreUnavailable
from kmstwist.audit.plain.waiting import Done
from kmstwist.audit.records import Record
from kmstwist.audit.rows import values_of
from kmstwist.audit.storage import Storage
from kmstwist.logevents import AUDIT_ASIDE_ENDED
from kmstwist.reactor import Reactor
from kmstwist.system.threads import OneThread, tell
from kmstwist.transport.fdset import Accepted, set_of
from kmstwist.transport.sending import Sender

#: Records within a second for which a process is started.
MANY: Final = 200
#: Seconds without as many after which it ends; and after which another may be started in place of one that failed.
STAYS: Final = 60
#: Bytes that are read at once from a process that answers a batch with one.
_ANSWER: Final = 64
#: Seconds that it may take to answer beside those for another process's lock: a stopped one never does.
HANGS: Final = 10.0


def message(rows: list[tuple[Any, ...]]) -> bytes:
    """A batch as `process` reads it. Raises ValueError where not every value can be sent."""
    batch = marshal.dumps(rows)
    return process.LENGTH.pack(len(batch)) + batch


def _nobody(_result: Exception | None) -> None:
    pass


_NOTHING: Final[tuple[Sequence[Record], Done]] = (), _nobody

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")


class StoreAccess:
    """Has the store used by one at a time, in the order of the calls.

    `thread` is the writer's, where blocking functions run; `patience` is SQLite's, in seconds. All methods are for the
    reactor's thread.
    """

    log = Logger()

    def __init__(self, storage: Storage, reactor: Reactor, thread: OneThread, patience: float) -> None:
        self._storage = storage
        self._reactor = reactor
        self._thread = thread
        self._patience = patience
        #: Whether somebody uses it, and what begins the use of those who wait for their turn.
        self._taken = False
        self._waiting: deque[Callable[[], object]] = deque()
        self._channel: _Channel | None = None
        #: The batch that the process aside was asked to store, and who is told.
        self._asked: tuple[Sequence[Record], Done] = _NOTHING
        #: Records in this second, and the seconds since there were many.
        self._records = 0
        self._quiet = 0
        #: Seconds to go until a process may be started.
        self._pause = 0
        #: How many records such processes have stored.
        self.stored_aside = 0

    @property
    def pid(self) -> int | None:
        """The process that is there."""
        return None if self._channel is None else self._channel.committer.pid

    def run(self, function: Callable[[*_Ts], _T], *arguments: *_Ts) -> Deferred[_T]:
        """Run a blocking function that uses the store in the writer's thread; fires with its result."""
        done: Deferred[_T] = Deferred()

        def ended(result: _T | Failure) -> None:
            self._next()
            tell(done, result)

        begin = partial(self._thread.give, (function, arguments, ended))

        if self._taken:
            self._waiting.append(begin)
        else:
            self._taken = True
            begin()
        return done

    def commit(self, batch: Sequence[Record], done: Done) -> None:
        """Commit a batch; `done` is told when it is on the disk, or why it is not, as `Storage.insert` raises it."""
        if self._taken:
            self._waiting.append(partial(self._commit, batch, done))
        else:
            self._taken = True
            self._commit(batch, done)

    def _commit(self, batch: Sequence[Record], done: Done) -> None:
        self._records += len(batch)
        channel = self._channel
        if channel is not None and channel.ready:
            try:
                asked = message(list(map(values_of, batch)))
            except ValueError:
                # Not every value can be sent; SQLite's driver may take it.
                pass
            else:
                self._asked = batch, done
                channel.ask(asked)
                return
        self._in_thread(done, self._storage.insert, batch)

    def _answered(self, said: bytes | None) -> None:
        """Go on after what the process said of a batch; None where it ended before it said anything."""
        (batch, done), self._asked = self._asked, _NOTHING
        if said == process.STORED:
            self.stored_aside += len(batch)
            if self._waiting:
                self._next()
            else:
                self._taken = False
            done(None)
        elif said == process.LOST:
            # It looks at the file as the server does, and looked last.
            self._in_thread(done, self._storage.lose)
        else:
            # If it ended, the batch may be stored; if it could not store it, the thread learns why.
            self._in_thread(done, partial(self._storage.insert, batch, again=True))

    def _in_thread(self, done: Done, function: Callable[..., object], *arguments: object) -> None:
        """Do for a batch in the thread what the process aside does not."""
        self._thread.give((function, arguments, partial(self._ended, done)))

    def _ended(self, done: Done, result: object) -> None:
        self._next()
        error = cast(Exception, result.value) if isinstance(result, Failure) else None
        done(error)

    def _next(self) -> None:
        """Let the next one have its turn."""
        if self._waiting:
            self._waiting.popleft()()
        else:
            self._taken = False

    # -- the process

    def tick(self) -> None:
        """A second has gone by: start a process where many records came, and end it where few do."""
        many, self._records = self._records >= MANY, 0
        self._quiet = 0 if many else self._quiet + 1
        self._pause = max(0, self._pause - 1)
        channel = self._channel
        if channel is None:
            if many and not self._pause:
                # For as long as it takes: none may be started besides.
                self._pause = STAYS
                self.run(self._storage.start_committer).addCallbacks(self._started, self._not_started)
        elif self._quiet >= STAYS and channel.asked_at is None:
            self.run(self._storage.end_committer)

    def end_hung(self) -> None:
        """End the process where it hangs. Call it once a second, whoever waits for a turn: none comes until then."""
        channel = self._channel
        if channel is None or channel.asked_at is None:
            return
        if self._reactor.seconds() - channel.asked_at > self._patience + HANGS:
            channel.hung = True
            channel.committer.kill()

    def _started(self, committer: Committer | None) -> None:
        self._pause = 0
        if committer is not None:
            channel = self._channel = _Channel(
                committer, self._reactor.seconds, self._ready, self._answered, self._gone
            )
            # Not by the reactor's own way of adopting it, which expects descriptors to come, and reads for that.
            there = UNIXAddress(None)
            channel.makeConnection(Accepted(committer.channel, channel, there, None, set_of(self._reactor)))

    def _not_started(self, failure: Failure) -> None:
        failure.trap(OSError)
        self._failed(None, str(failure.value))

    def _ready(self, channel: _Channel) -> None:
        """It has opened the file. Look once more whether that is still the server's file, and then give it batches."""

        def taken(_: object) -> None:
            channel.ready = True

        # What is wrong with it is found by the next batch, too, and told there.
        self.run(self._storage.look).addCallbacks(taken, lambda failure: failure.trap(StoreUnavailable))

    def _gone(self, channel: _Channel) -> None:
        self._channel = None
        channel.committer.channel.close()
        if not channel.committer.told_to_end:
            ended = self._thread.run(self._storage.end_committer)
            ended.addCallback(self._has_ended, channel)

    def _has_ended(self, status: int | None, channel: _Channel) -> None:
        self._failed(status, "it hung" if channel.hung else channel.committer.last_words or "it ended")

    def _failed(self, status: int | None, detail: str) -> None:
        self._pause = STAYS
        AUDIT_ASIDE_ENDED.emit(self.log, status=status, detail=detail)


class _Channel(Protocol):
    """The socket to a process aside: a batch is sent, one byte comes back."""

    def __init__(
        self,
        committer: Committer,
        seconds: Callable[[], float],
        opened: Callable[[_Channel], None],
        answered: Callable[[bytes | None], None],
        gone: Callable[[_Channel], None],
    ) -> None:
        self.committer = committer
        self._seconds = seconds
        self._opened = opened
        self._answered = answered
        self._gone = gone
        self._sender: Sender | None = None
        #: When it was asked what it has not answered yet: to be ready, first of all. And whether a batch is that.
        self.asked_at: float | None = seconds()
        self._has_batch = False
        #: Whether it takes batches, and whether it was killed because it did not answer.
        self.ready = False
        self.hung = False

    def connectionMade(self) -> None:
        """Have it sent to."""
        transport: Any = self.transport
        # Twisted makes room for 64 KiB before each read.
        transport.bufferSize = _ANSWER
        self._sender = Sender(transport)

    def ask(self, batch: bytes) -> None:
        """Send a batch; what the process says of it is `answered`."""
        assert self._sender is not None
        self._has_batch, self.asked_at = True, self._seconds()
        self._sender.send(batch)

    def dataReceived(self, data: bytes) -> None:
        """Take its byte."""
        self.asked_at = None
        if self._has_batch:
            self._has_batch = False
            self._answered(data)
        else:
            self._opened(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """It ended, by itself or because it was told to."""
        self.ready = False
        has_batch, self._has_batch, self.asked_at = self._has_batch, False, None
        self._gone(self)
        if has_batch:
            self._answered(None)
