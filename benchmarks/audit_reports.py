"""How long each report takes on a store of many records, and how fast records go in.

    python -m benchmarks.audit_reports 10000000 --folder /tmp

Generates a year of an organisation's activations (100 000 machines that renew every week, 3 % of calls failing),
stores them as the server does, and asks each report twice: the second time, with the file in memory, is the one that
counts when an administrator looks around. Prints Markdown. The store is deleted afterwards.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from kmstwist.audit.engine import open_engine, reading
from kmstwist.audit.migrate import migrate
from kmstwist.audit.records import Phases, Record, RecordIds
from kmstwist.audit.reports.catalogue import REPORTS
from kmstwist.audit.reports.model import Bucket, Query
from kmstwist.audit.reports.render import to_csv
from kmstwist.audit.store import insert_batch
from kmstwist.reasons import Reason

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


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    arguments.add_argument("number", type=int, nargs="?", default=100_000, help="how many records")
    arguments.add_argument("--folder", type=Path, help="where to make the store (default: the system's temporary one)")
    chosen = arguments.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="kmstwist-bench-", dir=chosen.folder))
    try:
        measure(chosen.number, folder)
    finally:
        shutil.rmtree(folder)


def measure(number: int, folder: Path) -> None:
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
    print(f"## Reports over {number:,} records\n")
    print(
        f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}, "
        f"SQLite {sqlite3.sqlite_version}, {datetime.now(UTC):%Y-%m-%d}. {MACHINES:,} machines; "
        f"a store of {path.stat().st_size / 1e9:.1f} GB, filled at {number / spent:,.0f} records a second.\n"
    )
    print("| report | rows | first, s | again, s | as CSV, s |")
    print("| --- | ---: | ---: | ---: | ---: |")
    now = datetime.fromtimestamp(END_MS / 1000, UTC)
    asked = [(name, Query(now=now)) for name in REPORTS if name != "activity"]
    asked += [("activity", Query(now=now, by=by)) for by in Bucket]
    for name, query in asked:
        times = []
        for _ in range(2):
            begun = time.perf_counter()
            with reading(engine) as connection:
                report = REPORTS[name].ask(connection, query)
            times.append(time.perf_counter() - begun)
        begun = time.perf_counter()
        to_csv(report)
        times.append(time.perf_counter() - begun)
        label = f"{name} --by {query.by}" if name == "activity" else name
        print(f"| {label} | {len(report.rows):,} | " + " | ".join(f"{each:.2f}" for each in times) + " |")
    engine.dispose()


if __name__ == "__main__":
    main()
