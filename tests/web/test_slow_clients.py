"""Long answers and slow clients, with a clock that the test sets."""

from __future__ import annotations

import random
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.test.requesthelper import DummyRequest

from kmstwist.findings import Health
from kmstwist.telemetry.counters import Counters, Snapshot
from kmstwist.web.api.downloads import Download
from kmstwist.web.asker import Gone
from kmstwist.web.site import make_site
from kmstwist.web.spool import PATIENCE, Crowded, Spool
from kmstwist.web.views.all import VIEWS
from kmstwist.web.watch import Status

#: Text that compresses to about half of its length.
TEXT = "".join(random.Random(1).choices("0123456789abcdef", k=400_000))


class Abortable(StringTransport):
    """A transport that remembers whether it was cut off."""

    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True


class Pulled(DummyRequest):
    """A request whose producer the test asks for more."""

    producer: Any = None

    def __init__(self) -> None:
        super().__init__([b"report"])
        self.channel: Any = self
        self.aborted = False

    def forceAbortClient(self) -> None:
        self.aborted = True

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None


def test_an_answer_takes_as_long_as_it_takes_and_a_request_does_not() -> None:
    clock = Clock()
    never: Deferred[Snapshot] = Deferred()
    site = make_site(lambda: never, clock.seconds, reactor=clock)
    transports = []
    for at, said in enumerate((b"GET /machines HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /machines HTTP/1.1\r\n")):
        protocol: Any = site.buildProtocol(IPv4Address("TCP", "127.0.0.1", 40_000 + at))
        transports.append(Abortable(peerAddress=IPv4Address("TCP", "127.0.0.1", 40_000 + at)))
        protocol.makeConnection(transports[-1])
        protocol.dataReceived(said)
    clock.advance(25)
    assert [each.aborted for each in transports] == [False, True]


def test_a_client_that_reads_its_answer_gets_the_whole_time_but_no_more() -> None:
    clock = Clock()
    site = make_site(lambda: Snapshot("gateway", 0.0, Counters()), clock.seconds, reactor=clock)
    address = IPv4Address("TCP", "127.0.0.1", 40_000)
    protocol: Any = site.buildProtocol(address)
    transport = Abortable(peerAddress=address)
    protocol.makeConnection(transport)
    protocol.dataReceived(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
    clock.advance(16)
    # Closed once all is written.
    assert (transport.disconnecting, transport.aborted) == (True, False)
    clock.advance(16)
    assert transport.aborted


@pytest.mark.parametrize("announced", [b"Content-Length: 999999999", b"Transfer-Encoding: chunked"])
def test_a_long_body_is_refused_before_it_arrives(announced: bytes) -> None:
    site = make_site(lambda: Snapshot("gateway", 0.0, Counters()), Clock().seconds, reactor=Clock())
    address = IPv4Address("TCP", "127.0.0.1", 40_000)
    protocol: Any = site.buildProtocol(address)
    transport = Abortable(peerAddress=address)
    protocol.makeConnection(transport)
    protocol.dataReceived(b"POST / HTTP/1.1\r\nHost: x\r\n" + announced + b"\r\n\r\n")
    protocol.dataReceived(b"ffff\r\n" + b"x" * 65_535)
    assert transport.value().startswith(b"HTTP/1.1 413 ")
    assert transport.value().count(b"HTTP/1.1") == 1
    assert transport.disconnecting


async def _rows(*_: object) -> tuple[list[Any], list[str]]:
    return [], ["more"]


def test_a_download_that_nobody_reads_is_ended() -> None:
    clock, gone = Clock(), Event()
    request: Any = Pulled()
    asker: Any = SimpleNamespace(piece=_rows)
    status = Status(Snapshot("gateway", 0.0, Counters()), 0.0, Health.HEALTHY, 0.0, 0.0)
    view = VIEWS["machines"]
    download = Download(asker, view, view.question(), status, gone, clock)
    request.write = lambda data: download.pauseProducing()
    Deferred.fromCoroutine(download.send(request, "csv"))
    for _ in range(3):
        clock.advance(PATIENCE - 1)
        assert not request.aborted
        request.producer.resumeProducing()
    clock.advance(PATIENCE)
    assert request.aborted
    download.stopProducing()
    assert not clock.getDelayedCalls()


def test_a_page_that_does_not_read_its_events_loses_its_place() -> None:
    clock = Clock()
    site = make_site(lambda: Snapshot("gateway", 0.0, Counters()), clock.seconds, reactor=clock)
    live = site.resource.children[b"events"]
    request: Any = Pulled()
    live.render_GET(request)
    request.producer.pauseProducing()
    clock.advance(PATIENCE)
    assert request.aborted
    request.processingFailed(Failure(ConnectionDone()))
    live.end()


def test_live_pages_beyond_the_limit_get_no_updates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kmstwist.web.live.MOST", 2)
    clock = Clock()
    site = make_site(lambda: Snapshot("gateway", 0.0, Counters()), clock.seconds, reactor=clock)
    live = site.resource.children[b"events"]
    requests: list[Any] = [Pulled() for _ in range(4)]
    for request in requests[:3]:
        live.render_GET(request)
    assert [request.responseCode for request in requests[:3]] == [None, None, 503]
    requests[0].processingFailed(Failure(ConnectionDone()))
    live.render_GET(requests[3])
    assert requests[3].responseCode is None
    live.end()


def sent(spool: Spool, request: Any) -> bytes:
    spooled = spool.fill(iter(TEXT[at : at + 1000] for at in range(0, len(TEXT), 1000)), Event())
    spool.send(request, spooled, "text/csv", Event())
    while request.producer is not None:
        request.producer.resumeProducing()
    return b"".join(request.written)


def test_a_long_answer_arrives_whole_and_leaves_room_for_the_next() -> None:
    spool = Spool(Clock(), most=len(TEXT))
    for _ in range(3):
        request = Pulled()
        assert sent(spool, request) == TEXT.encode()
        assert request.finished == 1
        assert request.responseHeaders.getRawHeaders("Content-Length") == [str(len(TEXT))]


def test_waiting_answers_share_a_limit() -> None:
    spool = Spool(Clock(), most=len(TEXT))
    first = spool.fill([TEXT], Event())
    with pytest.raises(Crowded):
        spool.fill([TEXT[:200_000], TEXT], Event())
    spool.drop(first)
    spool.fill([TEXT], Event())


def test_a_client_that_reads_nothing_loses_its_place() -> None:
    clock = Clock()
    spool = Spool(clock, most=len(TEXT))
    request: Any = Pulled()
    spool.send(request, spool.fill([TEXT], Event()), "text/csv", Event())
    request.producer.resumeProducing()
    clock.advance(PATIENCE - 1)
    assert not request.aborted
    clock.advance(2)
    assert request.aborted
    request.processingFailed(Failure(ConnectionDone()))
    assert sent(spool, Pulled()) == TEXT.encode()


def test_nothing_more_is_read_for_a_client_that_has_gone() -> None:
    gone = Event()

    def pieces() -> Any:
        yield TEXT
        gone.set()
        yield TEXT
        pytest.fail("the client was gone")

    spool = Spool(Clock(), most=len(TEXT))
    with pytest.raises(Gone):
        spool.fill(pieces(), gone)
    assert sent(spool, Pulled()) == TEXT.encode()
