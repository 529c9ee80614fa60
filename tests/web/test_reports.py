"""The audit's reports on the site, from a small store, over HTTP and with threads that the test controls."""

from __future__ import annotations

import base64
import html
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from pytest_twisted import ensureDeferred
from sqlalchemy import Engine
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.web.client import Agent, readBody
from twisted.web.http_headers import Headers
from twisted.web.test.requesthelper import DummyRequest

from kmstwist.audit.engine import open_reader
from kmstwist.audit.plain.faults import StoreError
from kmstwist.audit.reports.all import REPORTS
from kmstwist.audit.reports.model import Bucket
from kmstwist.audit.settings import AuditSection
from kmstwist.audit.store import insert_batch
from kmstwist.audit.strangers import remember
from kmstwist.cli.audit.report import report
from kmstwist.discovery.strangers import Stranger
from kmstwist.server.monitoring import store_of_workers
from kmstwist.telemetry.counters import Counters, Snapshot
from kmstwist.web.asker import SLOW, Asker, Store
from kmstwist.web.passwords import hash_password
from kmstwist.web.reports import HTML_ROWS, Reports
from kmstwist.web.site import make_site
from kmstwist.web.spool import Spool
from kmstwist.web.watch import Watch
from tests.audit.making import DAY, known, new_store, opaque, refusal, uuid
from tests.reactors import listen, port_of, reactor

HOSTILE = "<script>alert('x')</script>&\"pc\""


def ago(days: float) -> int:
    return int(time.time() * 1000) - int(days * DAY)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Engine]:
    """A store in which every report finds something. Half days keep whole days the same between two questions."""
    engine = new_store(tmp_path)
    records = [
        known(ago(1.5), "pc1", "10.1.0.1"),
        known(ago(2.5), "pc2", "10.2.0.2", cmid=uuid("pc1")),
        known(ago(170.5), "old", "10.3.0.3"),
        known(ago(0.5), "pc4", "10.1.0.4", hresult=0xC004F06C),
        opaque(ago(20.5), "10.4.0.9"),
        known(ago(3.5), HOSTILE, "10.1.0.9"),
        refusal(ago(0.5)),
    ]
    insert_batch(engine, records)
    remember(engine, "gw1", "corp.test", [Stranger("corp.test", "rogue.test", 1688, 0, 0)], ago(0.5))
    yield engine
    engine.dispose()


class Client:
    """Asks a site that has its own port."""

    def __init__(self, store: Store | None, users: dict[str, str] | None = None) -> None:
        site = make_site(lambda: Snapshot("gateway", time.time(), Counters()), time.time, users, store)
        self.port = listen(site)
        self.url = f"http://127.0.0.1:{port_of(self.port)}"

    async def get(self, path: str, user: str = "") -> tuple[int, str, Headers]:
        headers = Headers({"Connection": ["close"]})
        if user:
            headers.addRawHeader("Authorization", "Basic " + base64.b64encode(user.encode()).decode())
        response: Any = await Agent(reactor).request(b"GET", (self.url + path).encode(), headers)
        body: bytes = await readBody(response)
        return response.code, body.decode(), response.headers


@pytest.fixture
def site() -> Iterator[Callable[..., Client]]:
    made: list[Client] = []

    def make(*args: Any) -> Client:
        made.append(Client(*args))
        return made[-1]

    yield make
    for client in made:
        client.port.stopListening()


