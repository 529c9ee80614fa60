"""Every report gives the same rows on SQLite and on PostgreSQL, for every question."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import Connection, Engine, func, select, text

from kmstwist.audit import schema
from kmstwist.audit.asking.plain_sqlite import reading as reading_plainly
from kmstwist.audit.engine import open_engine, reading, sqlite_path, writing
from kmstwist.audit.events.importer import Importer
from kmstwist.audit.migrate import migrate
from kmstwist.audit.privacy import Privacy, PrivacyPolicy
from kmstwist.audit.products.names import note_configured
from kmstwist.audit.products.product_name import ProductName
from kmstwist.audit.records import COUNT_INSUFFICIENT, Phases, Record
from kmstwist.audit.reports.all import REPORTS
from kmstwist.audit.reports.filters import NOT_READABLE
from kmstwist.audit.reports.model import Bucket, Query
from kmstwist.audit.reports.render import to_csv, to_json, to_markdown
from kmstwist.audit.store import insert_batch
from kmstwist.audit.strangers import remember
from kmstwist.audit.upkeep.verify import verify
from kmstwist.audit.views.activity import By, Range, days, shares, steps
from kmstwist.audit.views.calls import Which, code_text, latest_calls, machine_calls
from kmstwist.audit.views.hints import reading_hints
from kmstwist.audit.views.hosts import asked, machines_of
from kmstwist.audit.views.inventory import cmids_of, networks
from kmstwist.audit.views.machines import Order, State, Wanted, count_machines, list_machines, next_machines
from kmstwist.audit.views.overview import numbers, today
from kmstwist.audit.views.refusals import met, refusals
from kmstwist.audit.views.totals import totals
from kmstwist.cli.main import kmstwist
from kmstwist.discovery.strangers import Stranger
from kmstwist.reasons import Reason
from tests.audit.exports import Sample, as_xml, request
from tests.audit.making import DAY, HOUR, OFFICE, START, known, new_store, opaque, refusal, uuid
from tests.audit.postgres import Cluster, make_folder

pytestmark = [pytest.mark.needs("postgres"), pytest.mark.xdist_group("postgres")]

NOW = datetime.fromtimestamp((START + 60 * DAY) / 1000, UTC)

# Values for each of a query's words: one that matches, a pattern, and one that matches nothing.
ASKED: dict[str, tuple[Any, ...]] = {
    "since": (NOW - timedelta(days=40), NOW + timedelta(days=1)),
    "until": (NOW - timedelta(days=40), NOW),
    "machine": ("pc-1", "PC*", "PCÄ", "10.0.*", "nobody_%"),
    "network": ("10.0.0.0/16", "2001:db8::/32", "192.0.2.0/24"),
    "product": ("windows*", uuid("Office"), "none"),
    "upstream": ("kms1", "KMS*", "none"),
    "days": (0, 14, 3650),
    "by": tuple(Bucket),
}


def made() -> list[Record]:
    """Records of every kind, with machines' names that two locales sort in two ways."""
    found: list[Record] = []
    for number, name in enumerate(["pc-1", "PC1", "pc_2", "pcä", "Pc a", "pc10"]):
        filled: dict[str, Any] = {
            "peer": "10.9.9.9",
            "detail": "as told",
            "phases": Phases(0.5, 20.5),
            "virtual_machine": number % 2 == 0,
            "upstream": f"kms{number % 2 + 1}",
        }
        client = "2001:db8::7" if number == 3 else f"10.0.{number}.7"
        found.extend(known(START + day * DAY + number * HOUR, name, client, **filled) for day in (0, 20, 55))
        office = {"app_id": OFFICE, "act_id": uuid("Office"), "product": "Office", "required_count": 5}
        found.append(known(START + 30 * DAY, name, client, **{**filled, **office, "cmid": uuid("shared")}))
        found.append(known(START + 31 * DAY, name, client, **{**filled, "count": 3}))
        found.append(opaque(START + 59 * DAY, client, phases=Phases(0.25, 8.5), gateway="gw2"))
        found.append(opaque(START + 40 * DAY, client, hresult=0xC004F042, product=None))
        found.append(opaque(START + 41 * DAY, client, hresult=None, fault=0x1C010002, reason=Reason.SERVER_STOPPING))
        found.append(refusal(START + 50 * DAY, client))
    return found


