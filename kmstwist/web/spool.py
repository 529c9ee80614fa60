"""Long answers, compressed in memory until the client has read them.

A report of hundreds of thousands of rows is read from the store at once, since a transaction must not wait for a slow
client; it must not be in memory as plain text, since that is a hundred megabytes. Compressed it is a tenth of that. The
answers that wait have a common limit, and a client that does not read is disconnected.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from threading import Event

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPullProducer, IReactorTime
from twisted.web.server import Request
from zope.interface import implementer

from kmstwist.pacing.deadlines import Deadlines
from kmstwist.web.asker import Gone

#: How many bytes of text are compressed, and sent, at a time.
_BLOCK = 1 << 17
#: The most compressed bytes that may wait at one time.
MOST = 1 << 27
#: Within how many seconds a client must take a block.
PATIENCE = 60.0


class Crowded(Exception):
    """There is no room for another long answer at present; the text is a sentence."""


class Spooled:
    """A whole answer, in compressed blocks."""

    def __init__(self) -> None:
        self.blocks: list[bytes] = []
        self.length = 0
        self.size = 0


class Spool:
    """All answers that wait. `reactor` gives the time."""

    def __init__(self, reactor: IReactorTime, most: int = MOST) -> None:
        self._most = most
        self._waiting: set[Spooled] = set()
        self._late: Deadlines[Sending] = Deadlines(reactor, PATIENCE, _cut)

    def fill(self, pieces: Iterable[str], gone: Event) -> Spooled:
        """Compress a text; call it in a thread. Raises `Gone`, `Crowded`, and whatever making the pieces raises."""
        spooled = Spooled()
        self._waiting.add(spooled)
        try:
            text: list[str] = []
            length = 0
            for piece in pieces:
                text.append(piece)
                length += len(piece)
                if length >= _BLOCK:
                    self._add(spooled, "".join(text), gone)
                    text, length = [], 0
            self._add(spooled, "".join(text), gone)
        except BaseException:
            self.drop(spooled)
            raise
        return spooled

    def _add(self, spooled: Spooled, text: str, gone: Event) -> None:
        if gone.is_set():
            raise Gone
        block = text.encode()
        spooled.length += len(block)
        spooled.blocks.append(zlib.compress(block, 1))
        spooled.size += len(spooled.blocks[-1])
        # A copy, since other threads fill theirs meanwhile.
        if sum(each.size for each in tuple(self._waiting)) > self._most:
            raise Crowded("too many long reports are being downloaded at the same time; try again in a minute")

    def drop(self, spooled: Spooled) -> None:
        """Drop an answer that was read, or that nobody waits for."""
        self._waiting.discard(spooled)

    def send(self, request: Request, spooled: Spooled, kind: str, gone: Event) -> Deferred[None]:
        """Send an answer as fast as the client reads. Fires when it is sent or the client is gone."""
        request.setHeader("Content-Type", f"{kind}; charset=utf-8")
        request.setHeader("Content-Length", str(spooled.length))
        sending = Sending(request, spooled, gone, self._late)
        sending.done.addBoth(lambda _: self.drop(spooled))
        if request.method == b"HEAD":
            sending.end()
        else:
            self._late.set(sending)
            request.notifyFinish().addErrback(lambda _: sending.stopProducing())
            request.registerProducer(sending, False)
        return sending.done

    def stop(self) -> None:
        """The site is about to close."""
        self._late.stop()


@implementer(IPullProducer)
class Sending:
    """One answer on its way."""

    def __init__(self, request: Request, spooled: Spooled, gone: Event, late: Deadlines[Sending]) -> None:
        self.request = request
        self.done: Deferred[None] = Deferred()
        self._blocks = iter(spooled.blocks)
        self._gone = gone
        self._late = late
        self._over = False

    def resumeProducing(self) -> None:
        """The client has read the last block."""
        if self._over or self._gone.is_set():
            return
        self._late.set(self)
        block = next(self._blocks, None)
        if block is not None:
            self.request.write(zlib.decompress(block))
            return
        self.request.unregisterProducer()
        self.end()

    def end(self) -> None:
        """All was sent."""
        self.request.finish()
        self.stopProducing()

    def stopProducing(self) -> None:
        """There is no more to do."""
        self._late.pop(self, None)
        if not self._over:
            self._over = True
            self.done.callback(None)


def _cut(sending: Sending) -> None:
    """Disconnect a client that does not read."""
    sending.request.channel.forceAbortClient()
