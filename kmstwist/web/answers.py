"""How the site answers: one set of headers for everything, whole bodies, and plain words where something went wrong."""

from __future__ import annotations

import hashlib
from base64 import b64encode

from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import Request

from kmstwist.logevents import DEFECT
from kmstwist.web.page import CSS

_STYLE = b64encode(hashlib.sha256(CSS.encode()).digest()).decode()
_HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE}'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_log = Logger(namespace="kmstwist.web")


def send(request: Request, status: int, kind: str, body: bytes) -> None:
    """Answer with a whole body in UTF-8 of the media type `kind`, and finish. The client must still be there."""
    request.setResponseCode(status)
    for name, value in {**_HEADERS, "Content-Type": f"{kind}; charset=utf-8"}.items():
        request.setHeader(name, value)
    request.setHeader("Content-Length", str(len(body)))
    if request.method != b"HEAD":
        request.write(body)
    request.finish()


def send_sentence(request: Request, status: int, sentence: str) -> None:
    """Answer with one line of plain text."""
    send(request, status, "text/plain", f"{sentence}\n".encode())


def log_defect(request: Request, failure: Failure) -> None:
    """Log what should not have happened while answering."""
    DEFECT.emit(_log, detail=f"answering {request.path!r}", traceback=failure.getTraceback())


def failed(request: Request, failure: Failure) -> None:
    """Log a defect, and tell the client that there is one."""
    log_defect(request, failure)
    send_sentence(request, 500, "kmstwist could not answer this; its log says why")