MADE = made()
OPEN = Privacy(PrivacyPolicy(), b"")
EVENTS = [
    *(
        request(at, NOW - timedelta(days=at, hours=3), f"host{at % 3}", "0x0" if at % 4 else "0xC004F042", vm=at % 2)
        for at in range(1, 9)
    ),
    # One of several of the gateway's at that moment: nobody knows which.
    request(9, NOW - timedelta(days=1), "named"),
    # What a client itself logs: that it asked, and what it was told.
    Sample(
        10,
        NOW - timedelta(hours=3),
        ("0x0", "0x0", "kms1:1688", uuid("named"), "2024/7/30 0:00", "0", "2", "1000", uuid("act"), "25"),
        event_id=12288,
        computer="named",
    ),
    Sample(
        11,
        NOW - timedelta(hours=3),
        ("0x0", "0x0", "1", "0", "50", "120", "10080", "2024/7/30 0:00"),
        event_id=12289,
        computer="named",
    ),
]


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Engine, Engine]]:
    """An embedded store and a central one, whose database sorts as people do, with the same records."""
    folder = make_folder()
    cluster = Cluster(folder)
    cluster.start()
    with open_engine(cluster.url).connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        icu = "TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'"
        connection.execute(text(f"CREATE DATABASE central {icu}"))
        # What a database administrator may set for everybody, and no report may heed.
        connection.execute(text("ALTER DATABASE central SET timezone = 'Pacific/Auckland'"))
        connection.execute(text("ALTER DATABASE central SET datestyle = 'SQL, DMY'"))
    embedded = new_store(tmp_path_factory.mktemp("stores"))
    central = open_engine(cluster.url.replace("/postgres?", "/central?"))
    migrate(central)
    seen = [Stranger("example.com", f"kms{at}", 1688, at, 0, ("192.0.2.1",)) for at in range(3)]
    for engine in (embedded, central):
        insert_batch(engine, MADE)
        # What only the host's events tell of, and some of what the gateway has; twice, as exports come.
        for again in range(2):
            log = tmp_path_factory.mktemp("log") / "kms.xml"
            log.write_bytes(as_xml(EVENTS))
            result = Importer(engine, OPEN, lambda _: ()).import_file(log)
            assert (result.imported, result.alone) == ((0, 8) if again else (len(EVENTS), 8))
        note_configured(engine, [ProductName(uuid("Windows 10 Enterprise"), "Windows, ours", "Windows")])
        remember(engine, "gw1", "example.com", seen, START)
        remember(engine, "gw1", "example.com", seen[1:], START + DAY)
    yield embedded, central
    embedded.dispose()
    central.dispose()
    cluster.stop()
    shutil.rmtree(folder)


def test_the_records_fill_every_column_that_a_report_may_read(stores: tuple[Engine, Engine]) -> None:
    tables = (
        schema.records,
        schema.machines,
        schema.machine_cmids,
        schema.hourly_activity,
        schema.hourly_failures,
        schema.strangers,
        schema.events,
        schema.facts,
    )
    for engine in stores:
        with reading(engine) as connection:
            for table in tables:
                for column in table.c:
                    filled = connection.scalar(select(func.count(column)).where(column.is_not(None)))
                    assert filled, f"no row has a {column}"
        assert verify(engine) == []


def test_the_same_faults_of_the_sums_are_found_in_both(stores: tuple[Engine, Engine]) -> None:
    machines, cmids = schema.machines, schema.machine_cmids
    found = []
    for engine in stores:
        with reading(engine) as connection:
            kept = {table: connection.execute(select(table)).mappings().all() for table in (machines, cmids)}
        with writing(engine) as connection:
            connection.execute(machines.update().where(machines.c.machine == "pc-1").values(address="10.9.9.9"))
            connection.execute(cmids.delete().where(cmids.c.machine.in_(["pc-1", "pc1"])))
        found.append(verify(engine))
        with writing(engine) as connection:
            for table, rows in kept.items():
                connection.execute(table.delete())
                connection.execute(table.insert(), [dict(row) for row in rows])
        assert verify(engine) == []
    embedded, central = found
    assert embedded == central
    assert {fault.partition(":")[0] for fault in embedded} == {"machines", "machine_cmids"}


@pytest.mark.parametrize("name", sorted(REPORTS))
def test_a_report_has_the_same_rows_from_both_databases(stores: tuple[Engine, Engine], name: str) -> None:
    report, plain = REPORTS[name], Query(now=NOW)
    queries = [plain, *(replace(plain, **{word: value}) for word in sorted(report.heeds) for value in ASKED[word])]
    assert len(queries) == 1 + sum(len(ASKED[word]) for word in report.heeds)
    found = 0
    for query in queries:
        answers = []
        for engine in stores:
            with reading(engine) as connection:
                answers.append(report.ask(connection, query))
                if report.at_length is not None:
                    some = report.at_length(connection, query, 2)
                    assert list(some.rows) == list(answers[-1].rows[:2])
        # As a command reads the file, without SQLAlchemy.
        with reading_plainly(sqlite_path(stores[0]), 1) as reader:
            assert report.ask(reader, query) == answers[0]
            if report.at_length is not None:
                assert list(report.at_length(reader, query, 2).rows) == list(answers[0].rows[:2])
        embedded, central = answers
        assert to_json(embedded) == to_json(central), query
        assert to_csv(embedded) == to_csv(central)
        assert to_markdown(embedded) == to_markdown(central)
        found += len(embedded.rows)
    assert found


