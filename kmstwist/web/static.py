"""The files that pages need: sheets, scripts, the icon. A browser keeps each until it changes."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources

from twisted.web.server import NOT_DONE_YET, Request

from kmstwist.charts import asset
from kmstwist.web.responses import ReadOnly, send, send_sentence

_KINDS = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_OURS = ("site.css", "site.js", "icon.svg")
_CHARTS = ("uplot.css", "uplot.js", "charts.css", "charts.js")


@cache
def contents(name: str) -> bytes:
    """A file's bytes. Raises `KeyError` if there is no such file."""
    if name in _CHARTS:
        return asset(name).encode()
    if name in _OURS:
        return resources.files("kmstwist.web").joinpath("static", name).read_bytes()
    raise KeyError(name)


@cache
def addresses() -> dict[str, str]:
    """Each file's address, with a hash of its contents: a new version has another address."""
    return {name: f"/static/{name}?v={hashlib.sha256(contents(name)).hexdigest()[:12]}" for name in (*_OURS, *_CHARTS)}


class Static(ReadOnly):
    """/static/NAME."""

    isLeaf = True

    def render_GET(self, request: Request) -> int:
        """Send the file; only the files listed here are available."""
        name = b"/".join(request.postpath or ()).decode(errors="replace")
        try:
            body = contents(name)
        except KeyError:
            send_sentence(request, 404, "there is no such file")
            return NOT_DONE_YET
        if request.args and request.args.get(b"v"):
            request.setHeader("Cache-Control", "private, max-age=31536000, immutable")
        send(request, 200, _KINDS[name.rpartition(".")[2]], body)
        return NOT_DONE_YET
