"""How long each report takes on a store of many records, and how fast records go in.

    python -m benchmarks.audit_reports 1000000 --folder /tmp --postgresql --times 10

Generates a year of an organisation's activations (100 000 machines that renew every week, one in twenty of which falls
silent some day, 3 % of calls failing, 1 % refused), stores them as the server does, and asks each report twice: the
second time, with the file in memory, is the one that counts when an administrator looks around. Prints Markdown. The
store is deleted afterwards.

With --postgresql the same rows go into a cluster of the benchmark's own, which has PostgreSQL's settings as it is
installed. The reports are asked there too, and each must have the same rows.

With --times N all of it is done again when each call was made N times over, by the databases themselves: to store ten
million records one by one takes a quarter of an hour.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import random
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Engine

from kmstwist.audit import schema
from kmstwist.audit.engine import open_engine, reading, writing
from kmstwist.audit.migrate import migrate
from kmstwist.audit.records import Phases, Record, RecordIds
from kmstwist.audit.reports.all import REPORTS
from kmstwist.audit.reports.model import Bucket, Query
from kmstwist.audit.reports.render import to_csv
from kmstwist.audit.store import insert_batch
from kmstwist.reasons import Reason
from tests.audit.postgres import Cluster

MACHINES = 100_000
YEAR_MS = 365 * 86_400_000
END_MS = 1_735_689_600_000
BATCH = 20_000
WINDOWS = "55c92734-d682-4d71-983e-d6ec3f16059f"
OFFICE = "0ff1ce15-a989-479d-af46-f275c6370663"
PRODUCTS = (
    ("Windows 11 / 10 Enterprise", WINDOWS, 25),
    ("Windows 11 / 10 Professional", WINDOWS, 25),
    ("Windows Server 2022 Standard", WINDOWS, 5),
    ("Office LTSC Professional Plus 2021", OFFICE, 5),
)


def generate(number: int, chance: random.Random) -> Iterator[Record]:
    """`number` records in the order of time; every other machine's body is readable, the others are opaque."""
    ids = RecordIds(chance.randbytes)
    uuids = [str(UUID(int=chance.getrandbits(128))) for _ in range(MACHINES)]
    for at in range(number):
        when = END_MS - YEAR_MS + YEAR_MS * at // number
        machine = chance.randrange(MACHINES)
        if machine % 20 == 3 and at / number > machine / MACHINES:
            # This one fell silent.
            machine += 1
        record = Record(
            record_id=ids.make(when),
            at=when,
            gateway="gateway1",
            client=f"10.{machine >> 12}.{machine >> 6 & 63}.{machine & 63}",
            reason=Reason.OK,
            version=6,
            upstream=f"kms{machine % 3}.example.com",
            hresult=0 if chance.random() > 0.03 else 0xC004F042,
            phases=Phases(0.4, chance.random() * 40),
            bytes_in=260,
            bytes_out=190,
        )
        if chance.random() < 0.01:
            refused = chance.choice((Reason.ADMISSION_RATE, Reason.RPC_NOT_RPC, Reason.UPSTREAM_TIMEOUT))
            record = replace(record, reason=refused, hresult=None, upstream=None, bytes_out=0, phases=Phases(0.4, None))
        if machine % 2:
            product, app, needed = PRODUCTS[machine % 7 % 4]
            record = replace(
                record,
                machine=f"pc{machine}.corp.example.com",
                cmid=uuids[machine - machine % 100 if machine % 50 == 1 else machine],
                app_id=app,
                act_id=uuids[len(product)],
                product=product,
                license_status=1,
                virtual_machine=machine % 5 == 0,
                minutes_left=250_000,
                required_count=needed,
                count=50,
            )
        yield record


