"""The site: /livez, /readyz, /metrics, the status page and the audit's reports, for whoever the file of users names.

Every answer but a report is made from one snapshot that the source gives for it; with workers the source has to ask
them first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from prometheus_client.twisted import MetricsResource
from twisted.cred.portal import IRealm, Portal
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.web.guard import BasicCredentialFactory, HTTPAuthSessionWrapper
from twisted.web.http import Request as HttpRequest
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request, Site
from twisted.web.template import flattenString
from zope.interface import implementer

from kmstwist.findings import Health, overall
from kmstwist.telemetry.counters import Snapshot
from kmstwist.telemetry.judgement import judge
from kmstwist.web import page
from kmstwist.web.answers import failed, send
from kmstwist.web.metrics import registry_for
from kmstwist.web.passwords import PasswordChecker
from kmstwist.web.reports import NoReports, Reports, Store

#: Gives what is to be shown, at once or in a Deferred.
Source = Callable[[], "Snapshot | Deferred[Snapshot]"]


class Live(Resource):
    """/livez: the process answers. For a supervisor that restarts what does not."""

    isLeaf = True

    def render_GET(self, request: Request) -> int:
        """Say so."""
        send(request, 200, "text/plain", b"ok\n")
        return NOT_DONE_YET


class FromSnapshot(Resource):
    """A page that is made from a snapshot."""

    isLeaf = True

    def __init__(self, source: Source) -> None:
        super().__init__()
        self._source = source

    def render_GET(self, request: Request) -> int:
        """Get the snapshot, then show it."""
        gone: list[Any] = []
        request.notifyFinish().addErrback(gone.append)
        asked: Deferred[Any] = maybeDeferred(self._source)
        asked.addCallback(lambda snapshot: None if gone else self.show(request, snapshot))
        asked.addErrback(lambda failure: None if gone else failed(request, failure))
        return NOT_DONE_YET

    def show(self, request: Request, snapshot: Snapshot) -> Any:
        """Answer the request from the snapshot."""
        raise NotImplementedError


class Ready(FromSnapshot):
    """/readyz: whether clients are answered. 200 or 503, and what is wrong, a line each. For a load balancer."""

    def show(self, request: Request, snapshot: Snapshot) -> None:
        """Judge."""
        findings = judge(snapshot)
        health = overall(findings)
        lines = [health.word, *(finding.sentence for finding in findings)]
        send(request, 503 if health is Health.DOWN else 200, "text/plain", ("\n".join(lines) + "\n").encode())


class Metrics(FromSnapshot):
    """/metrics, in Prometheus' formats."""

    def __init__(self, source: Source, *, process: bool = True) -> None:
        super().__init__(source)
        self._process = process

    def show(self, request: Request, snapshot: Snapshot) -> None:
        """Let prometheus_client answer from a registry of this snapshot."""
        MetricsResource(registry_for(snapshot, process=self._process)).render(request)


class Status(FromSnapshot):
    """/: the page for people."""

    isLeaf = False

    def __init__(self, source: Source, seconds: Callable[[], float], *, reports: bool) -> None:
        super().__init__(source)
        self._seconds = seconds
        self._reports = reports

    def getChild(self, path: bytes, request: Request) -> Resource:
        """The page itself at the root; what is not there is not there."""
        return self if not path else super().getChild(path, request)

    def show(self, request: Request, snapshot: Snapshot) -> Deferred[None]:
        """Render the page."""
        rendered = flattenString(request, page.status_page(snapshot, self._seconds(), reports=self._reports))
        return rendered.addCallback(lambda body: send(request, 200, "text/html", b"<!doctype html>" + body))


@implementer(IRealm)
class _Realm:
    """Everybody who may look sees the same."""

    def __init__(self, root: Resource) -> None:
        self._root = root

    def requestAvatar(self, avatar: object, mind: object, *interfaces: object) -> tuple[Any, Resource, Any]:
        """The site's root."""
        assert IResource in interfaces
        return IResource, self._root, lambda: None


class _Guard(HTTPAuthSessionWrapper):
    """Asks for a password everywhere but at /livez, which tells nothing and which supervisors ask without one."""

    def getChildWithDefault(self, path: bytes, request: Request) -> Any:
        """The way into the site."""
        return Live() if path == b"livez" else super().getChildWithDefault(path, request)


class QuietSite(Site):
    """A site that does not log requests: a scrape every few seconds would bury the conversations."""

    noisy = False

    def log(self, request: HttpRequest) -> None:
        """Say nothing."""


def make_site(
    source: Source, seconds: Callable[[], float], users: Mapping[str, str] | None = None, store: Store | None = None
) -> Site:
    """The site. `seconds` is the time since 1970; `users`, where given, are names with their scrypt hashes.

    `store` gives the audit's store; None where the audit is off.
    """
    root: Any = Status(source, seconds, reports=store is not None)
    root.putChild(b"reports", NoReports() if store is None else Reports(store, seconds))
    root.putChild(b"livez", Live())
    root.putChild(b"readyz", Ready(source))
    root.putChild(b"metrics", Metrics(source))
    if users is not None:
        portal = Portal(_Realm(root), [PasswordChecker(users)])
        root = _Guard(portal, [BasicCredentialFactory(b"kmstwist")])
    site = QuietSite(root, timeout=30)
    site.displayTracebacks = False
    return site
