"""How quick the status site is with many machines and records, and whether anything it does holds the server up.

    python -m benchmarks.site --records 1000000 --machines 100000 --folder /tmp
    python -m benchmarks.site --store /tmp/large.sqlite

Makes a store (`benchmarks.large_store`), or takes one that is there, and serves the site in a process of its own, whose
reactor notes the longest time between two turns. Each page is asked several times over HTTP, once the server has made
what it makes at its start: the first time, and the median of the others. Time is the processor's, of all threads of the
server: other work on the machine hardly changes it. Then reports and downloads are asked, all at once, while somebody
else looks at /livez. Prints Markdown.
"""

from __future__ import annotations

import argparse
import atexit
import json
import os
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

from benchmarks.large_store import add_size, fill, size_of

MACHINE = "pc-000001.corp.example.com"
PAGES = (
    "",
    "?range=90days",
    "machines",
    "machines?page=1250",
    "machines?page=2500",
    *(
        f"machines?sort={sign}{key}"
        for key in ("address", "product", "host", "last_seen", "calls")
        for sign in ("", "-")
    ),
    "machines?search=10.3.",
    "machines?search=pc-012",
    "machines?search=Office&sort=-last_seen",
    "machines?state=silent",
    "machines?state=failing",
    "machines?network=10.3.0.0/16",
    "machines?product=Office*",
    "machines?host=kms03.example.com",
    "machines?code=0xC004F042",
    "machines?code=upstream-timeout",
    f"machine?name={MACHINE}",
    "calls",
    "calls?failed=true",
    f"calls?machine={MACHINE}",
    "calls?day=2024-12-30",
    "refusals?days=365",
    "code?name=0xC004F042&days=365",
    "activity",
    "activity?by=network",
    "hosts",
    "host?name=kms03.example.com",
    "products",
    "product?name=Windows%2011%20Enterprise,%20edition%201",
    "networks",
    "network?name=10.3.4.0/24",
    "duplicates",
    "reports/clients",
    "reports/failures",
    "reports/networks",
)
LONG = ("reports/clients", "reports/clients?format=csv", "api/machines?format=csv", "reports/silent", "duplicates")
ROUNDS = 4


def serve(path: str) -> None:
    """The site, until it is ended; /livez is not asked, so that only the reactor's own turns are told in the end."""
    from twisted.internet import reactor as _reactor
    from twisted.internet.task import LoopingCall

    from kmstwist.audit.engine import open_reader
    from kmstwist.telemetry.counters import Counters, Snapshot, UpstreamState
    from kmstwist.web.site import make_site

    reactor: Any = _reactor
    engine = open_reader(Path(path), serving=True)
    hosts = [UpstreamState("kms1", "up", weight=100)]
    site = make_site(
        lambda: Snapshot("gateway", 0.0, Counters(), upstreams=hosts), lambda: 1_735_689_600.0, None, lambda: engine
    )
    port = reactor.listenTCP(0, site, interface="127.0.0.1")
    site.begin()
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
        self._tasks = Path(f"/proc/{self._process.pid}/task")
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}/"

    def used(self) -> float:
        """Seconds of the processor that its threads have used."""
        return sum(int((task / "schedstat").read_text().split()[0]) for task in self._tasks.iterdir()) / 1e9

    def settle(self) -> float:
        """Wait until what it makes at its start is made; how many seconds of the processor that took."""
        began = before = self.used()
        time.sleep(10)
        # To look at its own turns takes a little all the time.
        while (now := self.used()) > before + 0.4:
            before = now
            time.sleep(2)
        return before - began

    def ask(self, page: str) -> tuple[float, float, int]:
        """Seconds of the processor for a page, seconds that passed, bytes."""
        before = self.used()
        took, size = ask(self.url + page)
        return self.used() - before, took, size

    def end(self) -> tuple[float, int]:
        """Stop it: the longest time between two turns in seconds, and the most memory in KiB."""
        self._process.terminate()
        said, _ = self._process.communicate()
        worst, memory = json.loads(said)
        return worst, memory


def main() -> None:
    """Fill, ask, tell."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add_size(parser)
    # What is made in a minute; a large organisation's has to be asked for.
    parser.set_defaults(records=200_000, machines=20_000)
    parser.add_argument("--folder", help="where to make the store")
    parser.add_argument("--store", type=Path, help="one that is there")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.serve)
        return
    if given.store:
        measure(given.store)
        return
    folder = Path(tempfile.mkdtemp(dir=given.folder))
    try:
        fill(folder / "audit.sqlite", size_of(given))
        measure(folder / "audit.sqlite")
    finally:
        shutil.rmtree(folder)


def measure(path: Path) -> None:
    """Ask a store's site, and print what that took."""
    pages = Serving(path)
    print(f"{os.cpu_count()} cores; {pages.settle():.1f} s of a processor after the start\n")
    print("| page | first, ms | again, ms | passed, ms | kB |\n| --- | ---: | ---: | ---: | ---: |")
    for page in PAGES:
        first, *others = [pages.ask(page) for _ in range(ROUNDS)]
        again = median(used for used, _, _ in others)
        passed = min(took for _, took, _ in others)
        print(
            f"| /{page} | {first[0] * 1000:.0f} | {again * 1000:.0f} | {passed * 1000:.0f} | {first[2] / 1000:.1f} |",
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


if __name__ == "__main__":
    main()