@dataclass(frozen=True, slots=True)
class Timed:
    """A report: what it was asked, how many rows it has, the seconds that it took, and its rows."""

    label: str
    rows: int
    seconds: list[float]
    csv: str


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    arguments.add_argument("number", type=int, nargs="?", default=100_000, help="how many records")
    arguments.add_argument("--folder", type=Path, help="where to make the store (default: the system's temporary one)")
    arguments.add_argument("--postgresql", action="store_true", help="the same on PostgreSQL")
    arguments.add_argument("--times", type=int, default=1, help="and again with so many times the records")
    chosen = arguments.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="kmstwist-bench-", dir=chosen.folder))
    try:
        measure(chosen.number, folder, chosen.postgresql, chosen.times)
    finally:
        shutil.rmtree(folder)


def measure(number: int, folder: Path, postgresql: bool, times: int) -> None:
    path = folder / "audit.sqlite"
    engine = open_engine(str(path))
    migrate(engine)
    stored, batch, spent = 0, [], 0.0
    for record in generate(number, random.Random(1)):
        batch.append(record)
        if len(batch) == BATCH or stored + len(batch) == number:
            begun = time.perf_counter()
            insert_batch(engine, batch)
            spent += time.perf_counter() - begun
            stored += len(batch)
            batch = []
    print(
        f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}, "
        f"SQLite {sqlite3.sqlite_version}, {datetime.now(UTC):%Y-%m-%d}. {MACHINES:,} machines; "
        f"SQLite filled at {number / spent:,.0f} records a second."
    )
    with contextlib.ExitStack() as stack:
        stores = [engine]
        if postgresql:
            other = open_engine(stack.enter_context(cluster()))
            migrate(other)
            copy(engine, other)
            stores.append(other)
        show(number, stores)
        if times > 1:
            for store in stores:
                multiply(store, times)
            show(number * times, stores)
        for store in stores:
            store.dispose()


def show(number: int, stores: list[Engine]) -> None:
    """Ask each store, and print it as a table."""
    found = [asked(store) for store in stores]
    for one, *others in zip(*found, strict=True):
        if any(one.csv != other.csv for other in others):
            sys.exit(f"{one.label} has other rows on PostgreSQL")
    print(f"\n## Reports over {number:,} records\n\n{'; '.join(map(in_words, stores))}.\n")
    head = ["report", "rows", "SQLite: first, s", "again, s", "as CSV, s", "PostgreSQL: first, s", "again, s"]
    print(f"| {' | '.join(head[: 3 + 2 * len(stores)])} |\n| --- |{' ---: |' * (2 + 2 * len(stores))}")
    for one, *others in zip(*found, strict=True):
        seconds = one.seconds + [each for other in others for each in other.seconds[:2]]
        print(f"| {one.label} | {one.rows:,} | " + " | ".join(f"{each:.2f}" for each in seconds) + " |", flush=True)


def asked(engine: Engine) -> list[Timed]:
    """Each report: asked, asked again, and written as CSV."""
    now = datetime.fromtimestamp(END_MS / 1000, UTC)
    queries = [(name, Query(now=now)) for name in REPORTS if name != "activity"]
    queries += [("activity", Query(now=now, by=by)) for by in Bucket]
    found = []
    for name, query in queries:
        times = []
        for _ in range(2):
            begun = time.perf_counter()
            with reading(engine) as connection:
                report = REPORTS[name].ask(connection, query)
            times.append(time.perf_counter() - begun)
        begun = time.perf_counter()
        csv = to_csv(report)
        times.append(time.perf_counter() - begun)
        label = f"{name} --by {query.by}" if name == "activity" else name
        found.append(Timed(label, len(report.rows), times, csv))
    return found


@contextlib.contextmanager
def cluster() -> Iterator[str]:
    """A PostgreSQL of our own; the URL of its database."""
    folder = Path(tempfile.mkdtemp(prefix="kmstwist-pg-", dir="/tmp"))
    running = Cluster(folder)
    running.start()
    try:
        yield running.url
    finally:
        running.stop()
        shutil.rmtree(folder)


