"""The audit's reports on the site: /reports/ lists them, /reports/NAME asks one, with the command line's questions.

The query and the making of the answer are work for a thread: a report of many machines takes seconds, and the reactor
has clients to serve. Few run at a time, so that they never take all of the reactor's threads, in which names are
resolved too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from kmstwist.audit.engine import StoreError, plain_error, reading
from kmstwist.audit.reports.catalogue import REPORTS
from kmstwist.audit.reports.filters import QueryError
from kmstwist.audit.reports.model import Bucket, Query, Report, ReportDefinition, ReportRow
from kmstwist.audit.reports.render import to_csv, to_json, to_markdown
from kmstwist.audit.reports.times import parse_when
from kmstwist.web.answers import failed, log_defect, send, send_sentence
from kmstwist.web.report_page import index_page, report_page

#: Gives the audit's store. Raises `StoreError` where there is none to be had now.
Store = Callable[[], Engine]

#: Reports made at the same time; more wait for their turn.
AT_A_TIME = 2
#: As on the command line.
_MOST_DAYS = 3650

_RENDERED: Mapping[str, tuple[str, Callable[[Report[ReportRow]], str]]] = {
    "csv": ("text/csv", to_csv),
    "json": ("application/json", lambda report: to_json(report) + "\n"),
    "markdown": ("text/markdown", to_markdown),
}
_FORMATS = ("html", *_RENDERED)


@dataclass(frozen=True, slots=True)
class Question:
    """What a request asks: the report, the query for it, the answer's format, and the words it was given in."""

    definition: ReportDefinition
    query: Query
    form: str
    words: Mapping[str, str]


def understand(definition: ReportDefinition, args: Mapping[bytes, list[bytes]], now: datetime) -> Question:
    """The question in a request's parameters; an empty one is as good as none. Raises `QueryError` with a sentence."""
    words = _words(args)
    form = words.pop("format", "html")
    if form not in _FORMATS:
        raise QueryError(f"{form!r} is no format; there are {', '.join(_FORMATS)}")
    if unheeded := sorted(words.keys() - definition.heeds):
        raise QueryError(f"the report {definition.name} has no use for {unheeded[0]!r}")
    values: dict[str, Any] = {name: _value(name, text, now) for name, text in words.items()}
    return Question(definition, Query(now=now, **values), form, words)


def _words(args: Mapping[bytes, list[bytes]]) -> dict[str, str]:
    words = {}
    for raw, given in args.items():
        try:
            name, texts = raw.decode(), [each.decode() for each in given]
        except UnicodeDecodeError:
            raise QueryError(f"the parameter {raw.decode(errors='replace')!r} is not UTF-8") from None
        if len(texts) > 1:
            raise QueryError(f"{name!r} is given {len(texts)} times; once is enough")
        if texts[0]:
            words[name] = texts[0]
    return words


def _value(name: str, text: str, now: datetime) -> Any:
    match name:
        case "since" | "until":
            try:
                return parse_when(text, now)
            except ValueError as error:
                raise QueryError(f"{name}: {error}") from None
        case "days":
            if text.isdecimal() and len(text) <= len(str(_MOST_DAYS)) and int(text) <= _MOST_DAYS:
                return int(text)
            raise QueryError(f"days: {text!r} is no number of days from 0 to {_MOST_DAYS}")
        case "by":
            if text in list(Bucket):
                return Bucket(text)
            raise QueryError(f"by: {text!r} is none of {', '.join(Bucket)}")
        case _:
            return text


def make_answer(engine: Engine, question: Question, gone: Event) -> tuple[str, bytes] | None:
    """The answer's media type and body; None if the client went away meanwhile. For a thread: it blocks.

    Raises `QueryError`, and what the store raises.
    """
    with reading(engine) as connection:
        report = question.definition.ask(connection, question.query)
    if gone.is_set():
        return None
    if question.form == "html":
        return "text/html", report_page(question.definition, report, question.words, question.query.now)
    kind, rendered = _RENDERED[question.form]
    return kind, rendered(report).encode()


class Reports(Resource):
    """/reports/ and all that is under it."""

    isLeaf = True

    def __init__(
        self, store: Store, seconds: Callable[[], float], in_thread: Callable[..., Deferred[Any]] = deferToThread
    ) -> None:
        super().__init__()
        self._store = store
        self._seconds = seconds
        self._in_thread = in_thread
        self._turns = DeferredSemaphore(AT_A_TIME)

    def render_GET(self, request: Request) -> int:
        """Find the report, or list them."""
        name = b"/".join(request.postpath or ()).decode(errors="replace")
        if not name:
            send(request, 200, "text/html", index_page())
        elif name not in REPORTS:
            send_sentence(request, 404, f"there is no report {name!r}; there are {', '.join(REPORTS)}")
        else:
            self._begin(request, REPORTS[name])
        return NOT_DONE_YET

    def _begin(self, request: Request, definition: ReportDefinition) -> None:
        try:
            question = understand(definition, request.args or {}, datetime.fromtimestamp(self._seconds(), UTC))
        except QueryError as error:
            send_sentence(request, 400, str(error))
            return
        gone = Event()

        def left(_: Failure) -> None:
            gone.set()

        def defect(failure: Failure) -> None:
            (log_defect if gone.is_set() else failed)(request, failure)

        request.notifyFinish().addErrback(left)
        Deferred.fromCoroutine(self._answer(request, question, gone)).addErrback(defect)

    async def _answer(self, request: Request, question: Question, gone: Event) -> None:
        try:
            answer = await self._in_turn(question, gone)
        except QueryError as error:
            status, sentence = 400, str(error)
        except (StoreError, SQLAlchemyError) as error:
            status, sentence = 503, f"the audit's store cannot be read: {plain_error(error)}"
        else:
            if answer is not None and not gone.is_set():
                if question.form == "csv":
                    name = f"kmstwist-{question.definition.name}.csv"
                    request.setHeader("Content-Disposition", f'attachment; filename="{name}"')
                send(request, 200, *answer)
            return
        if not gone.is_set():
            send_sentence(request, status, sentence)

    async def _in_turn(self, question: Question, gone: Event) -> tuple[str, bytes] | None:
        await self._turns.acquire()
        try:
            # The turn ends with the thread's work and not with the client's patience: a thread cannot be called off.
            answer: tuple[str, bytes] | None = None
            if not gone.is_set():
                answer = await self._in_thread(make_answer, self._store(), question, gone)
            return answer
        finally:
            self._turns.release()


class NoReports(Resource):
    """What is at /reports/ where the audit is off."""

    isLeaf = True

    def render_GET(self, request: Request) -> int:
        """Say so."""
        send_sentence(request, 404, "there are no reports: the audit is off (enabled = false in [audit])")
        return NOT_DONE_YET
