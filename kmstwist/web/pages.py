"""The pages and the API: both ask views, one answers with HTML and the other with JSON or a download."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from threading import Event
from typing import Any

from pydantic import TypeAdapter
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET, Request

from kmstwist.findings import Health
from kmstwist.web.api.downloads import KINDS, Download, whole
from kmstwist.web.asker import Answer, Asker, Gone, StoreTrouble
from kmstwist.web.rendering import BELONGS, NAVIGATION, WITHOUT_AUDIT, here, render
from kmstwist.web.responses import ReadOnly, failed, log_defect, send
from kmstwist.web.static import addresses
from kmstwist.web.validating import Mistakes, read_words, understand
from kmstwist.web.view import TOLD, NoAudit, NotThere, Question, View, WrongParameter
from kmstwist.web.watch import Status, at

AUDIT_OFF = "the audit is off (enabled = false in [audit]): there are no records to show"


class Answering(ReadOnly):
    """A resource that answers from a view, asynchronously."""

    isLeaf = True

    def __init__(self, asker: Asker, view: View[Any]) -> None:
        super().__init__()
        self._asker = asker
        self._view = view

    def render_GET(self, request: Request) -> int:
        """Begin."""
        gone = Event()

        def left(_: Failure) -> None:
            gone.set()

        def defect(failure: Failure) -> None:
            if failure.check(Gone):
                return
            if gone.is_set():
                log_defect(request, failure)
            elif request.startedWriting:
                # Part of the answer was sent: the client must not mistake it for a whole one.
                log_defect(request, failure)
                request.channel.loseConnection()
            else:
                failed(request, failure)

        request.notifyFinish().addErrback(left)
        Deferred.fromCoroutine(self._begin(request, gone)).addErrback(defect)
        return NOT_DONE_YET

    async def _begin(self, request: Request, gone: Event) -> None:
        status = await self._asker.watch.status()
        if gone.is_set():
            return
        try:
            code, kind, body = await self.answer(request, status, gone)
        except Mistakes as mistakes:
            code, kind, body = self.mistaken(status, mistakes)
        except NotThere as error:
            code, kind, body = self.trouble(status, 404, str(error))
        except NoAudit:
            code, kind, body = self.trouble(status, 404, AUDIT_OFF)
        except StoreTrouble as error:
            code, kind, body = self.trouble(status, 503, str(error))
        if not gone.is_set() and kind:
            send(request, code, kind, body)

    async def answer(self, request: Request, status: Status, gone: Event) -> tuple[int, str, bytes]:
        """The status, the media type ("" if everything has been sent already) and the body."""
        raise NotImplementedError

    def mistaken(self, status: Status, mistakes: Mistakes) -> tuple[int, str, bytes]:
        """The response to wrong parameters."""
        raise NotImplementedError

    def trouble(self, status: Status, code: int, sentence: str) -> tuple[int, str, bytes]:
        """The response if there is no answer."""
        raise NotImplementedError


class Page(Answering):
    """A view as a page."""

    async def answer(self, request: Request, status: Status, gone: Event) -> tuple[int, str, bytes]:
        """Ask, and make the page in the same thread."""
        view, asker = self._view, self._asker
        words = read_words(request.args or {})
        if "format" in words:
            raise Mistakes({"format": "is not a parameter of this page"}, words)
        question, _ = understand(view, words)

        def make(answer: Answer) -> bytes:
            return self.html(status, answer, question, words)

        try:
            body = await asker.ask(view, question, status, gone, make, old_will_do=True)
            return 200, "text/html", body
        except WrongParameter as error:
            raise Mistakes({error.name: str(error)}, words) from None

    def mistaken(self, status: Status, mistakes: Mistakes) -> tuple[int, str, bytes]:
        """The same page with its form as it was filled in, and each mistake beside its field."""
        known = self._view.question.model_fields
        here = {name: text for name, text in mistakes.sentences.items() if name in known}
        others = [f"{name} {text}" if name else text for name, text in mistakes.sentences.items() if name not in known]
        body = self.html(status, Answer(None), None, mistakes.words, here, others)
        return 400, "text/html", body

    def trouble(self, status: Status, code: int, sentence: str) -> tuple[int, str, bytes]:
        """A page that says so."""
        return code, "text/html", problem_page(self._asker, status, code, sentence, self._view.name)

    def html(
        self,
        status: Status,
        answer: Answer,
        question: Question | None,
        words: Mapping[str, str],
        errors: Mapping[str, str] | None = None,
        others: Sequence[str] = (),
    ) -> bytes:
        """The page."""
        view = self._view
        path = "" if view.name == "overview" else view.name
        counted = at(status.now - answer.age) if answer.age >= TOLD else None
        given = {name: text for name, text in words.items() if name in view.question.model_fields}

        def changed(**changes: object) -> str:
            return here(path, given, **changes)

        def download(form: str, **changes: object) -> str:
            return here(f"api/{view.name}", {**given, "page": None, "rows": None}, format=form, **changes)

        return render(
            view.template,
            **{**common(self._asker, status, view.name), "counted": counted},
            title=view.title,
            answer=answer.value,
            q=question,
            words=words,
            errors=errors or {},
            others=list(others),
            trouble=answer.trouble,
            here=changed,
            download=download,
        )


class Api(Answering):
    """A view as JSON, or its table as CSV or JSON."""

    def __init__(self, asker: Asker, view: View[Any]) -> None:
        super().__init__(asker, view)
        self._json: TypeAdapter[Any] = TypeAdapter(view.answer)

    async def answer(self, request: Request, status: Status, gone: Event) -> tuple[int, str, bytes]:
        """Ask, and write in the same thread."""
        view, asker = self._view, self._asker
        # A program that sends an empty parameter means it: it is checked as the OpenAPI document says.
        words = read_words(request.args or {}, empty=True)
        question, form = understand(view, words)
        try:
            if form:
                request.setHeader("Content-Disposition", f'attachment; filename="kmstwist-{view.name}.{form}"')
            if form and view.pieces is not None and request.method == b"GET":
                await Download(asker, view, question, status, gone).send(request, form)
                return 200, "", b""

            def make(answer: Answer) -> tuple[bytes, float]:
                if form:
                    assert view.rows is not None
                    return whole(view, form, view.rows(answer.value)), answer.age
                return self._json.dump_json(answer.value, indent=1) + b"\n", answer.age

            body, age = await asker.ask(view, question, status, gone, make)
            if age >= 1:
                request.setHeader("Age", str(int(age)))
            return 200, KINDS.get(form, "application/json"), body
        except (WrongParameter, NotThere, NoAudit, StoreTrouble) as error:
            request.responseHeaders.removeHeader("Content-Disposition")
            if isinstance(error, WrongParameter):
                raise Mistakes({error.name: str(error)}, words) from None
            raise

    def mistaken(self, status: Status, mistakes: Mistakes) -> tuple[int, str, bytes]:
        """A sentence for each field."""
        return 400, "application/json", error_json("wrong parameters", mistakes.sentences)

    def trouble(self, status: Status, code: int, sentence: str) -> tuple[int, str, bytes]:
        """The sentence."""
        return code, "application/json", error_json(sentence, {})


_ERROR = TypeAdapter(dict[str, object])


def error_json(sentence: str, fields: Mapping[str, str]) -> bytes:
    """The API's response to an error."""
    return _ERROR.dump_json({"error": sentence, "fields": dict(fields)}, indent=1) + b"\n"


