"""Tables as CSV and JSON, whole or in pieces: a long one is never in memory at once, however slowly it is read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from threading import Event
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.web.server import Request
from zope.interface import implementer

from kmstwist.audit.reports.model import Report, ReportRow
from kmstwist.audit.reports.render import as_data, to_csv
from kmstwist.reactor import installed_reactor
from kmstwist.web.asker import Asker
from kmstwist.web.spool import PATIENCE
from kmstwist.web.view import Question, View
from kmstwist.web.watch import Status

KINDS = {"csv": "text/csv", "json": "application/json"}


def table_csv(view: View[Any], rows: Sequence[ReportRow], *, heading: bool = True) -> bytes:
    """Rows as CSV with the columns' names in the first line, as the command line's reports."""
    assert view.row_type is not None
    text = to_csv(Report(view.name, view.title, view.row_type, rows))
    return text.encode() if heading else text.partition("\r\n")[2].encode()


def table_json(view: View[Any], rows: Sequence[ReportRow], *, first: bool = True) -> bytes:
    """Rows as JSON objects with commas between them; the caller adds the brackets."""
    assert view.row_type is not None
    columns = Report(view.name, view.title, view.row_type, rows).columns
    objects = (
        json.dumps({each.name: as_data(getattr(row, each.name), each.kind) for each in columns}, ensure_ascii=False)
        for row in rows
    )
    text = ",\n".join(objects)
    return (text if first or not text else f",\n{text}").encode()


def whole(view: View[Any], form: str, rows: Sequence[ReportRow]) -> bytes:
    """A whole table that is not long."""
    if form == "csv":
        return table_csv(view, rows)
    return b'{"rows": [\n' + table_json(view, rows) + b"\n]}\n"


@implementer(IPushProducer)
class Download:
    """Sends a long table piece by piece. No thread, turn or transaction is held while the client reads.

    A client that does not take a piece within a minute is disconnected.
    """

    def __init__(
        self,
        asker: Asker,
        view: View[Any],
        question: Question,
        status: Status,
        gone: Event,
        clock: IReactorTime | None = None,
    ) -> None:
        self._clock = clock or installed_reactor()
        self._late: IDelayedCall | None = None
        self._request: Request | None = None
        self._asker = asker
        self._view = view
        self._question = question
        # One fixed time, since otherwise rows would move between two pieces.
        self._status = replace(status)
        self._gone = gone
        self._reading: Deferred[None] | None = None

    def pauseProducing(self) -> None:
        """The client has enough to read."""
        if self._reading is None:
            self._reading = Deferred()
            self._late = self._clock.callLater(PATIENCE, self._cut)

    def resumeProducing(self) -> None:
        """The client has read the last piece."""
        waiting, self._reading = self._reading, None
        late, self._late = self._late, None
        if late is not None and late.active():
            late.cancel()
        if waiting is not None:
            waiting.callback(None)

    def stopProducing(self) -> None:
        """The client is gone."""
        self._gone.set()
        self.resumeProducing()

    def _cut(self) -> None:
        """The client has read too little for too long."""
        if self._request is not None:
            self._request.channel.forceAbortClient()

    async def send(self, request: Request, form: str) -> None:
        """Send everything. Errors before the first byte are raised, so that the client can be told."""
        make = table_csv if form == "csv" else table_json
        rows, after = await self._piece(())
        if self._gone.is_set():
            return
        request.setHeader("Content-Type", f"{KINDS[form]}; charset=utf-8")
        self._request = request
        request.registerProducer(self, True)
        try:
            request.write((b"" if form == "csv" else b'{"rows": [\n') + make(self._view, rows))
            while after and not self._gone.is_set():
                if self._reading is not None:
                    await self._reading
                rows, after = await self._piece(after)
                if not self._gone.is_set():
                    body = (
                        table_csv(self._view, rows, heading=False)
                        if form == "csv"
                        else table_json(self._view, rows, first=False)
                    )
                    request.write(body)
            if not self._gone.is_set() and form == "json":
                request.write(b"\n]}\n")
        finally:
            if not self._gone.is_set():
                request.unregisterProducer()
                # The connection sends the rest of the buffer, and is closed in time.
                self.resumeProducing()
        if not self._gone.is_set():
            request.finish()

    async def _piece(self, after: Sequence[str]) -> tuple[Sequence[ReportRow], Sequence[str]]:
        return await self._asker.piece(self._view, self._question, self._status, self._gone, after)
