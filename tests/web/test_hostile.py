"""Hostile or merely strange clients against the site, over real sockets."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from urllib.parse import urlsplit

import pytest

from kmstwist.web.responses import HEADERS
from kmstwist.web.static import addresses, contents
from tests.waiting import PATIENCE
from tests.web.conftest import Sites

pytestmark = pytest.mark.xdist_group("sites")


def exchange(url: str, request: bytes) -> bytes:
    """Send this. Returns all that the server answers until it closes."""
    place = urlsplit(url)
    with socket.create_connection((place.hostname, place.port), timeout=PATIENCE) as connection:
        connection.sendall(request)
        said = b""
        while piece := connection.recv(65536):
            said += piece
        return said


def get(url: str, path: str, method: str = "GET") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    return exchange(url, head.encode("latin-1"))


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


@pytest.mark.parametrize(
    "path",
    [
        "/static/../../../etc/passwd",
        "/static/..%2f..%2f..%2fetc%2fpasswd",
        "/static/%2e%2e/site.py",
        "/static//etc/passwd",
        "/static/site.css/..",
        "/static/site.css%00.html",
        "/..%5c..%5cwindows%5cwin.ini",
        "/reports/../../etc/passwd",
        "/api/../static/../metrics/..",
        "//example.com/machines",
        "/machines/%ff%fe",
        "/\xff\xfe",
    ],
)
def test_no_path_leads_anywhere_else(path: str, sites: Sites) -> None:
    answer = get(sites.urls["busy"], path)
    assert status(answer) in (400, 404)
    assert b"root:" not in answer
    assert b"Traceback" not in answer


@pytest.mark.parametrize("path", ["/api", "/api/", "/static", "/static/", "/reports/x/y", "/x/"])
def test_a_path_without_a_page_is_not_found_and_no_defect(path: str, sites: Sites) -> None:
    answer = get(sites.urls["busy"], path)
    assert status(answer) == 404
    assert (b"application/json" in answer) == path.startswith("/api")


@pytest.mark.parametrize(
    "method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "\x7f"]
)
def test_nothing_can_be_changed(method: str, sites: Sites) -> None:
    for path in ("/", "/machines", "/api/machines", "/reports/clients", "/events", "/metrics", "/static/site.css"):
        answer = get(sites.urls["busy"], path, method)
        assert status(answer) in (400, 405), path
        assert b"<script" not in answer


@pytest.mark.parametrize("path", ["/", "/machines", "/metrics", "/livez", "/static/site.css"])
def test_a_client_that_has_nothing_more_to_say_is_answered(path: str, sites: Sites) -> None:
    place = urlsplit(sites.urls["busy"])
    with socket.create_connection((place.hostname, place.port), timeout=PATIENCE) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode() * 5)
        connection.shutdown(socket.SHUT_WR)
        said = b""
        while piece := connection.recv(65536):
            said += piece
    assert said.count(b"HTTP/1.1 200 OK\r\n") == 5


def test_a_head_has_no_body_and_the_headers_of_the_answer(sites: Sites) -> None:
    for path in (
        *("/", "/machines", "/api/machines?format=csv", "/api/openapi.json", "/reports/clients"),
        *("/static/site.css", "/events", "/metrics", "/livez"),
    ):
        head, _, body = get(sites.urls["busy"], path, "HEAD").partition(b"\r\n\r\n")
        assert (status(head), body) == (200, b""), path
        assert b"\r\nServer:" not in head, path
        for name, value in HEADERS.items():
            if name != "Cache-Control":
                assert f"{name}: {value}".lower().encode() in head.lower(), path


@pytest.mark.parametrize(
    "request_head",
    [
        b"GET / HTTP/1.1\r\n" + b"X-A: b\r\n" * 100_000 + b"\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"a" * 2_000_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello",
        b"GET / HTTP/9.9.9\r\n\r\n",
        b"\0\1\2\3\r\n\r\n",
        b"GET\r\n\r\n",
    ],
    ids=["many", "long", "path", "length", "both", "version", "bytes", "short"],
)
def test_a_flood_of_headers_is_refused_and_the_next_client_is_answered(request_head: bytes, sites: Sites) -> None:
    try:
        answer = exchange(sites.urls["busy"], request_head)
    except (ConnectionResetError, BrokenPipeError):
        # It was cut off while it still sent.
        answer = b""
    assert answer == b"" or status(answer) in (400, 414)
    assert status(get(sites.urls["busy"], "/livez")) == 200


def test_a_client_that_reads_a_byte_at_a_time_holds_nobody_up(sites: Sites) -> None:
    place = urlsplit(sites.urls["busy"])
    slow = [socket.create_connection((place.hostname, place.port), timeout=PATIENCE) for _ in range(20)]
    for one in slow:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        one.sendall(b"GET /api/machines?format=csv HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert one.recv(1) == b"H"
    # There are more of them than turns; all other clients are still answered.
    for path in ("/", "/machines", "/activity", "/api/machines?format=csv", "/reports/clients"):
        assert status(get(sites.urls["busy"], path)) == 200
    whole = get(sites.urls["busy"], "/api/machines?format=csv").partition(b"\r\n\r\n")[2]
    first = b"H"
    while piece := slow[0].recv(7):
        first += piece
    assert first.partition(b"\r\n\r\n")[2].count(b"\n") == whole.count(b"\n")
    for one in slow:
        one.close()


def test_names_with_line_ends_break_no_header_and_no_csv(sites: Sites) -> None:
    answer = get(sites.urls["busy"], "/api/machines?format=csv&search=one%0Atwo")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert status(head) == 200
    assert b'"one\ntwo' in body
    assert b"two" not in head


@pytest.mark.parametrize(
    "question",
    [
        "machines?search=%00",
        "machines?search=%FF",
        "machines?page=99999999999999999999",
        "machines?rows=-1",
        "machines?rows=%D9%A3%D9%A3%D9%A3%D9%A3",
        "machines?days=1e9",
        "machines?sort=name;drop",
        "machines?state=%3Cscript%3E",
        "machines?search=a&search=b",
        "machines?" + "&".join(f"x{at}=1" for at in range(2000)),
        "calls?since=9999-12-31T23:59:59-12:00&until=0001-01-01",
        "machine?name=x&before=9999-12-31T23:59:59-12:00",
        "machine?name=x&before=1",
        "calls?before=999999999999999999999999",
        "code?name=" + "a" * 301,
    ],
)
def test_a_strange_question_is_answered_with_what_is_wrong(question: str, sites: Sites) -> None:
    for prefix in ("/", "/api/"):
        answer = get(sites.urls["busy"], prefix + question)
        assert status(answer) == 400
        # It may stay in JSON, which no browser takes for a page.
        assert prefix == "/api/" or b"<script>" not in answer


@pytest.mark.parametrize("page", ["machines", "products", "networks", "activity", "duplicates"])
def test_a_page_after_the_last_one_says_so_and_not_that_there_is_nothing(page: str, sites: Sites) -> None:
    answer = get(sites.urls["busy"], f"/{page}?page=999999")
    assert status(answer) == 200
    assert b"There are not that many pages." in answer


def test_a_page_with_all_it_needs_is_under_200_kb_and_asks_for_nothing_elsewhere(sites: Sites) -> None:
    assets = sum(len(contents(name)) for name in addresses())
    for path in ("", "machines", "activity"):
        with urllib.request.urlopen(sites.urls["busy"] + path, timeout=PATIENCE) as answer:
            page = answer.read()
        assert len(page) < 60_000, path
        assert len(page) + assets < 200_000
        assert b"http://" not in page.replace(b"http://www.w3.org/2000/svg", b"")
        assert b"https://" not in page
        assert b" style=" not in page
        assert b"onclick" not in page
