"""How long a KMS host's log takes to import, and how much memory, against a plain script that reads the same file.

    python -m benchmarks events_import

The log is that of a host with 3000 machines, as `wevtutil` exports it. The plain script parses it with the standard
library and inserts what it finds into one table of SQLite, which is the least that anybody could do; the import also
tells each event from those that are there, in whatever format they came, and keeps up what the reports read. The log is
imported three times: new, again, and in a store that has a gateway's records of every tenth request.
"""

from __future__ import annotations

import multiprocessing
import random
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID
from xml.etree.ElementTree import iterparse

from benchmarks.harness import machine, report
from kmstwist.audit.engine import open_engine
from kmstwist.audit.events.importer import Importer
from kmstwist.audit.migrate import migrate
from kmstwist.audit.privacy import Privacy, PrivacyPolicy
from kmstwist.audit.records import Record, RecordIds
from kmstwist.audit.store import insert_batch
from kmstwist.reasons import Reason

EVENTS = 100_000
MACHINES = 3000
BEGIN = datetime(2025, 1, 1, tzinfo=UTC)
BETWEEN = timedelta(seconds=60)
NAMESPACE = "http://schemas.microsoft.com/win/2004/08/events/event"


def write_log(path: Path, events: int = EVENTS) -> None:
    """An export of the log, as `wevtutil qe /f:xml` writes it."""
    chance = random.Random(1)
    cmids = [UUID(int=chance.getrandbits(128), version=4) for _ in range(MACHINES)]
    product = UUID(int=chance.getrandbits(128), version=4)
    with path.open("w", encoding="utf-8") as file:
        for number in range(events):
            when, pc = BEGIN + number * BETWEEN, chance.randrange(MACHINES)
            values = (
                "",
                "0x0",
                "25",
                f"pc{pc}.example.com",
                cmids[pc],
                f"{when:%Y/%m/%d %H:%M}",
                0,
                1,
                250_000,
                product,
            )
            data = "".join(f"<Data>{value}</Data>" for value in values)
            file.write(
                f"<Event xmlns='{NAMESPACE}'><System><Provider Name='Microsoft-Windows-Security-SPP' "
                "Guid='{E23B33B0-C8C9-472C-A5F9-F2BDFEA0F156}' EventSourceName='Software Protection Platform Service'/>"
                "<EventID Qualifiers='16384'>12290</EventID><Version>0</Version><Level>4</Level><Task>0</Task>"
                "<Opcode>0</Opcode><Keywords>0x80000000000000</Keywords>"
                f"<TimeCreated SystemTime='{when:%Y-%m-%dT%H:%M:%S}.1234567Z'/><EventRecordID>{number + 1}"
                "</EventRecordID><Correlation/><Execution ProcessID='0' ThreadID='0'/><Channel>Key Management Service"
                f"</Channel><Computer>kms1.example.com</Computer><Security/></System><EventData>{data}</EventData>"
                "</Event>\r\n"
            )


def plain(log: Path, store: Path) -> None:
    """Read the log with the standard library, and put its values into a table."""
    database = sqlite3.connect(store)
    database.execute(
        "CREATE TABLE IF NOT EXISTS events (number INTEGER PRIMARY KEY, at, d0,d1,d2,d3,d4,d5,d6,d7,d8,d9)"
    )
    rows = _plain_rows(log)
    while batch := list(islice(rows, 500)):
        with database:
            database.executemany("INSERT OR IGNORE INTO events VALUES (?,?,?,?,?,?,?,?,?,?,?,?)", batch)
    database.close()


def _plain_rows(log: Path) -> Iterator[tuple[str, ...]]:
    at = "{" + NAMESPACE + "}"
    with tempfile.TemporaryFile() as rooted:
        rooted.write(b"<Events>" + log.read_bytes() + b"</Events>")
        rooted.seek(0)
        for _, element in iterparse(rooted):
            if element.tag == at + "Event":
                system = element.find(at + "System")
                assert system is not None
                time_created = system.find(at + "TimeCreated")
                assert time_created is not None
                data = [each.text or "" for each in element.iter(at + "Data")]
                yield (system.findtext(at + "EventRecordID", ""), time_created.get("SystemTime", ""), *data)
                element.clear()


def ours(log: Path, store: Path) -> None:
    """Import the log."""
    engine = open_engine(str(store))
    migrate(engine)
    Importer(engine, Privacy(PrivacyPolicy(), b""), lambda _: ()).import_file(log)
    engine.dispose()


def with_gateway(store: Path) -> None:
    """A store with a gateway's records of every tenth request."""
    engine = open_engine(str(store))
    migrate(engine)
    ids = RecordIds(random.Random(2).randbytes)
    records = []
    for number in range(0, EVENTS, 10):
        at = int((BEGIN + number * BETWEEN).timestamp() * 1000) + 300
        client = f"10.0.{number % MACHINES >> 8}.{number % 256}"
        records.append(Record(ids.make(at), at, "gateway1", client, Reason.OK, version=6, upstream="kms1", hresult=0))
    insert_batch(engine, records)
    engine.dispose()


def measured(function: Callable[..., None], *arguments: Path) -> tuple[float, float, float]:
    """Seconds of processor time, seconds on the clock, and the peak of memory in MiB, in a process of its own."""
    context = multiprocessing.get_context("spawn")
    queue: Any = context.Queue()
    process = context.Process(target=_measure, args=(queue, function, arguments))
    process.start()
    found: tuple[float, float, float] = queue.get()
    process.join()
    return found


def _measure(queue: Any, function: Callable[..., None], arguments: tuple[Path, ...]) -> None:
    busy, clock = time.process_time(), time.monotonic()
    function(*arguments)
    queue.put((time.process_time() - busy, time.monotonic() - clock, _peak()))


def _peak() -> float:
    """The most memory this process has had, in MiB; unlike `getrusage`, without that of the one that started it."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def main() -> None:
    """Measure, and write the report."""
    with tempfile.TemporaryDirectory(prefix="kmstwist-bench-") as name:
        folder = Path(name)
        log = folder / "kms.xml"
        write_log(log)
        with_gateway(folder / "gateway.sqlite")
        taken = {
            "the plain script": measured(plain, log, folder / "plain.sqlite"),
            "import, new": measured(ours, log, folder / "new.sqlite"),
            "import, again": measured(ours, log, folder / "new.sqlite"),
            "import, beside a gateway's records": measured(ours, log, folder / "gateway.sqlite"),
        }
        megabytes = log.stat().st_size / 1e6
    reference = taken["the plain script"][0]
    lines = [
        "# Importing a KMS host's log",
        "",
        f"{machine()}. {EVENTS} events, {megabytes:.0f} MB of XML. The ratio is of processor time.",
        "",
        "| | processor s | clock s | ratio | memory MiB |",
        "| --- | ---: | ---: | ---: | ---: |",
        *(
            f"| {what} | {busy:.1f} | {clock:.1f} | {busy / reference:.1f} | {memory:.0f} |"
            for what, (busy, clock, memory) in taken.items()
        ),
        "",
    ]
    report("events_import", "\n".join(lines))


if __name__ == "__main__":
    main()
