"""The site: its pages and their API, /livez, /readyz and /metrics, for the users in the file of users."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer, IDelayedCall, IHalfCloseableProtocol, IReactorTime, ITCPTransport
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import Request as HttpRequest
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request, Site
from zope.interface import alsoProvides

from kmstwist.audit.views.totals import Totals
from kmstwist.findings import Health
from kmstwist.logevents import DEFECT
from kmstwist.pacing.deadlines import Deadlines
from kmstwist.reactor import installed_reactor
from kmstwist.web.api.openapi import OpenApi
from kmstwist.web.asker import Answer, Asker, Store
from kmstwist.web.live import Live
from kmstwist.web.metrics.exposition import registry_for
from kmstwist.web.metrics.served import served
from kmstwist.web.metrics.totals import LatestTotals
from kmstwist.web.pages import Api, Missing, Page
from kmstwist.web.passwords import Guard, PasswordChecker
from kmstwist.web.reports import Reports
from kmstwist.web.responses import Alive, ReadOnly, SafeRequest, failed, send
from kmstwist.web.spool import Spool
from kmstwist.web.static import Static
from kmstwist.web.view import Question, View
from kmstwist.web.views.all import VIEWS
from kmstwist.web.watch import EVERY, Source, Status, Watch

#: The default of the most connections to the site at one time; a browser opens at most six.
CONNECTIONS = 500
#: The most seconds for a whole request, even if it comes byte by byte, and between two requests.
_REQUEST = 15.0
#: Seconds after the start at which the first pages are made.
_WARM = 1.0
_FIRST = ("overview", "machines", "activity", "products", "networks", "hosts", "duplicates", "refusals")
_WARMED: tuple[tuple[str, dict[str, str]], ...] = (
    *((name, {}) for name in _FIRST),
    ("activity", {"by": "network"}),
    *(("overview", {"range": span}) for span in ("week", "90days")),
)


class FromStatus(ReadOnly):
    """A resource made from the server's status."""

    isLeaf = True

    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self._watch = watch

    def render_GET(self, request: Request) -> int:
        """Get the status, then show it."""
        gone: list[object] = []
        request.notifyFinish().addErrback(gone.append)
        asked: Deferred[Status] = self._watch.status(fresh=True)
        asked.addCallback(lambda status: None if gone else self.show(request, status))
        asked.addErrback(lambda failure: None if gone else failed(request, failure))
        return NOT_DONE_YET

    def show(self, request: Request, status: Status) -> None:
        """Answer the request."""
        raise NotImplementedError


class Ready(FromStatus):
    """/readyz: whether clients are answered. 200 or 503, with a line for each finding. For a load balancer."""

    def show(self, request: Request, status: Status) -> None:
        """Respond with the health and the findings."""
        lines = [status.health.word, *(each.finding.sentence for each in status.standing)]
        code = 503 if status.health is Health.DOWN else 200
        send(request, code, "text/plain", ("\n".join(lines) + "\n").encode())


class Metrics(FromStatus):
    """/metrics, in Prometheus' formats."""

    def __init__(self, watch: Watch, latest: LatestTotals) -> None:
        super().__init__(watch)
        self._totals = latest

    def show(self, request: Request, status: Status) -> None:
        """Let prometheus_client respond from a registry with this snapshot and the latest totals."""
        gone: list[object] = []
        request.notifyFinish().addErrback(gone.append)

        def answer(totals: Totals | None) -> None:
            if not gone:
                served(registry_for(status.snapshot, totals)).render(request)

        self._totals.latest().addCallback(answer).addErrback(lambda failure: None if gone else failed(request, failure))


class Root(ReadOnly):
    """The root: the pages, and the resources added with `putChild`."""

    def __init__(self, asker: Asker) -> None:
        super().__init__()
        self._asker = asker

    def getChild(self, path: bytes, request: Request) -> Resource:
        """A page by its name; the overview's name is empty."""
        name = path.decode(errors="replace") or "overview"
        view = VIEWS.get(name)
        if view is None or not view.template or request.postpath or path == b"overview":
            return Missing(self._asker)
        return Page(self._asker, view)


class ApiRoot(ReadOnly):
    """Everything under /api/."""

    def __init__(self, asker: Asker) -> None:
        super().__init__()
        self._asker = asker
        for view in VIEWS.values():
            self.putChild(view.name.encode(), Api(asker, view))
        self.putChild(b"openapi.json", OpenApi())

    def render_GET(self, request: Request) -> int:
        """/api itself is no endpoint."""
        return Missing(self._asker).render_GET(request)

    def getChild(self, path: bytes, request: Request) -> Resource:
        """The response for an endpoint that does not exist."""
        return Missing(self._asker)

    def getChildWithDefault(self, path: bytes, request: Request) -> Resource:
        """An endpoint has nothing under it."""
        return Missing(self._asker) if request.postpath else super().getChildWithDefault(path, request)


