"""How the site responds: one set of headers for every response, whole bodies, and a plain sentence after an error."""

from __future__ import annotations

from typing import Any, AnyStr

from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from kmstwist.logevents import DEFECT

#: Scripts and styles come from this site only and are never inline, so that none that somebody injects is executed.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
#: The text for somebody without a name and password, or with wrong ones.
LOGIN = (
    "This site needs a user name and a password. On the server, `kmstwist web password NAME` adds a user or "
    "changes a password; restart kmstwist afterwards."
)
#: The most bytes of a request's body, which is never read.
BODY = 1 << 16
_log = Logger(namespace="kmstwist.web")


class _InWords:
    """A resource that asks for a login, with a text that says more than "Unauthorized"."""

    def __init__(self, resource: Any) -> None:
        self._resource = resource

    def render(self, request: Request) -> Any:
        """Render the resource, with our text."""
        body = self._resource.render(request)
        if request.code == 401 and isinstance(body, bytes) and body:
            request.setHeader("Content-Type", "text/plain; charset=utf-8")
            return f"{LOGIN}\n".encode()
        return body


class SafeRequest(Request):
    """A request whose response always has our headers, and never says which software made it."""

    _refused = False

    def process(self) -> None:
        """Answer."""
        # `self.site` is not set before the request is processed.
        asked = getattr(getattr(self.channel, "site", None), "asked", None)
        if asked is not None:
            asked(self)
        for name, value in HEADERS.items():
            self.setHeader(name, value)
        super().process()

    def render(self, resrc: Any) -> None:
        """Render a resource."""
        super().render(_InWords(resrc))

    def gotLength(self, length: int | None) -> None:
        """Prepare for the body. A long one is refused before it arrives, since nothing here reads bodies."""
        self._refused = length is None or length > BODY
        super().gotLength(0 if self._refused else length)
        if self._refused:
            channel: Any = self.channel
            channel.transport.write(b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            channel.loseConnection()

    def handleContentChunk(self, data: bytes) -> None:
        """Keep a short body, as Twisted expects."""
        if not self._refused:
            super().handleContentChunk(data)

    def setHeader(self, name: AnyStr, value: AnyStr) -> None:
        """Set a header, except the one that names the software and its version."""
        if name not in ("Server", b"Server"):
            super().setHeader(name, value)


class ReadOnly(Resource):
    """A resource that can only be read: GET and HEAD. Other methods are refused with our own text."""

    def render(self, request: Request) -> Any:
        """Check the method, then render."""
        if request.method not in (b"GET", b"HEAD"):
            request.setHeader("Allow", "GET, HEAD")
            send_sentence(request, 405, "this site is read-only: it takes GET and HEAD")
            return NOT_DONE_YET
        return self.render_GET(request)

    def render_GET(self, request: Request) -> Any:
        """Answer."""
        raise NotImplementedError


def send(request: Request, status: int, kind: str, body: bytes) -> None:
    """Respond with a whole UTF-8 body of the media type `kind`, and finish. The client must still be connected."""
    request.setResponseCode(status)
    for name, value in HEADERS.items():
        # Without a SafeRequest, as in tests.
        if not request.responseHeaders.hasHeader(name):
            request.setHeader(name, value)
    request.setHeader("Content-Type", f"{kind}; charset=utf-8")
    request.setHeader("Content-Length", str(len(body)))
    if request.method != b"HEAD":
        request.write(body)
    request.finish()


def send_sentence(request: Request, status: int, sentence: str) -> None:
    """Respond with one line of plain text."""
    send(request, status, "text/plain", f"{sentence}\n".encode())


def log_defect(request: Request, failure: Failure) -> None:
    """Log a defect that showed up during a response."""
    DEFECT.emit(_log, detail=f"answering {request.path!r}", traceback=failure.getTraceback())


def failed(request: Request, failure: Failure) -> None:
    """Log a defect, and tell the client that there was one."""
    log_defect(request, failure)
    send_sentence(request, 500, "kmstwist could not answer this request; its log says why")


class Alive(ReadOnly):
    """/livez: the process answers. For a supervisor that restarts a process that does not."""

    isLeaf = True

    def render_GET(self, request: Request) -> int:
        """Say so."""
        send(request, 200, "text/plain", b"ok\n")
        return NOT_DONE_YET
