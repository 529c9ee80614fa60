"""/events: tells open pages by server-sent events that something changed; they then reload their contents.

Without listeners nothing is checked. A listener that does not read gets nothing more until it has read.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import implementer

from kmstwist.logevents import DEFECT
from kmstwist.pacing.deadlines import Deadlines
from kmstwist.web.asker import Asker
from kmstwist.web.responses import ReadOnly, send_sentence
from kmstwist.web.spool import PATIENCE
from kmstwist.web.watch import Status

#: Seconds between two checks while somebody listens, and after how many checks a sign of life is sent.
LOOK, QUIET = 2.0, 8
#: The most listeners at one time; further ones are refused, and their pages stay as they are.
MOST = 100


@implementer(IPushProducer)
class Listener:
    """One open page."""

    def __init__(self, request: Request, late: Deadlines[Listener]) -> None:
        self.request = request
        self.reads = True
        self.late = late

    def pauseProducing(self) -> None:
        """It does not read."""
        self.reads = False
        self.late.set(self)

    def resumeProducing(self) -> None:
        """It reads again."""
        self.reads = True
        self.late.pop(self, None)

    def stopProducing(self) -> None:
        """It is gone: `notifyFinish` says so."""
        self.reads = False


class Live(ReadOnly):
    """The events. `clock` is the reactor, or a test's."""

    isLeaf = True

    def __init__(self, asker: Asker, clock: IReactorTime) -> None:
        super().__init__()
        self._asker = asker
        self._listeners: list[Listener] = []
        self._loop = LoopingCall(self._look)
        self._loop.clock = clock
        #: The listeners that do not read, and when they are disconnected.
        self._late: Deadlines[Listener] = Deadlines(
            clock, PATIENCE, lambda late: late.request.channel.forceAbortClient()
        )
        self._seen = ""
        self._quiet = 0
        self._log = Logger(namespace="kmstwist.web")

    def render_GET(self, request: Request) -> Any:
        """Take a listener."""
        if len(self._listeners) >= MOST:
            send_sentence(request, 503, f"{MOST} pages are already live; this one stays as it was loaded")
            return NOT_DONE_YET
        request.setHeader("Content-Type", "text/event-stream; charset=utf-8")
        # So that a reverse proxy does not buffer the events.
        request.setHeader("X-Accel-Buffering", "no")
        if request.method == b"HEAD":
            request.finish()
            return NOT_DONE_YET
        listener = Listener(request, self._late)
        self._listeners.append(listener)
        request.notifyFinish().addBoth(lambda _: self._left(listener))
        request.registerProducer(listener, True)
        request.write(b"retry: 5000\n\n")
        if not self._loop.running:
            self._loop.start(LOOK).addErrback(self._defect)
        return NOT_DONE_YET

    def end(self) -> None:
        """End every stream: the site is about to close."""
        self._late.stop()
        for listener in list(self._listeners):
            listener.request.unregisterProducer()
            listener.request.finish()

    def _left(self, listener: Listener) -> None:
        self._listeners.remove(listener)
        self._late.pop(listener, None)
        if not self._listeners and self._loop.running:
            self._loop.stop()

    def _look(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._compare())

    async def _compare(self) -> None:
        status = await self._asker.watch.status()
        seen = _fingerprint(status, await self._asker.newest(), self._asker.changes)
        changed, self._seen = seen != self._seen, seen
        self._quiet = 0 if changed else self._quiet + 1
        if changed:
            self._tell(f"event: change\ndata: {json.dumps({'health': status.health.word})}\n\n")
        elif self._quiet % QUIET == 0:
            self._tell(": nothing new\n\n")

    def _tell(self, text: str) -> None:
        for listener in self._listeners:
            if listener.reads:
                listener.request.write(text.encode())

    def _defect(self, failure: Failure) -> None:
        DEFECT.emit(self._log, detail="the live pages", traceback=failure.getTraceback())


def _fingerprint(status: Status, newest: int, changes: int) -> str:
    """A text that changes when anything that pages show changes, and only then."""
    snapshot = status.snapshot
    return json.dumps(
        [
            newest,
            changes,
            snapshot.counters.conversations,
            snapshot.counters.reasons,
            [(one.name, one.state, one.detail, one.weight, one.priority) for one in snapshot.upstreams],
            [each.finding.sentence for each in status.standing],
            snapshot.paused,
            snapshot.leaving,
            snapshot.workers,
            snapshot.strangers,
        ]
    )