def copy(source: Engine, target: Engine) -> None:
    """All rows of one store into the other, empty one, whose database then knows how many there are."""
    begun = time.perf_counter()
    count = 0
    with target.connect().execution_options(isolation_level="AUTOCOMMIT") as connection, reading(source) as rows:
        driver: Any = connection.connection.dbapi_connection
        for table in schema.metadata.sorted_tables:
            names = ", ".join(f'"{column.name}"' for column in table.c)
            selected = rows.exec_driver_sql(f"SELECT {names} FROM {table.name}")
            connection.exec_driver_sql(f"TRUNCATE {table.name}")
            with driver.cursor() as cursor, cursor.copy(f"COPY {table.name} ({names}) FROM STDIN") as into:
                for row in selected:
                    into.write_row(row)
                    count += 1
            if "seq" in table.c and table.c["seq"].primary_key:
                # The next row has the number after these.
                next_seq = f"pg_get_serial_sequence('{table.name}', 'seq')"
                connection.exec_driver_sql(f"SELECT setval({next_seq}, max(seq)) FROM {table.name}")
        connection.exec_driver_sql("VACUUM ANALYZE")
    spent = time.perf_counter() - begun
    print(f"PostgreSQL: {count:,} rows copied at {count / spent:,.0f} a second.")


def multiply(engine: Engine, times: int) -> None:
    """Have each call made `times` times over; a failure in as many hours, so that the table of them grows too."""
    embedded = engine.dialect.name == "sqlite"
    names = [column.name for column in schema.records.c if column.name not in ("seq", "record_id", "at")]
    others = ", ".join(f'"{name}"' for name in names)
    new_id = "other(record_id, k)" if embedded else "set_byte(record_id, 15, get_byte(record_id, 15) # k)"
    copies = f"WITH copies(k) AS (VALUES {', '.join(f'({k})' for k in range(1, times))}) "
    into = "INSERT INTO {0} ({1}) " + copies + "SELECT {2} FROM copies CROSS JOIN {0} WHERE true"
    failures = {column.name: f'"{column.name}"' for column in schema.hourly_failures.c}
    moved = failures | {"hour": "hour - k", "first_at": "first_at - 3600000 * k", "last_at": "last_at - 3600000 * k"}
    sums = {
        "machines": ("calls", "successes"),
        "machine_cmids": ("calls",),
        "hourly_activity": ("calls", "successes", "bytes_in", "bytes_out", "answer_ms", "answer_calls"),
    }
    begun = time.perf_counter()
    with writing(engine) as connection:
        if embedded:
            driver: Any = connection.connection.dbapi_connection
            driver.create_function("other", 2, lambda old, k: old[:15] + bytes([old[15] ^ k]), deterministic=True)
        for statement in (
            into.format("records", f"record_id, at, {others}", f"{new_id}, at + k, {others}"),
            into.format("hourly_failures", ", ".join(failures.values()), ", ".join(moved.values()))
            + " ON CONFLICT DO NOTHING",
            *(
                f"UPDATE {table} SET {', '.join(f'{name} = {times} * {name}' for name in columns)}"
                for table, columns in sums.items()
            ),
        ):
            connection.exec_driver_sql(statement)
    if not embedded:
        # What its autovacuum does by and by.
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")
    print(f"{engine.dialect.name}: {times} times as many in {time.perf_counter() - begun:.0f} s.", flush=True)


def in_words(engine: Engine) -> str:
    """Which database, and how large its store is."""
    if engine.dialect.name == "sqlite":
        return f"SQLite's file {Path(str(engine.url.database)).stat().st_size / 1e9:.1f} GB"
    with reading(engine) as connection:
        version = connection.exec_driver_sql("SHOW server_version").scalar_one()
        size = connection.exec_driver_sql("SELECT pg_database_size(current_database())").scalar_one()
    return f"PostgreSQL {str(version).split()[0]}, as it is installed, {size / 1e9:.1f} GB"


if __name__ == "__main__":
    main()
