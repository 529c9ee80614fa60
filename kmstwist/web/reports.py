"""The audit's reports on the site: /reports/ lists them, /reports/NAME shows one, with the command line's parameters.

The other formats are byte for byte what the command prints, except for the store's name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from threading import Event
from typing import Any

from sqlalchemy import Connection
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET, Request

from kmstwist.audit.reports.all import REPORTS
from kmstwist.audit.reports.filters import QueryError
from kmstwist.audit.reports.model import (
    Bucket,
    ColumnInfo,
    Kind,
    LongReport,
    Query,
    Report,
    ReportDefinition,
    ReportRow,
)
from kmstwist.audit.reports.render import as_text, csv_pieces, json_pieces, markdown_pieces, worth_showing
from kmstwist.audit.reports.times import check_order, parse_when
from kmstwist.reasons import Reason
from kmstwist.web.asker import Asker, Gone, StoreTrouble
from kmstwist.web.pages import AUDIT_OFF, common, problem_page
from kmstwist.web.rendering import LONG, render, url
from kmstwist.web.responses import ReadOnly, failed, log_defect, send, send_sentence
from kmstwist.web.spool import Crowded, Spool, Spooled
from kmstwist.web.validating import Mistakes, read_words
from kmstwist.web.watch import Status, at

#: The most rows that a page shows; the other formats have all.
HTML_ROWS = 50
#: As on the command line.
_MOST_DAYS = 3650


def _json(head: Report[ReportRow], rows: Iterable[ReportRow]) -> Iterator[str]:
    yield from json_pieces(head, rows)
    yield "\n"


_RENDERED: Mapping[str, tuple[str, Callable[[Report[ReportRow], Iterable[ReportRow]], Iterator[str]]]] = {
    "csv": ("text/csv", csv_pieces),
    "json": ("application/json", _json),
    "markdown": ("text/markdown", markdown_pieces),
}
_FORMATS = ("html", *_RENDERED)
#: The parameters in the form's order, with an example of each.
FIELDS = {
    "since": "7d or 2026-06-01",
    "until": "12h or 2026-06-30",
    "machine": "pc1* or 10.1.0.7",
    "network": "10.1.0.0/16",
    "product": "*LTSC*",
    "upstream": "kms1*",
    "days": "30",
    "by": "day",
}


@dataclass(frozen=True, slots=True)
class ReportQuestion:
    """A request's question: the report, its query, the answer's format, and the texts that were given."""

    definition: ReportDefinition
    query: Query
    form: str
    words: Mapping[str, str]


def understand_report(definition: ReportDefinition, args: Mapping[bytes, list[bytes]], now: datetime) -> ReportQuestion:
    """The question in a request's parameters; empty ones are ignored. Raises `Mistakes`."""
    words = read_words(args)
    asked = dict(words)
    form = asked.pop("format", "html")
    wrong: dict[str, str] = {}
    if form not in _FORMATS:
        wrong["format"] = f"{form!r} is not a format; there are {', '.join(_FORMATS)}"
    values: dict[str, Any] = {}
    for name, text in asked.items():
        if name not in definition.heeds:
            wrong[name] = f"the report {definition.name} does not take {name!r}"
            continue
        try:
            values[name] = _value(name, text, now)
        except ValueError as error:
            wrong[name] = str(error)
    try:
        check_order(values.get("since"), values.get("until"))
    except ValueError as error:
        wrong["until"] = str(error)
    if wrong:
        raise Mistakes(wrong, words)
    return ReportQuestion(definition, Query(now=now, **values), form, asked)


def _value(name: str, text: str, now: datetime) -> object:
    match name:
        case "since" | "until":
            return parse_when(text, now)
        case "days":
            if text.isdecimal() and len(text) <= len(str(_MOST_DAYS)) and int(text) <= _MOST_DAYS:
                return int(text)
            raise ValueError(f"{text!r} is not a number of days from 0 to {_MOST_DAYS}")
        case "by":
            if text in list(Bucket):
                return Bucket(text)
            raise ValueError(f"{text!r} is not one of {', '.join(Bucket)}")
        case _:
            return text