def told(page: str) -> str:
    """What a page says, without its tags."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def kind(headers: Headers) -> str:
    return str((headers.getRawHeaders("Content-Type") or [""])[0])


@pytest.mark.parametrize("name", REPORTS)
@ensureDeferred
async def test_each_report_is_a_page_with_rows(name: str, store: Engine, site: Callable[..., Client]) -> None:
    status, page, headers = await site(lambda: store).get(f"/reports/{name}")
    assert (status, kind(headers)) == (200, "text/html; charset=utf-8")
    assert page.startswith("<!doctype html>")
    assert re.search(r"<tbody>\s*<tr", page)
    assert "default-src 'none'" in (headers.getRawHeaders("Content-Security-Policy") or [""])[0]


@pytest.mark.parametrize("form", ["csv", "json", "markdown"])
@pytest.mark.parametrize("name", REPORTS)
@ensureDeferred
async def test_other_formats_are_what_the_command_prints(
    name: str, form: str, store: Engine, site: Callable[..., Client]
) -> None:
    status, text, headers = await site(lambda: store).get(f"/reports/{name}?format={form}")
    said = CliRunner().invoke(report, [name, "--format", form, "--store", str(store.url.database)])
    assert (status, said.exit_code) == (200, 0)
    printed = said.stdout_bytes.decode()
    if form == "json":
        # Only the command says which store it read: here it is always the served one.
        printed = re.sub(r'  "read": \{.*?\},\n', "", printed, flags=re.DOTALL)
    elif form == "markdown":
        printed = printed[: len(text)]
    assert text == printed
    wanted = {"csv": "text/csv", "json": "application/json", "markdown": "text/markdown"}[form]
    assert kind(headers) == f"{wanted}; charset=utf-8"


@ensureDeferred
async def test_a_machine_may_call_itself_what_it_likes(store: Engine, site: Callable[..., Client]) -> None:
    client = site(lambda: store)
    _, page, _ = await client.get("/reports/clients")
    assert HOSTILE in told(page)
    assert "<script>" not in page
    _, page, _ = await client.get("/reports/clients?machine=%22%3E%3Cscript%3E")
    assert 'value="&#34;&gt;&lt;script&gt;"' in page
    assert "Nothing to report." in page


@ensureDeferred
async def test_parameters_ask_as_the_commands_options_do(store: Engine, site: Callable[..., Client]) -> None:
    client = site(lambda: store)

    async def machines(question: str) -> set[str]:
        _, text, _ = await client.get(f"/reports/clients?format=json&{question}")
        return {row["machine"] for row in json.loads(text)["rows"]}

    assert await machines("since=2d&until=1d") == {"pc1"}
    assert await machines("since=&until=100d&machine=") == {"old"}
    assert await machines("network=10.1.0.0/16&machine=pc*") == {"pc1", "pc4"}
    _, page, _ = await client.get("/reports/activity?by=upstream&since=30d")
    assert "Activity by upstream" in page
    assert "/reports/activity?by=upstream&amp;since=30d&amp;format=csv" in page


@ensureDeferred
async def test_rows_are_coloured_by_urgency(store: Engine, site: Callable[..., Client]) -> None:
    _, page, _ = await site(lambda: store).get("/reports/clients")
    tones = re.findall(
        r'<tr class="(\w+)"><td data-title="Machine" [^>]*><span><a [^>]*><bdi>(pc1|pc4|old)</bdi>', page
    )
    assert sorted(tones) == [("bad", "old"), ("bad", "pc4"), ("good", "pc1")]


@ensureDeferred
async def test_a_long_name_is_broken_and_pushes_no_column_out_of_sight(
    store: Engine, site: Callable[..., Client]
) -> None:
    name = "x" * 63 + ".example.com"
    insert_batch(store, [known(int(time.time() * 1000), name)])
    _, page, _ = await site(lambda: store).get("/reports/clients?machine=x*")
    link = f'<a href="/machine?name={name}"><bdi class="break">{name}</bdi></a>'
    assert f'<td data-title="Machine" class="break"><span>{link}</span>' in page


@ensureDeferred
async def test_the_interval_of_activity_is_chosen_from_a_list(store: Engine, site: Callable[..., Client]) -> None:
    for question, chosen in (("", "day"), ("?by=upstream", "upstream")):
        _, page, _ = await site(lambda: store).get(f"/reports/activity{question}")
        (by,) = re.findall(r'<select name="by">(.*?)</select>', page, re.DOTALL)
        assert re.findall(r'<option value="(\w+)"', by) == list(Bucket)
        assert re.findall(r'<option value="(\w+)" selected', by) == [chosen]


@pytest.mark.parametrize(
    ("path", "status", "sentence"),
    [
        ("clients?since=2026-06-01&until=2026-06-01", 400, "which is not after the beginning, 2026-06-01 00:00 UTC"),
        ("clients?since=yesterday", 400, "'yesterday' is not a time; write it as 2024-06-01"),
        ("clients?until=0001-01-01T00:00%2B02:00", 400, "'0001-01-01T00:00+02:00' is not a time that UTC has"),
        ("clients?format=xml", 400, "'xml' is not a format; there are html, csv, json, markdown"),
        ("count?since=7d", 400, "the report count does not take 'since'"),
        ("clients?colour=red", 400, "the report clients does not take 'colour'"),
        ("clients?since=1d&since=2d", 400, "is given 2 times; once is enough"),
        ("clients?network=here", 400, "'here' is not a network; write for example 10.0.0.0/8, fd00::/8 or 10.1.2.3"),
        ("clients?machine=%FF", 400, "is not UTF-8"),
        ("expiring?days=-1", 400, "'-1' is not a number of days from 0 to 3650"),
        ("expiring?days=3651", 400, "'3651' is not a number of days from 0 to 3650"),
        ("activity?by=moon", 400, "'moon' is not one of hour, day, upstream, product"),
        ("clines", 404, "there is no report 'clines'; there are clients, expiring"),
        ("clients/more", 404, "there is no report 'clients/more'"),
    ],
)
@ensureDeferred
async def test_a_mistake_is_answered_with_one_sentence(
    path: str, status: int, sentence: str, store: Engine, site: Callable[..., Client]
) -> None:
    code, text, headers = await site(lambda: store).get(f"/reports/{path}")
    assert (code, kind(headers)) == (status, "text/html; charset=utf-8")
    assert sentence.lower() in told(text).lower()
    # The form still shows what was asked.
    assert status == 404 or "<form" in text or path.startswith("count")


@ensureDeferred
async def test_a_mistake_is_shown_beside_its_field_and_the_form_keeps_its_values(
    store: Engine, site: Callable[..., Client]
) -> None:
    _, page, _ = await site(lambda: store).get("/reports/clients?since=yesterday&machine=pc*")
    field = re.search(
        r'<input name="since" .*? value="yesterday" .*? aria-invalid="true" aria-describedby="(.*?)">', page
    )
    assert field
    assert f'<span class="error" id="{field[1]}">&#39;yesterday&#39; is not a time;' in page
    assert 'value="pc*"' in page
    status, text, headers = await site(lambda: store).get("/reports/clients?since=yesterday&format=csv")
    assert (status, kind(headers)) == (400, "text/plain; charset=utf-8")
    assert text.startswith("since: 'yesterday' is not a time;")
    assert text.count("\n") == 1


@ensureDeferred
async def test_the_list_has_every_report_and_the_status_page_leads_to_it(
    store: Engine, site: Callable[..., Client]
) -> None:
    client = site(lambda: store)
    assert 'href="/reports/"' in (await client.get("/"))[1]
    for path in ("/reports/", "/reports"):
        status, page, _ = await client.get(path)
        assert status == 200
        for each in REPORTS.values():
            assert f'<a href="/reports/{each.name}">{each.name}</a></td><td>{each.summary}</td>' in page.replace(
                "&#39;", "'"
            )


@ensureDeferred
async def test_without_an_audit_there_are_no_reports(site: Callable[..., Client]) -> None:
    client = site(None)
    for path in ("/reports/", "/reports/clients"):
        status, text, _ = await client.get(path)
        assert (status, "The audit is off (enabled = false in [audit])" in told(text)) == (404, True)
        assert "<h1>The audit is off</h1>" in text
    assert "/reports/" not in (await client.get("/"))[1]
    assert store_of_workers(AuditSection(enabled=False), Path("/nowhere")) is None


@ensureDeferred
async def test_without_a_login_no_report_is_shown(store: Engine, site: Callable[..., Client]) -> None:
    client = site(lambda: store, {"ann": hash_password("secret")})
    for path in ("/reports/", "/reports/clients?format=csv"):
        assert (await client.get(path))[0] == 401
        assert (await client.get(path, "ann:wrong"))[0] == 401
        assert (await client.get(path, "ann:secret"))[0] == 200


@ensureDeferred
async def test_a_page_has_the_first_rows_and_says_how_many_more_there_are(
    store: Engine, site: Callable[..., Client]
) -> None:
    insert_batch(store, [known(ago(1.5), f"many{at}", f"10.9.{at >> 8}.{at & 255}") for at in range(HTML_ROWS)])
    client = site(lambda: store)
    _, page, _ = await client.get("/reports/clients?machine=many*")
    assert (page.count("<tr"), "not shown" in page) == (1 + HTML_ROWS, False)
    _, page, _ = await client.get("/reports/clients")
    assert page.count("<tr") == 1 + HTML_ROWS
    assert '6 more rows are not shown; <a href="/reports/clients?format=csv">CSV</a>' in page
    _, text, _ = await client.get("/reports/clients?format=csv")
    assert len(text.splitlines()) == 1 + HTML_ROWS + 6


@ensureDeferred
async def test_a_supervisor_reads_what_its_workers_write_and_writes_nothing(
    tmp_path: Path, site: Callable[..., Client]
) -> None:
    folder = tmp_path / "with a %41 and a ?"
    folder.mkdir()
    reader = store_of_workers(AuditSection(), folder)
    assert reader is not None
    client = site(reader)
    status, text, _ = await client.get("/reports/clients")
    assert (status, "The audit's store cannot be read: unable to open database file." in told(text)) == (503, True)
    assert list(folder.iterdir()) == []
    writer = new_store(folder)
    insert_batch(writer, [known(ago(1.5), "pc1")])
    assert "pc1" in (await client.get("/reports/clients"))[1]
    insert_batch(writer, [known(ago(1.5), "pc2")])
    assert "pc2" in (await client.get("/reports/clients"))[1]
    with open_reader(folder / "audit.sqlite").connect() as connection, pytest.raises(Exception, match="readonly"):
        connection.exec_driver_sql("DELETE FROM records")
    reader().dispose()
    writer.dispose()


@ensureDeferred
async def test_a_missing_store_gives_a_message_and_not_a_traceback(site: Callable[..., Client]) -> None:
    def stopping() -> Engine:
        raise StoreError("the server is about to stop")

    status, text, _ = await site(stopping).get("/reports/clients")
    assert (status, "The audit's store cannot be read: the server is about to stop." in told(text)) == (503, True)
    # The first page shows what is known without the store, and says neither that the audit is off nor that all is well.
    status, text, _ = await site(stopping).get("/")
    assert (status, "cannot be read: the server is about to stop." in told(text)) == (200, True)
    assert "The audit is off" not in told(text)
    assert "nothing needs attention" not in told(text)


class Threads:
    """Threads whose work ends when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Deferred[Any], Callable[[], Any]]] = []

    def __call__(self, function: Callable[..., Any], *args: Any) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()
        self.waiting.append((done, lambda: function(*args)))
        return done

    def finish_one(self) -> Any:
        done, work = self.waiting.pop(0)
        try:
            result = work()
        except Exception:
            done.errback(Failure())
            return None
        done.callback(result)
        return result


