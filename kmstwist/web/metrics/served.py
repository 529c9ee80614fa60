"""The metrics as prometheus_client serves them: in the format and the compression that a client asks for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import make_wsgi_app
from twisted.web.wsgi import WSGIResource

from kmstwist.reactor import installed_reactor

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment


def served(registry: CollectorRegistry) -> WSGIResource:
    """The resource with this registry's metrics; it is asked with GET or HEAD only."""
    application = make_wsgi_app(registry)

    def answer(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        # It does not know HEAD. Twisted leaves the body out of that answer.
        said: Iterable[bytes] = application({**environ, "REQUEST_METHOD": "GET"}, start)
        return said

    reactor = installed_reactor()
    return WSGIResource(reactor, reactor.getThreadPool(), answer)