class Reports(ReadOnly):
    """/reports/ and everything under it."""

    isLeaf = True

    def __init__(self, asker: Asker, spool: Spool) -> None:
        super().__init__()
        self._asker = asker
        self._spool = spool

    def render_GET(self, request: Request) -> int:
        """Find the report, or list them."""
        gone = Event()

        def left(_: Failure) -> None:
            gone.set()

        def defect(failure: Failure) -> None:
            if not failure.check(Gone):
                (log_defect if gone.is_set() else failed)(request, failure)

        request.notifyFinish().addErrback(left)
        Deferred.fromCoroutine(self._begin(request, gone)).addErrback(defect)
        return NOT_DONE_YET

    async def _begin(self, request: Request, gone: Event) -> None:
        status = await self._asker.watch.status()
        name = b"/".join(request.postpath or ()).decode(errors="replace")
        if gone.is_set():
            return
        if not self._asker.has_audit:
            send(request, 404, "text/html", self._problem(status, 404, AUDIT_OFF))
        elif not name:
            page = render(
                "reports.html", **common(self._asker, status, "reports"), title="Reports", reports=REPORTS.values()
            )
            send(request, 200, "text/html", page)
        elif name not in REPORTS:
            sentence = f"there is no report {name!r}; there are {', '.join(REPORTS)}"
            send(request, 404, "text/html", self._problem(status, 404, sentence))
        else:
            await self._report(request, REPORTS[name], status, gone)

    async def _report(self, request: Request, definition: ReportDefinition, status: Status, gone: Event) -> None:
        try:
            question = understand_report(definition, request.args or {}, at(status.now))
            kind, made = await self._asker.read(lambda connection: self._made(connection, question, status, gone), gone)
        except Mistakes as mistakes:
            self._mistaken(request, definition, status, mistakes, gone)
            return
        except (StoreTrouble, Crowded) as error:
            if not gone.is_set():
                send(request, 503, "text/html", self._problem(status, 503, str(error)))
            return
        if isinstance(made, bytes):
            if not gone.is_set():
                send(request, 200, kind, made)
            return
        if gone.is_set():
            self._spool.drop(made)
            return
        if question.form == "csv":
            name = f"kmstwist-{definition.name}.csv"
            request.setHeader("Content-Disposition", f'attachment; filename="{name}"')
        await self._spool.send(request, made, kind, gone)

    def _mistaken(
        self, request: Request, definition: ReportDefinition, status: Status, mistakes: Mistakes, gone: Event
    ) -> None:
        if gone.is_set():
            return
        if mistakes.words.get("format", "html") in _RENDERED:
            send_sentence(request, 400, str(mistakes))
            return
        send(request, 400, "text/html", self._page(definition, status, None, mistakes.words, mistakes.sentences))

    def _problem(self, status: Status, code: int, sentence: str) -> bytes:
        return problem_page(self._asker, status, code, sentence, "reports")

    def _made(
        self, connection: Connection, question: ReportQuestion, status: Status, gone: Event
    ) -> tuple[str, bytes | Spooled]:
        """The answer's media type and body. Blocks: call it in a thread. Raises `Crowded`, `Gone` and `Mistakes`."""
        definition = question.definition
        page = question.form == "html"
        try:
            if definition.at_length is not None:
                asked = definition.at_length(connection, question.query, HTML_ROWS if page else None)
            else:
                whole = definition.ask(connection, question.query)
                asked = LongReport(whole, iter(whole.rows), len(whole.rows))
        except QueryError as error:
            raise Mistakes({"network": str(error)}, {**question.words, "format": question.form}) from None
        if gone.is_set():
            raise Gone
        if page:
            return "text/html", self._page(definition, status, asked, question.words, {})
        kind, pieces = _RENDERED[question.form]
        return kind, self._spool.fill(pieces(asked.head, asked.rows), gone)

    def _page(
        self,
        definition: ReportDefinition,
        status: Status,
        asked: LongReport[ReportRow] | None,
        words: Mapping[str, str],
        wrong: Mapping[str, str],
    ) -> bytes:
        shown: Sequence[ReportRow] = [] if asked is None else list(islice(asked.rows, HTML_ROWS))
        report = None if asked is None else replace(asked.head, rows=shown)
        columns: Sequence[ColumnInfo] = [] if report is None else worth_showing(report, shown)
        words = {name: text for name, text in words.items() if name != "format"}
        links = {form: url(f"reports/{definition.name}", **{**words, "format": form}) for form in _RENDERED}
        return render(
            "report.html",
            **common(self._asker, status, "reports"),
            title=definition.summary if report is None else report.title,
            definition=definition,
            report=report,
            columns=columns,
            rows=[[_cell(row, column) for column in columns] for row in shown],
            urgencies=[str(row.urgency) for row in shown],
            more=0 if asked is None else asked.total - len(shown),
            fields={name: example for name, example in FIELDS.items() if name in definition.heeds},
            buckets=[(str(each), str(each)) for each in Bucket],
            words=words,
            errors={name: text for name, text in wrong.items() if name in definition.heeds},
            others=[text for name, text in wrong.items() if name not in definition.heeds],
            links=links,
        )


#: The columns whose values link to the page of the thing that they name.
_PAGES = {
    "machine": "machine",
    "product": "product",
    "network": "network",
    "upstream": "host",
    "status": "code",
    "last_status": "code",
    "reason": "code",
}


def _cell(row: ReportRow, column: ColumnInfo) -> tuple[str, str, str]:
    """A value as text, the class of its cell, and its link ("" for none)."""
    value = getattr(row, column.name)
    text = as_text(value, column.kind)
    looks = ["n"] if column.kind in (Kind.NUMBER, Kind.SHARE, Kind.CODE) else []
    if len(text) > LONG:
        looks.append("break")
    elif column.kind in (Kind.NAME, Kind.DATE, Kind.TIME):
        looks.append("nowrap")
    if not text:
        looks.append("none")
    page = _PAGES.get(column.name) if text and value and value != Reason.OK else None
    return text, " ".join(looks), "" if page is None else url(page, name=text)