class StatusSite(Site):
    """The site's factory.

    It logs no requests (a scrape every few seconds would bury the conversations), and it limits the number of
    connections and how long one may last without a whole request.
    """

    noisy = False
    displayTracebacks = False

    def __init__(self, root: IResource, asker: Asker, live: Live, reactor: IReactorTime, spool: Spool) -> None:
        super().__init__(root, requestFactory=SafeRequest, timeout=30)
        self._asker = asker
        self._reactor = reactor
        self._live = live
        self._spool = spool
        self._warming: IDelayedCall | None = None
        #: The most connections at one time.
        self.most = CONNECTIONS
        #: The transports of the connections, by the client's address and port.
        self._connections: dict[object, ITCPTransport] = {}
        #: The connections whose last request has been answered.
        self._answers: set[object] = set()
        #: How many requests of each connection are being answered, and the connections on which no more will come.
        self._asking: Counter[object] = Counter()
        self._ending: set[object] = set()
        self._silent: Deadlines[object] = Deadlines(reactor, _REQUEST, self._cut)
        self._looking = LoopingCall(self._look)
        self._looking.clock = reactor

    def begin(self) -> None:
        """Start to look every few seconds, so that the site knows since when each finding has lasted."""
        self._looking.start(EVERY)
        self._warming = self._reactor.callLater(_WARM, self._warm)

    def _look(self) -> Deferred[Status]:
        self._asker.keep_ready()
        return self._asker.watch.status()

    def _warm(self) -> None:
        """Make the slowest pages once, and those that people look at first."""

        def make(view: View[Any], question: Question, status: Status, answer: Answer) -> None:
            Page(self._asker, view).html(status, answer, question, {})

        asked = [(VIEWS[name], VIEWS[name].question.model_validate(words)) for name, words in _WARMED]
        Deferred.fromCoroutine(self._asker.warm(asked, make)).addErrback(self._defect)

    def _defect(self, failure: Failure) -> None:
        DEFECT.emit(Logger(namespace="kmstwist.web"), detail="the first pages", traceback=failure.getTraceback())

    def end(self) -> None:
        """Stop looking, and end the streams."""
        if self._looking.running:
            self._looking.stop()
        if self._warming is not None and self._warming.active():
            self._warming.cancel()
        self._asker.end()
        self._silent.stop()
        self._spool.stop()
        self._live.end()

    def buildProtocol(self, addr: Any) -> Any:
        """Take a connection, unless there are too many."""
        if len(self._connections) >= self.most:
            return None
        protocol: Any = super().buildProtocol(addr)
        made, lost = protocol.makeConnection, protocol.connectionLost

        def make_connection(transport: ITCPTransport) -> None:
            self._connections[addr] = transport
            self._silent.set(addr)
            made(transport)

        def connection_lost(*args: object) -> None:
            self._connections.pop(addr, None)
            self._silent.pop(addr, None)
            self._answers.discard(addr)
            self._ending.discard(addr)
            del self._asking[addr]
            lost(*args)

        protocol.makeConnection, protocol.connectionLost = make_connection, connection_lost
        protocol.readConnectionLost, protocol.writeConnectionLost = partial(self._half_closed, addr), lambda: None
        alsoProvides(protocol, IHalfCloseableProtocol)
        return protocol

    def _half_closed(self, addr: object) -> None:
        """A client has said all, or has gone: it gets its answers, within the time of a request, and no others."""
        if addr in self._connections:
            self._ending.add(addr)
            self._silent.set(addr)
            self._end_if_answered(addr)

    def _end_if_answered(self, addr: object) -> None:
        if addr in self._ending and not self._asking[addr]:
            transport = self._connections[addr]
            # A producer that is paused would keep it open.
            IConsumer(transport).unregisterProducer()
            transport.loseConnection()

    def asked(self, request: Request) -> None:
        """A whole request has arrived: its answer has no deadline; the next request's deadline starts after it."""
        addr = request.getClientAddress()
        self._asking[addr] += 1
        if addr not in self._ending:
            self._silent.pop(addr, None)
        request.notifyFinish().addCallbacks(lambda _: self._answered(addr), lambda _: None)

    def _answered(self, addr: object) -> None:
        if addr in self._connections:
            self._asking[addr] -= 1
            self._answers.add(addr)
            self._silent.set(addr)
            self._end_if_answered(addr)

    def _cut(self, addr: object) -> None:
        transport = self._connections.get(addr)
        if transport is not None and addr in self._answers:
            # A slow client may still be reading its answer: the bytes that the kernel has are still sent.
            self._answers.discard(addr)
            self._silent.set(addr)
            transport.loseConnection()
        elif transport is not None:
            transport.abortConnection()

    def log(self, request: HttpRequest) -> None:
        """Say nothing."""


def make_site(
    source: Source,
    seconds: Callable[[], float],
    users: Mapping[str, str] | None = None,
    store: Store | None = None,
    *,
    counted: Store | None = None,
    notice: str = "",
    reactor: IReactorTime | None = None,
) -> StatusSite:
    """The site. `seconds` returns the time since 1970; `users`, if given, maps names to scrypt hashes.

    `store` returns the audit's store; None if the audit is off. `counted` returns the store that the metrics count:
    this server's own, if the pages show one of several servers. `notice` is shown above every page.
    """
    watch = Watch(source, seconds)
    asker = Asker(watch, store, notice=notice)
    reactor = reactor or installed_reactor()
    live = Live(asker, reactor)
    root: Any = Root(asker)
    root.putChild(b"api", ApiRoot(asker))
    spool = Spool(reactor)
    root.putChild(b"reports", Reports(asker, spool))
    root.putChild(b"static", Static())
    root.putChild(b"events", live)
    root.putChild(b"livez", Alive())
    root.putChild(b"readyz", Ready(watch))
    root.putChild(b"metrics", Metrics(watch, LatestTotals(counted or store, seconds)))
    if users is not None:
        root = Guard(root, PasswordChecker(users))
    return StatusSite(root, asker, live, reactor, spool)