def common(asker: Asker, status: Status, name: str) -> dict[str, object]:
    """The values that every template gets."""
    snapshot = status.snapshot
    place = BELONGS.get(name, "" if name == "overview" else name)
    return {
        "page": place,
        "mode": snapshot.mode,
        "health": status.health.word,
        "healthy": status.health is Health.HEALTHY,
        "now": at(status.now),
        "started": at(snapshot.started),
        "audit": asker.has_audit,
        "static": addresses(),
        "navigation": [
            (path, text)
            for path, text, only in NAVIGATION
            if only in ("", snapshot.mode) and (asker.has_audit or path in WITHOUT_AUDIT)
        ],
        "notice": asker.notice,
        "counted": None,
    }


def problem_page(asker: Asker, status: Status, code: int, sentence: str, name: str = "nothing") -> bytes:
    """A page about something that does not exist, or that cannot be shown now."""
    titles = {404: "Not found", 503: "Not available now"}
    title = "The audit is off" if sentence == AUDIT_OFF else titles.get(code, "Error")
    return render("problem.html", **common(asker, status, name), title=title, sentence=sentence, code=code)


class Missing(Answering):
    """A page that does not exist."""

    def __init__(self, asker: Asker) -> None:
        self._sentence = "there is no such page on this site"
        ReadOnly.__init__(self)
        self._asker = asker

    async def answer(self, request: Request, status: Status, gone: Event) -> tuple[int, str, bytes]:
        """Say so."""
        if request.path.split(b"/")[1:2] == [b"api"]:
            body = error_json("there is no such endpoint; /api/openapi.json lists them all", {})
            return 404, "application/json", body
        return 404, "text/html", problem_page(self._asker, status, 404, self._sentence)