def test_a_large_store_has_the_same_numbers_in_both_databases(stores: tuple[Engine, Engine]) -> None:
    found = []
    for engine in stores:
        with reading(engine) as connection:
            found.append(totals(connection, NOW))
    assert found[0] == found[1]
    assert found[0].clients
    assert found[0].counts
    assert found[0].successes


def pages(connection: Connection) -> Iterator[tuple[str, Any]]:
    """What the site asks a store for, each with its name."""
    month = NOW - timedelta(days=45)
    yield "numbers", numbers(connection, NOW)
    yield "today", today(connection, NOW)
    yield "hints", [list(reading_hints(connection, report)) for report in ("", "refused")]
    hosts = asked(connection, month)
    yield "hosts", (hosts, {host: machines_of(connection, host) for host in hosts})
    yield "networks", networks(connection, NOW)
    yield "days", days(connection, month.date(), NOW.date())
    for span in Range:
        yield f"steps of a {span}", steps(connection, span, NOW)
    for by in By:
        yield f"shares by {by}", shares(connection, by, month, NOW)
    wanted = [Wanted(NOW, order=order, falling=falling) for order in Order for falling in (False, True)]
    wanted += [Wanted(NOW, state=state) for state in State]
    wanted += [Wanted(NOW, search=text) for text in ("pc", "PCÄ", "10.0.*", "shared", "windows", "_")]
    wanted += [Wanted(NOW, network="10.0.0.0/16"), Wanted(NOW, product="windows*"), Wanted(NOW, product=NOT_READABLE)]
    wanted += [Wanted(NOW, host="kms1"), Wanted(NOW, code="0xC004F042"), Wanted(NOW, code="rpc-not-rpc")]
    for each in wanted:
        rows = list_machines(connection, each, 100)
        assert count_machines(connection, each) == len(rows)
        yield f"machines {each}", rows
        yield f"a page of machines {each}", list_machines(connection, each, 3, 2)
        yield f"all machines {each}", sorted(next_machines(connection, each, 100)[0], key=repr)
    for machine in ("pc-1", "pcä", "10.0.2.7", "named"):
        yield f"calls of {machine}", machine_calls(connection, machine, 20, NOW)
        yield f"ids of {machine}", cmids_of(connection, machine)
    for which in (
        Which(),
        Which(since=month, until=NOW - timedelta(days=2)),
        Which(machine="PC1"),
        Which(host="kms2"),
        Which(product="Office*"),
        Which(code="0xC004F042"),
        Which(code=code_text(COUNT_INSUFFICIENT)),
        Which(code="server-stopping"),
        Which(only_failed=True),
    ):
        yield f"calls {which}", latest_calls(connection, which, 20)
    yield "refusals", refusals(connection, None, None)
    for row in refusals(connection, month, NOW):
        yield f"met by {row.code}", met(connection, row.code, None, NOW, 5, 1)


def test_the_site_shows_the_same_of_both_databases(stores: tuple[Engine, Engine]) -> None:
    with reading(stores[0]) as embedded, reading(stores[1]) as central:
        for (name, one), (_, other) in zip(pages(embedded), pages(central), strict=True):
            assert one == other, name


@pytest.mark.parametrize("name", sorted(REPORTS))
def test_the_command_reports_the_same_of_both_databases(stores: tuple[Engine, Engine], name: str) -> None:
    heeded = {"since": "2024-01-01T13:00", "until": "7d", "machine": "*1*", "network": "10.0.0.0/8", "days": "3650"}
    heeded |= {"product": "*", "upstream": "kms*", "by": "hour"}
    options = [part for word in sorted(REPORTS[name].heeds) for part in (f"--{word}", heeded[word])]
    for more in ((), ("--limit", "2"), ("--format", "csv", *options), ("--json", *options), ("--fail-if-any",)):
        told = []
        for engine in stores:
            url = engine.url.render_as_string()
            result = CliRunner().invoke(kmstwist, ["report", name, "--store", url, *more], env={"COLUMNS": "300"})
            assert result.exit_code in (0, 1) if "--fail-if-any" in more else result.exit_code == 0, result.output
            told.append((result.exit_code, re.sub(r'"asked_at": "[^"]*"', "", result.output.replace(url, "URL"))))
        assert told[0] == told[1], more
