"""How quick the status site is with many machines and records, and whether anything it does holds the server up.

    python -m benchmarks.site 1000000 --machines 100000 --folder /tmp

Stores a year's records as the server does, adds machines until there are as many as asked for, and serves the site in a
process of its own, whose reactor notes the longest time between two turns. Each page is asked several times over HTTP;
the median counts. Then reports and downloads are asked while others look at pages. Prints Markdown.
"""

from __future__ import annotations

import argparse
import atexit
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from statistics import median
from threading import Thread
from typing import Any

from benchmarks.audit_reports import BATCH, generate
from kmstwist.audit.engine import open_engine
from kmstwist.audit.migrate import migrate
from kmstwist.audit.store import insert_batch

PAGES = (
    "",
    "?range=90days",
    "machines",
    "machines?search=10.3.",
    "machines?search=pc-012",
    "machines?state=silent&sort=-last_seen",
    "machines?sort=product&page=500",
    "machines?network=10.3.0.0/16",
    "machines?code=upstream-timeout",
    "machine?name=10.0.0.0",
    "calls",
    "calls?failed=true",
    "calls?since=7d&until=6d",
    "refusals?days=365",
    "code?name=0xC004F038&days=365",
    "activity",
    "activity?by=network",
    "products",
    "networks",
    "duplicates",
)
LONG = ("reports/clients", "reports/clients?format=csv", "api/machines?format=csv", "reports/silent", "duplicates")
ROUNDS = 5


def fill(path: Path, records: int, machines: int) -> None:
    """Make the store."""
    engine = open_engine(str(path))
    migrate(engine)
    batch = []
    for record in generate(records, random.Random(1)):
        batch.append(record)
        if len(batch) == BATCH:
            insert_batch(engine, batch)
            batch = []
    insert_batch(engine, batch)
    with engine.begin() as connection:
        columns = [row[1] for row in connection.exec_driver_sql("PRAGMA table_info(machines)")]
        there = connection.exec_driver_sql("SELECT count(*) FROM machines").scalar_one()
        rest = ", ".join(column for column in columns if column != "machine")
        for copy in range(1, 1 + max(0, machines - there) // max(1, there)):
            connection.exec_driver_sql(
                f"INSERT INTO machines (machine, {rest}) SELECT machine || '-{copy}', {rest} FROM machines "
                f"WHERE machine NOT LIKE '%-_' LIMIT {max(0, machines - there)}"
            )
    engine.dispose()


def serve(path: str) -> None:
    """The site, until it is ended; /livez is not asked, so that only the reactor's own turns are told in the end."""
    from twisted.internet import reactor as _reactor
    from twisted.internet.task import LoopingCall

    from kmstwist.audit.engine import open_reader
    from kmstwist.telemetry.counters import Counters, Snapshot, UpstreamState
    from kmstwist.web.site import make_site

    reactor: Any = _reactor
    engine = open_reader(Path(path))
    hosts = [UpstreamState("kms1", "up", weight=100)]
    site = make_site(
        lambda: Snapshot("gateway", 0.0, Counters(), upstreams=hosts), lambda: 1_735_689_600.0, None, lambda: engine
    )
    port = reactor.listenTCP(0, site, interface="127.0.0.1")
    worst = [0.0, time.monotonic()]

    def turn() -> None:
        now = time.monotonic()
        worst[0] = max(worst[0], now - worst[1] - 0.005)
        worst[1] = now

    LoopingCall(turn).start(0.005)
    reactor.addSystemEventTrigger(
        "after",
        "shutdown",
        lambda: print(json.dumps([worst[0], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]), flush=True),
    )
    print(port.getHost().port, flush=True)
    reactor.run()


def ask(url: str) -> tuple[float, int]:
    """Seconds and bytes of an answer."""
    begin = time.perf_counter()
    try:
        answer = urllib.request.urlopen(url, timeout=600)
    except urllib.error.HTTPError as error:
        raise SystemExit(f"{url}: {error}") from None
    with answer:
        size = 0
        while piece := answer.read(1 << 16):
            size += len(piece)
    return time.perf_counter() - begin, size


class Serving:
    """The process that serves."""

    def __init__(self, path: Path) -> None:
        command = [sys.executable, "-m", "benchmarks.site", "--serve", str(path)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        atexit.register(self._process.kill)
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}/"

    def end(self) -> tuple[float, int]:
        """Stop it: the longest time between two turns in seconds, and the most memory in KiB."""
        self._process.terminate()
        said, _ = self._process.communicate()
        worst, memory = json.loads(said)
        return worst, memory


def main() -> None:
    """Fill, ask, tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("records", type=int, nargs="?", default=1_000_000)
    parser.add_argument("--machines", type=int, default=100_000)
    parser.add_argument("--folder")
    parser.add_argument("--serve")
    given = parser.parse_args()
    if given.serve:
        serve(given.serve)
        return
    folder = Path(tempfile.mkdtemp(dir=given.folder))
    try:
        path = folder / "audit.sqlite"
        fill(path, given.records, given.machines)
        pages = Serving(path)
        print(f"{given.records:,} records, {given.machines:,} machines, {os.cpu_count()} cores\n")
        print("| page | first | median ms | kB |\n| --- | ---: | ---: | ---: |")
        for page in PAGES:
            asked = [ask(pages.url + page) for _ in range(ROUNDS)]
            # What is kept for a second or more would make it look quicker than it is.
            print(
                f"| /{page} | {asked[0][0] * 1000:.0f} | {median(took for took, _ in asked) * 1000:.0f} "
                f"| {asked[0][1] / 1000:.1f} |",
                flush=True,
            )
        worst, memory = pages.end()
        print(f"\nLongest time between two turns {worst * 1000:.0f} ms; at most {memory / 1024:.0f} MiB.\n")
        print("| all at once, twice each | seconds | MB |\n| --- | ---: | ---: |")
        long = Serving(path)
        told: list[str] = []

        def one(page: str) -> None:
            took, size = ask(long.url + page)
            told.append(f"| /{page} | {took:.1f} | {size / 1e6:.1f} |")

        threads = [Thread(target=one, args=(page,)) for page in LONG * 2]
        for thread in threads:
            thread.start()
        looked = []
        while any(thread.is_alive() for thread in threads):
            looked.append(ask(long.url + "livez")[0])
            time.sleep(0.05)
        worst, memory = long.end()
        print("\n".join(sorted(told)))
        print(
            f"\nMeanwhile /livez was answered in {median(looked) * 1000:.0f} ms, at most {max(looked) * 1000:.0f} ms; "
            f"longest time between two turns {worst * 1000:.0f} ms; at most {memory / 1024:.0f} MiB."
        )
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