def reports(store: Engine, threads: Threads) -> Reports:
    watch = Watch(lambda: Snapshot("gateway", time.time(), Counters()), time.time)
    return Reports(Asker(watch, lambda: store, threads), Spool(Clock()))


def requested(resource: Reports, name: bytes) -> Any:
    request: Any = DummyRequest([name])
    request.path = b"/reports/" + name
    request.args = {}
    resource.render(request)
    return request


def test_reports_take_turns_so_that_threads_are_left_for_others(store: Engine) -> None:
    threads = Threads()
    resource = reports(store, threads)
    requests = [requested(resource, b"clients") for _ in range(SLOW + 1)]
    assert len(threads.waiting) == SLOW
    threads.finish_one()
    assert len(threads.waiting) == SLOW
    assert (requests[0].finished, requests[-1].finished) == (1, 0)
    for _ in range(SLOW):
        threads.finish_one()
    assert requests[-1].finished == 1


def test_a_reader_who_leaves_passes_the_turn_on(store: Engine) -> None:
    threads = Threads()
    resource = reports(store, threads)
    requests = [requested(resource, b"clients") for _ in range(SLOW + 2)]
    for left in (requests[0], requests[SLOW]):
        left.processingFailed(Failure(ConnectionDone()))
    threads.finish_one()
    assert len(threads.waiting) == SLOW, "the one that waited and left took no thread, the next one did"
    for _ in range(SLOW):
        threads.finish_one()
    assert [request.finished for request in requests] == [0, 1, 0, 1]
    assert [bool(request.written) for request in requests] == [False, True, False, True]
